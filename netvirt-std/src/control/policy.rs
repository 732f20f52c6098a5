//! New versions of the policy: checked, made ready, put in force.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::access::{Access, aside};
use super::peer::Peer;
use super::problem::{Refusal, ToldDiagnostic};
use super::room::explained;
use super::text::PolicyText;
use crate::host::{Host, HostError};
use crate::policy_file::PolicyFile;

/// A version of the policy that is in force now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its number on this host.
    pub version: u64,
    /// What in the file will not work as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ToldDiagnostic>,
}

/// A version of the policy that waits to be committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What it is committed or aborted by. Nobody else prepares under the same.
    pub id: String,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Id {
    /// What the switch said when it prepared the version.
    id: String,
}

type Named = Result<Query<Name>, QueryRejection>;
type Identified = Result<Query<Id>, QueryRejection>;

pub(super) async fn apply(
    State(access): State<Access>,
    Extension(peer): Extension<Peer>,
    name: Named,
    text: PolicyText,
) -> Result<Json<Taken>, Refusal> {
    let name = name_of(name)?;
    let file_name = name.clone();
    let applied = aside(move || {
        let file = text.parse(&name)?;
        let warnings = ToldDiagnostic::all(file.warnings());
        let version = access.ask_both(move |host, beside| {
            beside.prepared = None;
            let applied = host.apply(&file);
            applied.map_err(|error| explained(error, host, &file))
        })??;
        Ok(Taken { version, warnings })
    });
    let applied = applied.await;
    match &applied {
        Ok(taken) => tracing::info!(
            file = file_name,
            version = taken.version,
            uid = peer.uid,
            "a version of the policy is in force"
        ),
        Err(refusal) => peer.is_refused(&file_name, refusal),
    }
    applied.map(Json)
}

/// Whoever does not wait for the answer does not learn the id, so the version is not kept then.
pub(super) async fn prepare(
    State(access): State<Access>,
    Extension(peer): Extension<Peer>,
    name: Named,
    text: PolicyText,
) -> Result<Json<Prepared>, Refusal> {
    let name = name_of(name)?;
    let (answer, answered) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let prepared = prepare_text(&access, text, &name);
        match &prepared {
            Ok(prepared) => tracing::info!(
                file = name,
                version = prepared.version,
                id = prepared.id,
                uid = peer.uid,
                "a version of the policy is prepared"
            ),
            Err(refusal) => peer.is_refused(&name, refusal),
        }
        if let Err(Ok(Prepared { id, .. })) = answer.send(prepared) {
            tracing::info!(
                id,
                "the version is forgotten: nobody waited until it was prepared"
            );
            let _ = access.ask_both(move |host, beside| abort_on(host, &mut beside.prepared, &id));
        }
    });
    let prepared = answered.await;
    prepared
        .unwrap_or_else(|_panicked| Err(Refusal::internal()))
        .map(Json)
}

fn prepare_text(access: &Access, text: PolicyText, name: &str) -> Result<Prepared, Refusal> {
    let file = text.parse(name)?;
    let warnings = ToldDiagnostic::all(file.warnings());
    let id = new_id(&file);
    let prepared_as = id.clone();
    let version = access.ask_both(move |host, beside| {
        beside.prepared = None;
        let version = host.prepare(&file);
        let version = version.map_err(|error| explained(error, host, &file))?;
        beside.prepared = Some(prepared_as);
        Ok::<_, HostError>(version)
    })??;
    Ok(Prepared {
        id,
        version,
        warnings,
    })
}

/// The beginning of the file's digest, and something that nobody had before.
fn new_id(file: &PolicyFile) -> String {
    let digest = file.digest();
    let nonce = RandomState::new().hash_one(0) as u32;
    format!("{}-{nonce:08x}", digest.get(..8).unwrap_or(digest))
}

fn name_of(name: Named) -> Result<String, Refusal> {
    let Query(Name { name }) =
        name.map_err(|rejection| Refusal::malformed(rejection.body_text()))?;
    Ok(name)
}

fn id_of(id: Identified) -> Result<String, Refusal> {
    let Query(Id { id }) = id.map_err(|rejection| {
        Refusal::malformed(format!(
            "say which version by ?id=…, as the switch did when it prepared it: {}",
            rejection.body_text()
        ))
    })?;
    Ok(id)
}

pub(super) async fn commit(
    State(access): State<Access>,
    Extension(peer): Extension<Peer>,
    id: Identified,
) -> Result<Json<Taken>, Refusal> {
    let id = id_of(id)?;
    let wanted = id.clone();
    let committed = aside(move || {
        access.ask_both(move |host, beside| commit_on(host, &mut beside.prepared, &wanted))?
    });
    let committed = committed.await;
    match &committed {
        Ok(version) => tracing::info!(version, id, uid = peer.uid, "what was prepared is in force"),
        Err(refusal) => peer.is_refused(&id, refusal),
    }
    committed.map(|version| {
        Json(Taken {
            version,
            warnings: Vec::new(),
        })
    })
}

pub(super) async fn abort(
    State(access): State<Access>,
    Extension(peer): Extension<Peer>,
    id: Identified,
) -> Result<Json<Aborted>, Refusal> {
    let id = id_of(id)?;
    let wanted = id.clone();
    let aborted = aside(move || {
        access.ask_both(move |host, beside| abort_on(host, &mut beside.prepared, &wanted))?
    });
    let aborted = aborted.await;
    match &aborted {
        Ok(_) => tracing::info!(id, uid = peer.uid, "what was prepared is forgotten"),
        Err(refusal) => peer.is_refused(&id, refusal),
    }
    aborted.map(|aborted| Json(Aborted { aborted }))
}

fn commit_on(host: &mut Host, prepared: &mut Option<String>, id: &str) -> Result<u64, Refusal> {
    if prepared.is_none() {
        return Err(HostError::NothingPrepared.into());
    }
    see_that_it_is(prepared, id)?;
    *prepared = None;
    Ok(host.commit()?)
}

fn abort_on(host: &mut Host, prepared: &mut Option<String>, id: &str) -> Result<bool, Refusal> {
    see_that_it_is(prepared, id)?;
    *prepared = None;
    Ok(host.abort())
}

fn see_that_it_is(prepared: &Option<String>, id: &str) -> Result<(), Refusal> {
    match prepared {
        Some(other) if other != id => Err(Refusal::conflict(format!(
            "what is prepared is {other}, not {id}: somebody prepared another version in its place; if yours is still \
             wanted, prepare it again"
        ))),
        _ => Ok(()),
    }
}
