//! `netvirt select-next-hop`

use std::io::Write;
use std::net::IpAddr;

use clap::Args;
use netvirt_core::{CustomerAddress, Vsid};
use netvirt_std::control::Form;
use netvirt_std::explain::{NextHopQuery, select_next_hop};
use netvirt_std::policy_file::HostPolicy;
use netvirt_std::replay::Replay;

use super::Failure;
use super::decider::{Decider, DeciderArgs};
use super::replay::write_json;

#[derive(Args)]
pub struct SelectNextHopArgs {
    #[command(flatten)]
    decider: DeciderArgs,
    /// The virtual subnet of the sender.
    #[arg(long, value_name = "VSID", value_parser = vsid)]
    vsid: Vsid,
    /// The sender's customer address [default: that of any machine of the subnet on the host].
    #[arg(long, value_name = "ADDRESS", value_parser = customer_address)]
    source: Option<CustomerAddress>,
    /// The customer address that the packets are for.
    #[arg(value_parser = customer_address)]
    destination: CustomerAddress,
}

fn vsid(text: &str) -> Result<Vsid, String> {
    let number: u32 = text
        .parse()
        .map_err(|_| "give a number, for example 5001".to_owned())?;
    Vsid::new(number).map_err(|invalid| invalid.to_string())
}

fn customer_address(text: &str) -> Result<CustomerAddress, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| "give an IP address, for example 10.0.0.7".to_owned())?;
    CustomerAddress::new(address).map_err(|invalid| invalid.to_string())
}

/// Says where packets would go next.
pub fn run(args: &SelectNextHopArgs, out: &mut impl Write) -> Result<(), Failure> {
    let query = NextHopQuery {
        vsid: args.vsid,
        source: args.source,
        destination: args.destination,
    };
    let form = args.decider.form();
    match args.decider.decider()? {
        Decider::Policy(host) => offline(&host, &query, form, out),
        Decider::Switch(client) => Ok(out.write_all(&client.next_hop(&query, form)?)?),
    }
}

fn offline(
    host: &HostPolicy,
    query: &NextHopQuery,
    form: Form,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let replay = Replay::new(host).map_err(|refused| Failure::BadInput(refused.to_string()))?;
    let selected = select_next_hop(replay.switch().policy(), host, query)
        .map_err(|nobody| Failure::Impossible(nobody.to_string()))?;
    match form {
        Form::Json => write_json(out, &selected),
        Form::Text => Ok(write!(out, "{selected}")?),
    }
}
