//! The policy file.
mod allocate;
mod derive;
mod diagnostic;
mod model;
mod reader;
mod validate;

use std::sync::Arc;

pub use allocate::{Assigned, allocate};
pub use derive::{DomainInfo, HostPolicy, MachineInfo, PortInfo, SubnetInfo, UnknownHost};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity, Span};

use diagnostic::Log;
use model::Model;

/// A policy file that was read and found good.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    model: Arc<Model>,
    warnings: Diagnostics,
}

impl PolicyFile {
    /// Reads and checks `text`. `file_name` stands in the diagnostics.
    ///
    /// # Errors
    ///
    /// All errors of the file, and its warnings.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Diagnostics> {
        let log = Log::default();
        let model = model::read(text, &log);
        if let Some(model) = &model {
            validate::check(model, &log);
            validate::check_allocated(model, file_name, &log);
        }
        let found = log.into_diagnostics(file_name, text);
        match model {
            Some(model) if !found.has_errors() => Ok(Self {
                model: Arc::new(model),
                warnings: found,
            }),
            _ => Err(found),
        }
    }

    /// What will not work as written, although the file can be used.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// The names of all hosts, in the order of the file.
    pub fn host_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.model
            .hosts
            .iter()
            .map(|host| host.name.value.0.as_str())
    }

    /// What the host `name` needs: its own addresses and ports, and the records of the routing domains
    /// that its machines are in, were in, or are peered with.
    ///
    /// # Errors
    ///
    /// The file has no such host.
    pub fn for_host(&self, name: &str) -> Result<HostPolicy, UnknownHost> {
        derive::for_host(&self.model, name)
    }
}
