//! Answering with a list, however long.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::access::Access;
use super::filter::Filter;
use super::problem::Refusal;

/// Bytes that are handed over at once, and how many of these may wait for whoever asked.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;

/// A kind of object that a switch lists.
pub trait Resource: Serialize + DeserializeOwned + Send + 'static {
    /// Its name in paths and on the command line.
    const NAME: &'static str;

    /// A table for people.
    fn table(objects: &[Self]) -> String;
}

/// Where the objects come from.
pub(super) trait Listed: Resource {
    /// All of them as they are now. What is costly about each is left to the iteration.
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal>;
}

pub(super) type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The fields and values of a query.
pub(super) fn filter_of<T: DeserializeOwned>(parameters: Parameters) -> Result<Filter, Refusal> {
    let Query(parameters) =
        parameters.map_err(|rejection| Refusal::malformed(rejection.body_text()))?;
    Filter::of::<T>(parameters).map_err(|unknown| Refusal::malformed(unknown.to_string()))
}

/// Answers with all objects that the query asks for, as a JSON array, one object a line. They are made and sent piece
/// by piece on a thread of their own; who does not take the next piece in time gets no more.
pub(super) async fn list<T: Listed>(
    State(access): State<Access>,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let filter = filter_of::<T>(parameters)?;
    let turn = access.list_turn().await?;
    let (sender, body) = Channel::<Bytes, io::Error>::new(PIECES);
    let (begin, begun) = oneshot::channel();
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        match T::list(&access) {
            Err(refusal) => {
                let _ = begin.send(Err(refusal));
            }
            Ok(objects) => {
                let _ = begin.send(Ok(()));
                Pieces::new(sender, runtime, access.patience.piece).send_all(objects, &filter);
            }
        }
        drop(turn);
    });
    begun
        .await
        .unwrap_or_else(|_panicked| Err(Refusal::internal()))?;
    Ok(([(CONTENT_TYPE, "application/json")], Body::new(body)).into_response())
}

struct Pieces {
    sender: Sender<Bytes, io::Error>,
    runtime: Handle,
    patience: Duration,
    piece: Vec<u8>,
}

/// Whoever asked is not there any more, or does not listen.
struct NobodyThere;

impl Pieces {
    fn new(sender: Sender<Bytes, io::Error>, runtime: Handle, patience: Duration) -> Self {
        Self {
            sender,
            runtime,
            patience,
            piece: Vec::new(),
        }
    }

    fn send_all(mut self, objects: impl Iterator<Item = impl Serialize>, filter: &Filter) {
        if let Err(NobodyThere) = self.try_send_all(objects, filter) {
            // A list that ends early must not look like a whole one.
            self.sender.abort(io::ErrorKind::TimedOut.into());
        }
    }

    fn try_send_all(
        &mut self,
        objects: impl Iterator<Item = impl Serialize>,
        filter: &Filter,
    ) -> Result<(), NobodyThere> {
        let mut before = "[";
        for object in objects {
            let end = self.piece.len();
            self.piece.extend(before.as_bytes());
            let start = self.piece.len();
            serde_json::to_writer(&mut self.piece, &object).map_err(|_| NobodyThere)?;
            if filter.takes_json(&self.piece[start..]) {
                before = ",\n";
            } else {
                self.piece.truncate(end);
            }
            if self.piece.len() >= PIECE {
                self.hand_over()?;
            }
        }
        let end = if before == "[" { "[]\n" } else { "]\n" };
        self.piece.extend(end.as_bytes());
        self.hand_over()
    }

    fn hand_over(&mut self) -> Result<(), NobodyThere> {
        let piece = std::mem::take(&mut self.piece);
        let handed = async { timeout(self.patience, self.sender.send_data(piece.into())).await };
        match self.runtime.block_on(handed) {
            Ok(Ok(())) => Ok(()),
            _ => Err(NobodyThere),
        }
    }
}
