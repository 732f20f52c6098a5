//! Who decides about frames that are not sent: a policy file, or a running switch.

use std::path::PathBuf;

use clap::Args;
use netvirt_std::control::{Client, Form};
use netvirt_std::policy_file::HostPolicy;

use super::{Failure, control, policy};

#[derive(Args)]
pub struct DeciderArgs {
    /// The policy file (TOML).
    #[arg(long, value_name = "FILE", requires = "host")]
    policy: Option<PathBuf>,
    /// The host whose switch it is.
    #[arg(long, value_name = "NAME", requires = "policy")]
    host: Option<String>,
    /// Instead of both: the socket of a running switch, whose live policy decides [default: the only one in
    /// /run/netvirt].
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["policy", "host"])]
    control: Option<PathBuf>,
    /// In JSON.
    #[arg(long)]
    json: bool,
}

pub enum Decider {
    /// What a policy file gives a host to do.
    Policy(Box<HostPolicy>),
    /// A running switch.
    Switch(Client),
}

impl DeciderArgs {
    pub fn decider(&self) -> Result<Decider, Failure> {
        if let (Some(file), Some(host)) = (&self.policy, &self.host) {
            return Ok(Decider::Policy(Box::new(policy::of_host(file, host)?)));
        }
        Ok(Decider::Switch(control::client(self.control.as_deref())?))
    }

    pub const fn form(&self) -> Form {
        match self.json {
            true => Form::Json,
            false => Form::Text,
        }
    }
}
