//! Asking a running switch, from programs that may wait.

use std::fmt;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::list::Resource;
use super::policy::{Aborted, Prepared, Taken};
use super::problem::Problem;
use super::question::TraceRequest;
use super::resources::Status;
use crate::counters::CounterReport;
use crate::explain::NextHopQuery;

/// How long a switch may be silent that was asked something: what it does for others comes first.
const QUESTION: Duration = Duration::from_secs(30);
/// The same where it has to read a policy file, of a million records perhaps.
const CHANGE: Duration = Duration::from_secs(300);

/// A switch that is asked through its control socket.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
    /// How long it may be silent at the most, whatever it does.
    patience: Duration,
}

/// In which form an explanation is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
        }
    }
}

/// Why a switch does not answer, or not as wanted.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody answers.
    NoSwitch {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It takes the connection and says nothing.
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Whoever asked does not want to wait any more.
    Interrupted,
    /// The switch broke off in the midst of it.
    BrokenOff {
        /// The socket.
        socket: PathBuf,
        /// In words.
        error: String,
    },
    /// Whoever answers is no switch of this version.
    Strange {
        /// The socket.
        socket: PathBuf,
        /// In words.
        answer: String,
    },
    /// The switch refuses.
    Refused {
        /// The status of its answer.
        status: u16,
        /// What is wrong.
        problem: Problem,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSwitch { socket, error } => {
                let remedy = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "only root and who runs the switch may ask it"
                    }
                    _ => "is `netvirt switch` running? --control says which socket it serves",
                };
                write!(
                    f,
                    "no switch answers at {}: {error}; {remedy}",
                    socket.display()
                )
            }
            Self::Silent { socket, waited } => write!(
                f,
                "the switch at {} has been silent for {waited:?}: is it stopped, or overloaded? What it was asked for may \
                 still happen",
                socket.display()
            ),
            Self::Interrupted => f.write_str("interrupted"),
            Self::BrokenOff { socket, error } => write!(
                f,
                "the switch at {} broke off: {error}; see what it wrote on standard error, and ask again",
                socket.display()
            ),
            Self::Strange { socket, answer } => write!(
                f,
                "what {} answers is not understood: {answer}; is the switch of another version?",
                socket.display()
            ),
            Self::Refused { problem, .. } => f.write_str(&problem.error),
        }
    }
}

impl std::error::Error for ClientError {}

