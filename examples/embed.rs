//! Embeds the core in a program of its own: a policy in static storage, one transaction, and a frame that is
//! encapsulated where it lies. Nothing here needs a heap, a thread or an operating system, except the
//! errors and the output of `main`.
//!
//! ```text
//! cargo run --example embed
//! ```

use std::error::Error;
use std::sync::Mutex;
use std::time::Duration;

use netvirt_core::counters::{Counters, PortCounters, SubnetCounters};
use netvirt_core::datapath::{Frame, Ingress, Outcome, Worker};
use netvirt_core::edit::HEADROOM;
use netvirt_core::limit::PortLimits;
use netvirt_core::policy::*;
use netvirt_core::table::Seed;
use netvirt_core::*;

/// Two copies: packets read one while a transaction edits the other. Firmware without `std` puts them into a
/// `static_cell::StaticCell` or the like.
static STORAGE: Mutex<[Profile256; 2]> = Mutex::new([const { Profile256::new() }; 2]);

fn main() -> Result<(), Box<dyn Error>> {
    // Drawn at random where tenants are not to be trusted.
    let seed = Seed::new(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
    let mut storage = STORAGE.lock()?;
    let [first, second] = storage.each_mut().map(|copy| copy.policy(seed));
    let mut policies = Policies::new(first, second);

    let mut encoded = [0; 1024];
    let mut writer = TransactionWriter::new(&mut encoded);
    for change in what_the_operator_says()? {
        writer.push(&change)?;
    }
    policies.apply(Transaction::new(writer.finish()))?;

    let (mut ports, mut subnets) = ([PortCounters::ZERO; 64], [SubnetCounters::ZERO; 8]);
    let counters = Counters::new((&mut ports[..]).into(), (&mut subnets[..]).into());
    let mut limits = [PortLimits::FULL; 64];
    let mut worker = Worker::new(counters, (&mut limits[..]).into());

    // A received frame, behind room for the headers that are put in front of it.
    let mut buffer = [0; 256];
    let place = HEADROOM..HEADROOM + FRAME.len();
    buffer[place.clone()].copy_from_slice(&FRAME);

    let frame = Frame::whole(Ingress::Port(PortId(0)), &buffer[place.clone()]);
    // The time since any moment that stays the same.
    let now = Duration::ZERO;
    let verdict = worker.process(policies.live(), &frame, now);
    let Outcome::Transmit { uplink, edit } = verdict.outcome else {
        return Err(format!("not sent: {verdict:?}").into());
    };
    let place = edit.apply_in_place(&mut buffer, place)?;

    println!("from port 0, {} bytes:", FRAME.len());
    print("frame", &FRAME);
    println!("out of uplink {uplink}, {} bytes:", place.len());
    let sent = &buffer[place];
    print("Ethernet", &sent[..14]);
    print("IPv4", &sent[14..34]);
    print("GRE", &sent[34..42]);
    print("frame", &sent[42..]);
    println!("transmitted: {}", worker.counters().totals().transmitted);
    Ok(())
}

/// This host, another, and between them a virtual subnet with a machine on each.
fn what_the_operator_says() -> Result<[Change; 11], InvalidAddress> {
    let provider = |last| ProviderAddress::new([192, 168, 4, last].into());
    let customer = |last| CustomerAddress::new([10, 0, 0, last].into());
    let mac = |last| MacAddress([0x06, 0x06, 0, 0, 0, last]);
    let (this_host, other_host, port) = (HostId(0), HostId(1), PortId(0));
    let (vsid, domain, uplink) = (Vsid::new(5001)?, DomainId(0), UplinkId(0));
    let record = |last, location| {
        Ok(Change::AddRecord(LookupRecord {
            vsid,
            kind: RecordKind::Static(customer(last)?),
            mac: mac(last),
            location,
            previous: None,
            method: Method::Encapsulate,
        }))
    };
    let settings = Settings {
        // Otherwise it is chosen per flow; fixed, it is easy to find again in the output.
        flow_id: FlowIdPolicy::Fixed(0xa7),
        ..Settings::new(this_host, MacAddress([0x02, 0x15, 0x5d, 0, 0, 0x01]))
    };
    Ok([
        Change::SetSettings(settings),
        Change::AddProviderAddress(HostAddress {
            address: provider(11)?,
            prefix_length: 24,
            uplink,
            mac: MacAddress([0x02, 0, 0, 0, 0, 0x0b]),
            vlan: None,
            mtu: 1600,
            state: AddressState::Preferred,
        }),
        Change::AddHost(other_host),
        Change::AddHostAddress(other_host, provider(22)?),
        // Learned by ARP otherwise: the verdict is then to hold the frame and to ask.
        Change::SetNeighbour(Neighbour {
            uplink,
            address: provider(22)?,
            mac: MacAddress([0x02, 0, 0, 0, 0, 0x16]),
        }),
        Change::AddDomain(domain),
        Change::AddSubnet { vsid, domain },
        Change::AddCustomerRoute(CustomerRoute {
            vsid,
            prefix: Prefix::new([10, 0, 0, 0].into(), 24)?,
            target: RouteTarget::OnLink,
            metric: 0,
        }),
        Change::AddPort(Port {
            port,
            vsid: Some(vsid),
            mac: mac(5),
        }),
        record(5, Location::Port(port))?,
        record(7, Location::Host(other_host))?,
    ])
}

/// From 10.0.0.5 to 10.0.0.7: a UDP datagram that says "hello, hnv".
const FRAME: [u8; 52] = [
    0x06, 0x06, 0x00, 0x00, 0x00, 0x07, 0x06, 0x06, 0x00, 0x00, 0x00, 0x05, 0x08, 0x00, 0x45, 0x00,
    0x00, 0x26, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x14, 0x88, 0x0a, 0x00, 0x00, 0x05, 0x0a, 0x00,
    0x00, 0x07, 0x04, 0x57, 0x08, 0xae, 0x00, 0x12, 0x0b, 0xdd, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c,
    0x20, 0x68, 0x6e, 0x76,
];

fn print(name: &str, bytes: &[u8]) {
    print!("  {name:<9}");
    bytes.iter().for_each(|byte| print!(" {byte:02x}"));
    println!();
}
