//! Why a request is refused, as people and programs are told.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::host::{HostError, HostGone};
use crate::policy_file::{Diagnostics, Severity};

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong and what to do, for people; of a policy file all of it, with the lines that it is about.
    pub error: String,
    /// What is wrong in a policy file, one by one; of very many the first, errors before others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<ToldDiagnostic>,
}

/// One thing that is wrong, or will not work, in a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldDiagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where the message does not say so already.
    pub remedy: Option<String>,
}

impl ToldDiagnostic {
    /// The most important ones, in the order of the file.
    pub fn all(diagnostics: &Diagnostics) -> Vec<Self> {
        let told = diagnostics.most_important().map(|diagnostic| {
            let (line, column) = diagnostics.position(&diagnostic.place().span);
            Self {
                severity: match diagnostic.severity() {
                    Severity::Error => "error".to_owned(),
                    Severity::Warning => "warning".to_owned(),
                    Severity::Note => "note".to_owned(),
                },
                line,
                column,
                message: diagnostic.message().to_owned(),
                remedy: diagnostic.remedy_text().map(str::to_owned),
            }
        });
        told.collect()
    }
}

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub problem: Problem,
}

impl Refusal {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem {
                error: error.into(),
                diagnostics: Vec::new(),
            },
        }
    }

    /// What must not happen has happened.
    pub fn internal() -> Self {
        let error = "an error of netvirt: what the switch wrote on standard error says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    /// It does not go together with what the switch has.
    pub fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// The request itself is wrong.
    pub fn malformed(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.problem)).into_response()
    }
}

impl From<HostGone> for Refusal {
    fn from(HostGone: HostGone) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the switch is ending: start it again",
        )
    }
}

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        let status = match error {
            HostError::UnknownHost(_) => StatusCode::UNPROCESSABLE_ENTITY,
            HostError::Refused { .. }
            | HostError::NoRoom { .. }
            | HostError::Device(_)
            | HostError::OtherUplink
            | HostError::NothingPrepared => StatusCode::CONFLICT,
            HostError::NoWorker(_) | HostError::NoRealTime(_) | HostError::WorkerGone => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<Diagnostics> for Refusal {
    fn from(diagnostics: Diagnostics) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            problem: Problem {
                error: diagnostics.to_string(),
                diagnostics: ToldDiagnostic::all(&diagnostics),
            },
        }
    }
}
