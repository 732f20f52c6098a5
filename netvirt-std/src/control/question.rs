//! What the switch would do with a frame, asked without sending one.

use std::fmt::Display;
use std::net::IpAddr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse, Response};
use netvirt_core::datapath::Frame;
use netvirt_core::offload::Offload;
use netvirt_core::{CustomerAddress, Vsid};
use serde::{Deserialize, Serialize};

use super::access::{Access, aside};
use super::problem::Refusal;
use super::text::Question;
use crate::explain::{NextHopQuery, explain, select_next_hop};
use crate::hex;
use crate::replay::Place;

/// A frame that is to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// Where it arrives: a machine's name, or `uplink`.
    pub port: String,
    /// Its bytes in hexadecimal, from its Ethernet header on.
    pub frame: String,
    /// Bytes of the whole frame, if only its first are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

/// Explains a frame, under the policy that is in force. It is not counted.
pub(super) async fn trace(
    State(access): State<Access>,
    headers: HeaderMap,
    Question(body): Question,
) -> Result<Response, Refusal> {
    let request: TraceRequest = serde_json::from_slice(&body).map_err(|error| {
        Refusal::malformed(format!(
            "the body is no {{\"port\": …, \"frame\": …}} in JSON: {error}"
        ))
    })?;
    let bytes = hex::parse(&request.frame)
        .map_err(|invalid| Refusal::malformed(format!("`frame` is no frame: {invalid}")))?;
    let explanation = aside(move || {
        access.look(|host, policy| {
            let place = Place::named(&request.port, host)
                .map_err(|unknown| Refusal::malformed(unknown.to_string()))?;
            let frame = Frame {
                ingress: place.ingress(),
                window: &bytes,
                length: request.length.unwrap_or(0).max(bytes.len()),
                offload: Offload::NONE,
            };
            Ok(explain(policy, host, &request.port, &frame))
        })?
    });
    Ok(told(&headers, explanation.await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextHopParameters {
    vsid: u32,
    source: Option<IpAddr>,
    destination: IpAddr,
}

impl NextHopParameters {
    fn query(&self) -> Result<NextHopQuery, netvirt_core::InvalidAddress> {
        Ok(NextHopQuery {
            vsid: Vsid::new(self.vsid)?,
            source: self.source.map(CustomerAddress::new).transpose()?,
            destination: CustomerAddress::new(self.destination)?,
        })
    }
}

/// Says where packets go next, under the policy that is in force. Nothing is counted.
pub(super) async fn next_hop(
    State(access): State<Access>,
    headers: HeaderMap,
    parameters: Result<Query<NextHopParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(parameters) = parameters.map_err(|rejection| {
        Refusal::malformed(format!(
            "give vsid, destination and, if you like, source: {}",
            rejection.body_text()
        ))
    })?;
    let query = parameters
        .query()
        .map_err(|invalid| Refusal::malformed(invalid.to_string()))?;
    let selected = aside(move || {
        let selected = access.look(|host, policy| select_next_hop(policy, host, &query))?;
        selected.map_err(|nobody| Refusal::malformed(nobody.to_string()))
    });
    Ok(told(&headers, selected.await?))
}

/// Tells programs in JSON, and people, who ask for `text/plain`, in words.
fn told(headers: &HeaderMap, answer: impl Serialize + Display) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/plain")) {
        answer.to_string().into_response()
    } else {
        Json(answer).into_response()
    }
}
