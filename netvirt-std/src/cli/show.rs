//! `netvirt show`

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use netvirt_std::control::{
    Client, CustomerRouteView, HostView, MulticastGroupView, NeighbourView, PortView,
    ProviderAddressView, ProviderRouteView, RecordView, Resource,
};

use super::{Failure, control};

#[derive(Args)]
pub struct ShowArgs {
    /// What is to be shown.
    #[arg(default_value = "status")]
    what: What,
    /// Only what has this value in this field; of several values of one field, any.
    #[arg(value_name = "FIELD=VALUE", value_parser = field_and_value)]
    filter: Vec<(String, String)>,
    /// The switch's socket [default: the only one in /run/netvirt].
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// What the switch says, in JSON with all fields.
    #[arg(long)]
    json: bool,
    /// Of the status: have the longest stalls begin again from nothing, after it is shown in JSON.
    #[arg(long, requires = "json")]
    reset_stalls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Status,
    Ports,
    Records,
    CustomerRoutes,
    MulticastGroups,
    ProviderAddresses,
    ProviderRoutes,
    Hosts,
    Neighbours,
    Counters,
}

fn field_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.is_empty() => Ok((field.to_owned(), value.to_owned())),
        _ => Err("give FIELD=VALUE, for example vsid=5001".to_owned()),
    }
}

/// Shows what a running switch knows and does.
pub fn run(args: &ShowArgs, out: &mut impl Write) -> Result<(), Failure> {
    let client = control::client(args.control.as_deref())?;
    if args.reset_stalls && args.what != What::Status {
        return Err(Failure::Impossible(
            "--reset-stalls goes with the status: netvirt show status --json --reset-stalls".into(),
        ));
    }
    if args.json {
        let shown = if args.reset_stalls {
            client.reset_stalls()?
        } else {
            let name = args.what.to_possible_value();
            let name = name.as_ref().map_or("", |value| value.get_name());
            client.show(name, &args.filter)?
        };
        return Ok(writeln!(
            out,
            "{}",
            String::from_utf8_lossy(&shown).trim_end()
        )?);
    }
    let filter = &args.filter[..];
    let text = match args.what {
        What::Status if filter.is_empty() => client.status()?.to_string(),
        What::Status => {
            return Err(Failure::Impossible(
                "there is one status: leave FIELD=VALUE out".into(),
            ));
        }
        What::Counters if filter.is_empty() => client.counters(filter)?.to_string(),
        What::Counters => client.counters(filter)?.by_place(),
        What::Ports => table::<PortView>(&client, filter)?,
        What::Records => table::<RecordView>(&client, filter)?,
        What::CustomerRoutes => table::<CustomerRouteView>(&client, filter)?,
        What::MulticastGroups => table::<MulticastGroupView>(&client, filter)?,
        What::ProviderAddresses => table::<ProviderAddressView>(&client, filter)?,
        What::ProviderRoutes => table::<ProviderRouteView>(&client, filter)?,
        What::Hosts => table::<HostView>(&client, filter)?,
        What::Neighbours => table::<NeighbourView>(&client, filter)?,
    };
    Ok(out.write_all(text.as_bytes())?)
}

fn table<T: Resource>(client: &Client, filter: &[(String, String)]) -> Result<String, Failure> {
    let objects = client.list::<T>(filter)?;
    Ok(match &objects[..] {
        [] => "There are none.\n".to_owned(),
        objects => T::table(objects),
    })
}