impl Client {
    /// A client of the switch at this socket. Nothing is asked yet.
    ///
    /// # Errors
    /// The system has no resources left.
    pub fn new(socket: &Path) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            socket: socket.to_owned(),
            runtime,
            patience: Duration::MAX,
        })
    }

    /// The same, waiting for no answer longer than this.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Where the switch is asked.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How the switch does.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&self) -> Result<Status, ClientError> {
        self.read(&self.show("status", &[])?)
    }

    /// The same, in JSON; the longest stalls begin again from nothing then.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn reset_stalls(&self) -> Result<Bytes, ClientError> {
        let path = "/v1/status/reset-stalls";
        let request = self.request(Method::POST, path, Form::Json, Vec::new())?;
        self.wait(self.exchange(request, QUESTION))
    }

    /// What it counted; by port and by subnet as far as the filter says.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn counters(&self, filter: &[(String, String)]) -> Result<CounterReport, ClientError> {
        self.read(&self.show("counters", filter)?)
    }

    /// Objects of a kind, those that have one of the values in each field that is named.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn list<T: Resource>(&self, filter: &[(String, String)]) -> Result<Vec<T>, ClientError> {
        self.read(&self.show(T::NAME, filter)?)
    }

    /// What the switch says under a name, in JSON.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn show(&self, name: &str, filter: &[(String, String)]) -> Result<Bytes, ClientError> {
        let path = format!("/v1/{name}{}", query(filter));
        self.ask(Method::GET, &path, Form::Json)
    }

    /// Explains a frame.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn trace(&self, request: &TraceRequest, form: Form) -> Result<Bytes, ClientError> {
        let body = serde_json::to_vec(request).map_err(|error| self.strange(&error))?;
        let request = self.request(Method::POST, "/v1/trace", form, body)?;
        self.wait(self.exchange(request, QUESTION))
    }

    /// Where packets go next.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn next_hop(&self, asked: &NextHopQuery, form: Form) -> Result<Bytes, ClientError> {
        let source = asked.source.map(|source| ("source", source.to_string()));
        let parameters = [
            ("vsid", asked.vsid.to_string()),
            ("destination", asked.destination.to_string()),
        ];
        let parameters = parameters.into_iter().chain(source);
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        let path = format!("/v1/next-hop{}", query(&parameters.collect::<Vec<_>>()));
        self.ask(Method::GET, &path, form)
    }

    /// Puts the text of a policy file in force. `name` stands in diagnostics.
    ///
    /// # Errors
    /// [`ClientError`]; the policy is then as it was.
    pub fn apply(&self, text: String, name: &str) -> Result<Taken, ClientError> {
        self.post_policy("/v1/policy", text, name, pending())
    }

    /// Makes it ready to be committed.
    ///
    /// # Errors
    /// [`ClientError`]; nothing is prepared then.
    pub fn prepare(&self, text: String, name: &str) -> Result<Prepared, ClientError> {
        self.prepare_unless(text, name, pending())
    }

    /// The same, unless something else comes first: then the switch forgets what it prepares.
    ///
    /// # Errors
    /// [`ClientError`], of which one is [`ClientError::Interrupted`]; nothing is prepared then.
    pub fn prepare_unless(
        &self,
        text: String,
        name: &str,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Prepared, ClientError> {
        self.post_policy("/v1/policy/prepare", text, name, interrupted)
    }

    /// Puts in force what was prepared under this id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn commit(&self, id: &str) -> Result<Taken, ClientError> {
        self.finish("/v1/policy/commit", id)
    }

    /// Forgets what was prepared under this id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn abort(&self, id: &str) -> Result<Aborted, ClientError> {
        self.finish("/v1/policy/abort", id)
    }

    fn finish<T: DeserializeOwned>(&self, path: &str, id: &str) -> Result<T, ClientError> {
        let id = query(&[("id".to_owned(), id.to_owned())]);
        let request = self.request(Method::POST, &format!("{path}{id}"), Form::Json, Vec::new())?;
        self.read(&self.wait(self.exchange(request, CHANGE))?)
    }

    fn post_policy<T: DeserializeOwned>(
        &self,
        path: &str,
        text: String,
        name: &str,
        interrupted: impl Future<Output = ()>,
    ) -> Result<T, ClientError> {
        let name = query(&[("name".to_owned(), name.to_owned())]);
        let path = format!("{path}{name}");
        let request = self.request(Method::POST, &path, Form::Json, text.into_bytes())?;
        let answered = async {
            tokio::select! {
                biased;
                answered = self.exchange(request, CHANGE) => answered,
                () = interrupted => Err(ClientError::Interrupted),
            }
        };
        self.read(&self.wait(answered)?)
    }

    fn ask(&self, method: Method, path: &str, form: Form) -> Result<Bytes, ClientError> {
        let request = self.request(method, path, form, Vec::new())?;
        self.wait(self.exchange(request, QUESTION))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        form: Form,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "netvirt")
            .header(ACCEPT, form.media_type())
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.strange(&error))
    }

    /// The body of a successful answer.
    fn wait(
        &self,
        answered: impl Future<Output = Result<(StatusCode, Bytes), ClientError>>,
    ) -> Result<Bytes, ClientError> {
        let (status, body) = self.runtime.block_on(answered)?;
        if status.is_success() {
            return Ok(body);
        }
        Err(ClientError::Refused {
            status: status.as_u16(),
            problem: self.read(&body)?,
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let patience = patience.min(self.patience);
        let stream = self.unless_silent(patience, UnixStream::connect(&self.socket));
        let stream = stream.await?.map_err(|error| ClientError::NoSwitch {
            socket: self.socket.clone(),
            error,
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken_off(&error))?;
        let answer = async {
            let answer = self.unless_silent(patience, sender.send_request(request));
            let answer = answer.await?.map_err(|error| self.broken_off(&error))?;
            let status = answer.status();
            let body = self.collect(answer.into_body(), patience).await?;
            Ok((status, body))
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The connection may end before its last bytes are looked at.
            _ = connection => answer.await,
        }
    }

    async fn collect(&self, mut body: Incoming, patience: Duration) -> Result<Bytes, ClientError> {
        let mut collected = Vec::new();
        while let Some(frame) = self.unless_silent(patience, body.frame()).await? {
            let frame = frame.map_err(|error| self.broken_off(&error))?;
            if let Ok(data) = frame.into_data() {
                collected.extend_from_slice(&data);
            }
        }
        Ok(collected.into())
    }

    async fn unless_silent<T>(
        &self,
        patience: Duration,
        awaited: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        let heard = timeout(patience, awaited).await;
        heard.map_err(|_elapsed| ClientError::Silent {
            socket: self.socket.clone(),
            waited: patience,
        })
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.strange(&error))
    }

    fn broken_off(&self, error: &hyper::Error) -> ClientError {
        ClientError::BrokenOff {
            socket: self.socket.clone(),
            error: error.to_string(),
        }
    }

    fn strange(&self, error: &dyn std::error::Error) -> ClientError {
        ClientError::Strange {
            socket: self.socket.clone(),
            answer: error.to_string(),
        }
    }
}

/// The query part of a path.
fn query(parameters: &[(String, String)]) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        let before = if query.is_empty() { '?' } else { '&' };
        query.push(before);
        query.extend([&*escaped(name), "=", &*escaped(value)]);
    }
    query
}

/// Everything that may mean something in a query is written by its number (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}
