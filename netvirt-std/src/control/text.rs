//! What comes with a request.

use std::error::Error;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use http_body_util::LengthLimitError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::access::Access;
use super::problem::Refusal;
use crate::policy_file::PolicyFile;

/// The largest policy file that is taken, in bytes: twice what a million machines need.
const LARGEST_POLICY: usize = 256 << 20;
/// The largest question, in bytes: a frame in hexadecimal is less.
const LARGEST_QUESTION: usize = 1 << 20;

/// The text of a policy file. Only so many are held at once, with all that becomes of them.
pub(super) struct PolicyText {
    bytes: Bytes,
    _turn: OwnedSemaphorePermit,
}

impl PolicyText {
    /// Reads and checks it. `name` stands in diagnostics.
    pub fn parse(&self, name: &str) -> Result<PolicyFile, Refusal> {
        let text = str::from_utf8(&self.bytes)
            .map_err(|error| Refusal::malformed(format!("{name} is no text: {error}")))?;
        Ok(PolicyFile::parse(text, name)?)
    }
}

impl FromRequest<Access> for PolicyText {
    type Rejection = Refusal;

    async fn from_request(request: Request, access: &Access) -> Result<Self, Refusal> {
        let turn = access.policy_turn().await?;
        Ok(Self {
            bytes: read(request, access, LARGEST_POLICY).await?,
            _turn: turn,
        })
    }
}

/// What is asked, in JSON.
pub(super) struct Question(pub Bytes);

impl FromRequest<Access> for Question {
    type Rejection = Refusal;

    async fn from_request(request: Request, access: &Access) -> Result<Self, Refusal> {
        Ok(Self(read(request, access, LARGEST_QUESTION).await?))
    }
}

async fn read(request: Request, access: &Access, largest: usize) -> Result<Bytes, Refusal> {
    let patience = access.patience.body;
    let body: Body = request.into_body();
    if body.size_hint().lower() > largest as u64 {
        return Err(too_large(largest));
    }
    match timeout(patience, to_bytes(body, largest)).await {
        Ok(read) => read.map_err(|error| refusal(&error, largest)),
        Err(_elapsed) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the rest of the request did not come within {patience:?}"),
        )),
    }
}

fn too_large(largest: usize) -> Refusal {
    let message = format!("no more than {largest} bytes are taken");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn refusal(error: &axum::Error, largest: usize) -> Refusal {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            return too_large(largest);
        }
        source = error.source();
    }
    Refusal::malformed(format!("the request did not come to its end: {error}"))
}
