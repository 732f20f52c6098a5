//! Which host a command runs on.

use super::arguments::{Argument, Bound, Parameter, aliased, switch, value};
use super::value::{Item, Value, Yielded};
use super::{Evaluator, Scope};
use crate::import::findings::Result;
use crate::import::script::Command;
use crate::import::tables::HostIndex;
use crate::policy_file::Diagnostic;

impl Evaluator<'_> {
    /// The hosts that a command runs on.
    pub(super) fn hosts(&mut self, bound: &Bound) -> Result<Vec<HostIndex>> {
        let named = ["CimSession", "ComputerName"].into_iter();
        let Some(argument) = named.filter_map(|name| bound.get(name)).next() else {
            return Ok(vec![self.here(&bound.span)]);
        };
        self.hosts_of(argument)
    }

    /// The hosts that an argument names.
    pub(super) fn hosts_of(&mut self, argument: &Argument) -> Result<Vec<HostIndex>> {
        let mut hosts = Vec::new();
        for item in argument.item.items().iter().flat_map(Item::items) {
            let host = match &item.value {
                Value::Session(host) => *host,
                Value::Text(name) if is_this_machine(name) => {
                    self.state.this_machine(&argument.span)
                }
                Value::Unknown(name) if &**name == "$env:computername" => {
                    self.state.this_machine(&argument.span)
                }
                Value::Text(name) if !name.trim().is_empty() => {
                    self.state.host_named(name.trim(), &item.origin)
                }
                other => {
                    let message = match other {
                        Value::Unknown(what) => {
                            format!(
                                "which host `{what}` is, only the machine knows that runs the script"
                            )
                        }
                        other => format!("{other} names no host"),
                    };
                    let finding = Diagnostic::error(&argument.span, message)
                        .remedy("write the host's name, or a session from `New-CimSession -ComputerName NAME`");
                    return self.findings.refuse(argument.with_origin(item, finding));
                }
            };
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        if hosts.is_empty() {
            return self.findings.refuse(
                Diagnostic::error(&argument.span, "no host is named here")
                    .remedy("write the host's name"),
            );
        }
        Ok(hosts)
    }

    /// `New-CimSession`: a session with each host.
    pub(super) fn open_sessions(&mut self, command: &Command) -> Result<Vec<Item>> {
        let parameters = [
            aliased("ComputerName", "Cn"),
            value("Credential"),
            value("Name"),
            value("Authentication"),
            value("SessionOption"),
            value("Port"),
            value("OperationTimeoutSec"),
            switch("UseSSL"),
        ];
        let bound = self.bind(command, &parameters, &["ComputerName"]).whole()?;
        let hosts = self.hosts(&bound)?;
        let origin = bound
            .get("ComputerName")
            .map_or(&bound.span, |argument| &argument.span);
        Ok(hosts
            .into_iter()
            .map(|host| Item::new(Value::Session(host), origin))
            .collect())
    }

    /// `Invoke-Command`: a block on each host.
    pub(super) fn invoke(&mut self, command: &Command) -> Result<Vec<Item>> {
        let parameters: [Parameter; 7] = [
            aliased("ComputerName", "Cn"),
            value("Session"),
            value("ScriptBlock"),
            value("Credential"),
            aliased("ArgumentList", "Args"),
            value("Authentication"),
            switch("UseSSL"),
        ];
        let bound = self.bind(command, &parameters, &["ScriptBlock"]).whole()?;
        if let Some(argument) = bound.get("ArgumentList") {
            return self.findings.refuse(
                Diagnostic::error(
                    &argument.span,
                    "what a block gets as arguments is not evaluated",
                )
                .remedy("use the variables themselves in the block: `$using:name`"),
            );
        }
        let block = self.block_of(&bound, "ScriptBlock")?;
        let named = ["ComputerName", "Session"].into_iter();
        let Some(argument) = named.filter_map(|name| bound.get(name)).next() else {
            return self.call(&block, &command.name.span);
        };
        let mut yielded = Yielded::default();
        for host in self.hosts_of(argument)? {
            self.scopes.push(Scope::new());
            self.remote.push(host);
            let result = self.call(&block, &command.name.span);
            self.remote.pop();
            self.scopes.pop();
            yielded.add(result);
        }
        yielded.all()
    }
}

fn is_this_machine(name: &str) -> bool {
    ["localhost", ".", "127.0.0.1", "::1"].contains(&name.trim().to_lowercase().as_str())
}
