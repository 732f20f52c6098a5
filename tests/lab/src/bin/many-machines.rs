//! Writes the part of a policy file that makes it large: one routing domain with as many machines as wanted, on hosts
//! that nobody runs. Append it to a file with a physical network around the hosts' addresses, and let a machine of
//! the domain be on a host that is run, so that the host needs all the records:
//!
//! ```text
//! { cat base.toml; many-machines --machines 1000000; } > large.toml
//! ```
//!
//! Machine number N is the same in every file, so that two files differ in what their arguments differ.

use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;

use clap::Parser;

/// Writes a routing domain with many machines, as a part of a policy file.
#[derive(Parser)]
struct Arguments {
    /// Machines; each has one address and so one record on every host that has to do with the domain.
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=1 << 23))]
    machines: u32,
    /// Name of the routing domain.
    #[arg(long, default_value = "bulk")]
    domain: String,
    /// VSID of its first subnet, 10.0.0.0/16. Machines have addresses from 10.0.1.0 on; those before are free.
    #[arg(long, default_value_t = 100_000)]
    vsid: u32,
    /// Subnets, each of 65,024 machines at most.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=128))]
    subnets: u32,
    /// The machines are this many hosts further than they would be.
    #[arg(long, default_value_t = 0)]
    moved: u32,
    /// The first two bytes of the hosts' provider addresses; the third is 100.
    #[arg(long, default_value = "192.168")]
    prefix: String,
}

const HOSTS: u32 = 100;
/// The last 256 addresses of a subnet stay free, as do the first.
const MACHINES_OF_SUBNET: u32 = (1 << 16) - 512;

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let capacity = arguments.subnets * MACHINES_OF_SUBNET;
    if arguments.machines > capacity {
        let why = format!(
            "{} subnets have room for {capacity} machines",
            arguments.subnets
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    write_hosts(&arguments, &mut out)?;
    write_domain(&arguments, &mut out)?;
    for number in 0..arguments.machines {
        write_machine(&arguments, number, &mut out)?;
    }
    out.flush()
}

fn write_hosts(arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    for number in 1..=HOSTS {
        let prefix = &arguments.prefix;
        writeln!(
            out,
            "\n[[host]]\nname = \"far-{number}\"\nuplink = {{ mac = \"02:fa:00:00:00:{number:02x}\" }}\n\
            addresses = [\"{prefix}.100.{number}\"]"
        )?;
    }
    Ok(())
}

fn write_domain(arguments: &Arguments, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n[[routing-domain]]\nname = \"{}\"", arguments.domain)?;
    for subnet in 0..arguments.subnets {
        let vsid = arguments.vsid + subnet;
        writeln!(
            out,
            "\n[[routing-domain.subnet]]\nvsid = {vsid}\nprefixes = [\"10.{subnet}.0.0/16\"]"
        )?;
    }
    Ok(())
}

fn write_machine(arguments: &Arguments, number: u32, out: &mut impl Write) -> io::Result<()> {
    let (subnet, place) = (number / MACHINES_OF_SUBNET, number % MACHINES_OF_SUBNET);
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, subnet as u8, 1, 0)) + place);
    let [_, high, middle, low] = number.to_be_bytes();
    writeln!(
        out,
        "\n[[vm]]\nname = \"{}-{number}\"\nsubnet = {}\nhost = \"far-{}\"\nmac = \"02:bb:00:{high:02x}:{middle:02x}:{low:02x}\"\n\
        addresses = [\"{address}\"]",
        arguments.domain,
        arguments.vsid + subnet,
        (number + arguments.moved) % HOSTS + 1,
    )
}
