//! What each command does.

use super::Evaluator;
use super::arguments::{aliased, switch, value};
use super::expressions::unknown;
use super::fields;
use super::tables::Verb;
use super::value::{Item, Value};
use crate::import::findings::Result;
use crate::import::script::Command;
use crate::import::tables::{FieldValue, Kind, TableName};
use crate::policy_file::{Diagnostic, suggestion};

/// Commands that set nothing and yield nothing.
const SILENT: [&str; 23] = [
    "Import-Module",
    "ipmo",
    "Write-Host",
    "Write-Verbose",
    "Write-Warning",
    "Write-Debug",
    "Write-Information",
    "Write-Progress",
    "Write-Error",
    "Out-Null",
    "Out-Host",
    "Out-File",
    "Format-Table",
    "ft",
    "Format-List",
    "fl",
    "Clear-Host",
    "cls",
    "Set-StrictMode",
    "Start-Sleep",
    "Start-Transcript",
    "Stop-Transcript",
    "Set-ExecutionPolicy",
];

/// Commands whose effect has no place in a policy file.
const LEFT_OUT: [&str; 13] = [
    "Enable-NetAdapterBinding",
    "Rename-NetAdapter",
    "Rename-VMNetworkAdapter",
    "New-VMSwitch",
    "New-VM",
    "Start-VM",
    "Stop-VM",
    "Restart-VM",
    "Install-WindowsFeature",
    "Add-WindowsFeature",
    "Restart-Computer",
    "New-NetFirewallRule",
    "Select-NetVirtualizationNextHop",
];

/// Commands that set nothing, and what they yield only the machine knows that runs the script.
const ASKING: [&str; 10] = [
    "Get-NetAdapter",
    "Get-NetIPAddress",
    "Get-VMSwitch",
    "Get-VMHost",
    "Get-Credential",
    "Get-Date",
    "Get-Content",
    "Write-Output",
    "echo",
    "Out-String",
];

/// The commands that are followed, besides those of the tables.
const FOLLOWED: [&str; 11] = [
    "Set-VMNetworkAdapter",
    "Get-VMNetworkAdapter",
    "Get-VM",
    "Set-NetVirtualizationGlobal",
    "Get-NetVirtualizationGlobal",
    "New-CimSession",
    "Remove-CimSession",
    "Invoke-Command",
    "ForEach-Object",
    "Where-Object",
    "Disable-NetAdapterBinding",
];

