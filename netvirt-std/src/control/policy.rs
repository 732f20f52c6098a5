//! New versions of the policy: checked, made ready, put in force.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::access::{Access, aside};
use super::problem::{Refusal, ToldDiagnostic};
use crate::host::{Host, HostError};
use crate::policy_file::PolicyFile;

/// A version of the policy that was prepared, or is in force now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its number on this host.
    pub version: u64,
    /// What in the file will not work as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ToldDiagnostic>,
}

/// What was prepared is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    /// Whether anything was prepared.
    pub aborted: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    /// The file's name in messages.
    #[serde(default = "unnamed")]
    name: String,
}

fn unnamed() -> String {
    "policy".to_owned()
}

type Named = Result<Query<Name>, QueryRejection>;
type Text = Result<Bytes, BytesRejection>;

pub(super) async fn apply(
    State(access): State<Access>,
    name: Named,
    text: Text,
) -> Result<Json<Taken>, Refusal> {
    take(access, name, text, Host::apply).await
}

pub(super) async fn prepare(
    State(access): State<Access>,
    name: Named,
    text: Text,
) -> Result<Json<Taken>, Refusal> {
    take(access, name, text, Host::prepare).await
}

/// A large file takes its time: it is read and checked here, not on the host's thread.
async fn take(
    access: Access,
    name: Named,
    text: Text,
    step: fn(&mut Host, &PolicyFile) -> Result<u64, HostError>,
) -> Result<Json<Taken>, Refusal> {
    let Query(Name { name }) =
        name.map_err(|rejection| Refusal::malformed(rejection.body_text()))?;
    let text = text.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    let taken = aside(move || {
        let text = str::from_utf8(&text)
            .map_err(|error| Refusal::malformed(format!("{name} is no text: {error}")))?;
        let file = PolicyFile::parse(text, &name)?;
        let warnings = ToldDiagnostic::all(file.warnings());
        let version = access.ask(move |host| step(host, &file))??;
        Ok(Taken { version, warnings })
    });
    Ok(Json(taken.await?))
}

pub(super) async fn commit(State(access): State<Access>) -> Result<Json<Taken>, Refusal> {
    let taken = aside(move || {
        Ok(Taken {
            version: access.ask(Host::commit)??,
            warnings: Vec::new(),
        })
    });
    Ok(Json(taken.await?))
}

pub(super) async fn abort(State(access): State<Access>) -> Result<Json<Aborted>, Refusal> {
    let aborted = aside(move || {
        Ok(Aborted {
            aborted: access.ask(Host::abort)?,
        })
    });
    Ok(Json(aborted.await?))
}