impl Evaluator<'_> {
    /// Does what a command does with what comes through the pipeline; yields what it yields.
    pub(super) fn command(
        &mut self,
        command: &Command,
        input: Option<Vec<Item>>,
    ) -> Result<Vec<Item>> {
        let name = command.name.text.to_lowercase();
        if let Some((verb, table)) = table_command(&name) {
            return self.table_command(verb, table, command, input);
        }
        match name.as_str() {
            "foreach-object" | "foreach" | "%" => self.foreach_object(command, input),
            "where-object" | "where" | "?" => self.where_object(command, input),
            "invoke-command" | "icm" => self.invoke(command),
            "new-cimsession" | "new-pssession" => self.open_sessions(command),
            "remove-cimsession" | "remove-pssession" => Ok(Vec::new()),
            "set-vmnetworkadapter" => self.set_adapter(command, input),
            "get-vmnetworkadapter" => self.get_adapter(command, input),
            "get-vm" => self.get_machine(command),
            "set-netvirtualizationglobal" => self.set_global(command),
            "get-netvirtualizationglobal" => Ok(vec![self.asked(command)]),
            "disable-netadapterbinding" => self.unbind(command),
            "sort-object" | "sort" => Ok(input.unwrap_or_default()),
            "select-object" | "select" if input.iter().flatten().all(is_unknown) => {
                Ok(input.unwrap_or_default())
            }
            name if is_among(name, &SILENT) => Ok(Vec::new()),
            name if is_among(name, &ASKING) => Ok(vec![self.asked(command)]),
            name if is_among(name, &LEFT_OUT) => {
                self.note_left_out(command);
                Ok(vec![self.asked(command)])
            }
            _ => self.refuse_command(command),
        }
    }

    /// What only the machine knows that runs the script.
    fn asked(&self, command: &Command) -> Item {
        Item::new(
            unknown(&format!("({} …)", command.name.text)),
            &command.name.span,
        )
    }

    fn note_left_out(&self, command: &Command) {
        let mut message = format!(
            "{} has no counterpart in a policy file and is left out",
            command.name.text
        );
        if command.name.text.to_lowercase().starts_with("select-") {
            message = format!(
                "{} asks only and is left out; `netvirt trace` answers",
                command.name.text
            );
        }
        self.findings
            .note(Diagnostic::note(&command.name.span, message));
    }

    fn refuse_command(&self, command: &Command) -> Result<Vec<Item>> {
        let name = &command.name;
        let message = format!("import does not know the command {}", name.text);
        let tables = TableName::ALL.iter().flat_map(|table| {
            Verb::ALL.map(|(verb, _)| format!("{verb}-NetVirtualization{}", table.noun()))
        });
        let known: Vec<String> = tables.chain(FOLLOWED.map(str::to_owned)).collect();
        let near = suggestion(&name.text, known.iter().map(String::as_str));
        let remedy = match near.starts_with("did you mean") && is_similar(&name.text, &near) {
            true => near,
            false => "remove it if the virtual network does not depend on it; else write what it does with the \
                      cmdlets of NetWNV"
                .to_owned(),
        };
        self.findings
            .refuse(Diagnostic::error(&name.span, message).remedy(remedy))
    }

    /// `Set-NetVirtualizationGlobal`
    fn set_global(&mut self, command: &Command) -> Result<Vec<Item>> {
        let parameters = [
            value("UseExternalRouter"),
            value("InputObject"),
            aliased("CimSession", "Session"),
        ];
        let bound = self.bind(command, &parameters, &[]).whole()?;
        self.hosts(&bound)?;
        let Some(argument) = bound.get("UseExternalRouter") else {
            return Ok(Vec::new());
        };
        match fields::single(argument, Kind::Flag, self.findings)?.value {
            FieldValue::Flag(true) => {
                let message = "a policy file has no external router: netvirt routes between the subnets of a \
                               routing domain itself";
                self.findings.refuse(
                    Diagnostic::error(&argument.span, message).remedy(
                        "set it to $false; where a router must see the traffic, give it a machine in the domain and \
                         customer routes to it",
                    ),
                )
            }
            _ => Ok(Vec::new()),
        }
    }

    /// `Disable-NetAdapterBinding`. Windows then forgets what the host was given; that is seldom what is meant.
    fn unbind(&mut self, command: &Command) -> Result<Vec<Item>> {
        self.note_left_out(command);
        let parameters = [
            value("Name"),
            value("ComponentID"),
            value("DisplayName"),
            value("InterfaceDescription"),
            switch("AllBindings"),
            switch("IncludeHidden"),
            aliased("CimSession", "Session"),
        ];
        let bound = self.bind(command, &parameters, &["Name"]).whole()?;
        for host in self.hosts(&bound)? {
            let given = TableName::ALL
                .iter()
                .any(|table| self.state.rows_of(*table, host).next().is_some());
            if given {
                let message = format!(
                    "Windows forgets here what {} was given before; import keeps it",
                    self.state.host_entry(host)
                );
                self.findings.note(
                    Diagnostic::warning(&bound.span, message)
                        .remedy("remove the commands before it if they are not meant to last"),
                );
            }
        }
        Ok(Vec::new())
    }
}

/// The verb and the table of `verb-netvirtualization…`.
fn table_command(name: &str) -> Option<(Verb, TableName)> {
    let (verb, noun) = name.split_once("-netvirtualization")?;
    let (_, verb) = Verb::ALL
        .into_iter()
        .find(|(word, _)| word.to_lowercase() == verb)?;
    let table = TableName::ALL
        .into_iter()
        .find(|table| table.noun().to_lowercase() == noun)?;
    Some((verb, table))
}

fn is_unknown(item: &Item) -> bool {
    matches!(item.value, Value::Unknown(_))
}

fn is_among(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.to_lowercase() == name)
}

/// Cmdlets have long common parts; only a small difference is a slip.
fn is_similar(name: &str, suggested: &str) -> bool {
    let suggested = suggested
        .split('`')
        .nth(1)
        .unwrap_or_default()
        .to_lowercase();
    strsim::damerau_levenshtein(&name.to_lowercase(), &suggested) <= 3
}
