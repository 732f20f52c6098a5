//! Prints what a host's datapath decides as rules for a device: each [`Edit`] becomes a line for Linux's `tc`, which matches
//! addresses and does what the edit says. An edit is plain data; a NIC's match-action table needs no more.
//!
//! ```text
//! cargo run --example tc_rules
//! cargo run --example tc_rules -- POLICY.toml HOST | sh
//! ```
//!
//! The machines' interfaces and the uplink have to be there, and a tunnel device: `ip link add nvgre type gretap external`.
//! The rules carry whole packets between machines of the policy. Errors, broadcast, and packets that are too large remain
//! with the switch, and so does the choice of one of several provider addresses by flow: a rule has one of them. tc matches
//! whole keys, so that the policy must fix the FlowID, and its tunnels are used over IPv4 only here.

use std::env;
use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use etherparse::PacketBuilder;
use managed::ManagedSlice;
use netvirt_core::UplinkId;
use netvirt_core::counters::Counters;
use netvirt_core::datapath::{Frame, Ingress, Outcome, Worker};
use netvirt_core::edit::{Edit, Encapsulation, HEADROOM, Push};
use netvirt_core::limit::PortLimits;
use netvirt_core::policy::Policy;
use netvirt_std::policy_file::{HostPolicy, PolicyFile, PortInfo};
use netvirt_std::replay::Replay;

const UPLINK: Ingress = Ingress::Uplink(UplinkId(0));
/// The device that puts NVGRE in front of a frame and takes it away.
const TUNNEL: &str = "nvgre";

fn main() -> Result<(), Box<dyn Error>> {
    let [policy, name] = arguments()?;
    let text = fs::read_to_string(&policy).map_err(|error| format!("{policy}: {error}"))?;
    let file = PolicyFile::parse(&text, &policy).map_err(|errors| errors.to_string())?;
    let host = file.for_host(&name)?;
    let replay = Replay::new(&host)?;
    let device = Device {
        host: &host,
        policy: replay.switch().policy(),
    };
    device.prepare();
    for port in &host.ports {
        device.rules_out(port);
    }
    for other in file.host_names().filter(|other| *other != name) {
        let other = file.for_host(other)?;
        let replay = Replay::new(&other)?;
        device.rules_in(&other, replay.switch().policy())?;
    }
    Ok(())
}

/// What was asked for, or a sample.
fn arguments() -> Result<[String; 2], String> {
    let given: Vec<String> = env::args().skip(1).collect();
    if given.is_empty() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("examples");
        let policy = examples.join("two-hosts.toml");
        return Ok([policy.to_string_lossy().into_owned(), "host-1".into()]);
    }
    given
        .try_into()
        .map_err(|_| "give POLICY.toml HOST, or nothing".into())
}

/// The device to program, in place of a host's datapath.
struct Device<'h> {
    host: &'h HostPolicy,
    policy: &'h Policy<'h>,
}

impl Device<'_> {
    fn uplink(&self) -> &str {
        self.host.uplink_interface.as_deref().unwrap_or("uplink")
    }

    fn prepare(&self) {
        let ports = self.host.ports.iter().map(interface);
        for interface in ports.chain([self.uplink(), TUNNEL]) {
            println!("tc qdisc add dev {interface} clsact");
        }
        // What tunnel_key cannot say: Don't Fragment, and with it the identification 0 (RFC 6864 §4.1).
        println!(
            "tc filter add dev {} egress protocol ip flower ip_proto 0x2f \
             action pedit munge offset 4 u32 set 0x00004000 pipe action csum ip4h",
            self.uplink()
        );
    }

    /// For what the machine on a port sends.
    fn rules_out(&self, port: &PortInfo) {
        for pair in pairs(self.host, port) {
            let probe = pair.probe(port, self.policy);
            if let Some((edit, to)) = self.decide(Ingress::Port(port.port), &probe) {
                print_rule(interface(port), &pair.matched(), &actions(pair, &edit), to);
            }
        }
    }

    /// For what the machines of another host send here.
    fn rules_in(&self, other: &HostPolicy, policy: &Policy<'_>) -> Result<(), Box<dyn Error>> {
        for port in &other.ports {
            for pair in pairs(other, port) {
                let probe = pair.probe(port, policy);
                let Outcome::Transmit { edit: sent, .. } =
                    outcome(policy, Ingress::Port(port.port), &probe)
                else {
                    continue;
                };
                if let Some((edit, to)) = self.decide(UPLINK, &apply(&sent, &probe)?) {
                    let (from, arriving, tunnel) = self.arrival(pair, &sent);
                    let matched = format!("{}{tunnel}", arriving.matched());
                    print_rule(from, &matched, &actions(arriving, &edit), to);
                }
            }
        }
        Ok(())
    }

    /// Where a packet arrives that was sent so, its addresses there, and what tc matches of the tunnel it came through.
    fn arrival(&self, pair: Pair, sent: &Edit<'_>) -> (&str, Pair, String) {
        let rewritten = sent.rewrite.map_or(pair, |rewrite| Pair {
            source: rewrite.source.to_ip(sent.family),
            destination: rewrite.destination.to_ip(sent.family),
        });
        match &sent.push {
            Push::Encapsulation(outer) => {
                let tunnel = format!(
                    " enc_src_ip {} enc_dst_ip {} enc_key_id {}",
                    outer.template.source().to_ip(outer.template.family()),
                    outer.template.destination().to_ip(outer.template.family()),
                    outer.key
                );
                (TUNNEL, rewritten, tunnel)
            }
            _ => (self.uplink(), rewritten, String::new()),
        }
    }

    /// What is done to a frame, and the interface by which it leaves.
    fn decide(&self, ingress: Ingress, frame: &[u8]) -> Option<(Edit<'_>, &str)> {
        match outcome(self.policy, ingress, frame) {
            Outcome::Deliver { port, edit } => {
                let port = self.host.ports.iter().find(|known| known.port == port)?;
                Some((edit, interface(port)))
            }
            Outcome::Transmit { edit, .. } => match edit.push {
                Push::Encapsulation(_) => Some((edit, TUNNEL)),
                _ => Some((edit, self.uplink())),
            },
            _ => None,
        }
    }
}

fn interface(port: &PortInfo) -> &str {
    port.interface.as_deref().unwrap_or(&port.name)
}

// ---- What the datapath decides ----

/// Source and destination of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    source: IpAddr,
    destination: IpAddr,
}

/// The machine on a port, with each that it might send to.
fn pairs(host: &HostPolicy, port: &PortInfo) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for source in port.addresses.iter().map(|address| address.get()) {
        let others = host.machines.iter().flat_map(|machine| &machine.addresses);
        let others = others.map(|address| address.get());
        let others = others.filter(|other| *other != source && other.is_ipv4() == source.is_ipv4());
        pairs.extend(others.map(|destination| Pair {
            source,
            destination,
        }));
    }
    // Tenants may have the same addresses.
    pairs.sort();
    pairs.dedup();
    pairs
}

impl Pair {
    /// A packet from the machine on a port. The datapath goes by addresses, so that any frame may be for the router.
    fn probe(self, port: &PortInfo, policy: &Policy<'_>) -> Vec<u8> {
        const HOP_LIMIT: u8 = 64;
        let router = policy.settings().map(|settings| settings.router_mac);
        let link = PacketBuilder::ethernet2(port.mac.0, router.unwrap_or_default().0);
        let packet = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                link.ipv4(source.octets(), destination.octets(), HOP_LIMIT)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                link.ipv6(source.octets(), destination.octets(), HOP_LIMIT)
            }
            _ => unreachable!("a pair is of one version of IP"),
        };
        let mut frame = Vec::new();
        let written = packet.udp(1, 1).write(&mut frame, &[]);
        written.expect("a vector takes everything");
        frame
    }

    /// What tc matches of such packets.
    fn matched(self) -> String {
        let protocol = if self.source.is_ipv4() { "ip" } else { "ipv6" };
        let Self {
            source,
            destination,
        } = self;
        format!("protocol {protocol} flower src_ip {source} dst_ip {destination}")
    }
}

/// What becomes of a frame that nobody counts.
fn outcome<'p>(policy: &'p Policy<'_>, ingress: Ingress, frame: &[u8]) -> Outcome<'p> {
    let counters = Counters::new(ManagedSlice::Owned(vec![]), ManagedSlice::Owned(vec![]));
    let limits = ManagedSlice::Owned(vec![PortLimits::FULL; policy.ports().count()]);
    let mut worker = Worker::new(counters, limits);
    let frame = Frame::whole(ingress, frame);
    worker.process(policy, &frame, Duration::ZERO).outcome
}

fn apply(edit: &Edit<'_>, frame: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut edited = vec![0; frame.len() + HEADROOM];
    let length = edit.apply_into(frame, &mut edited)?;
    edited.truncate(length);
    Ok(edited)
}

// ---- What tc is told ----

fn print_rule(from: &str, matched: &str, actions: &[String], to: &str) {
    print!("tc filter add dev {from} ingress {matched}");
    for action in actions {
        print!(" action {action} pipe");
    }
    println!(" action mirred egress redirect dev {to}");
}

/// What an edit does to packets with these addresses.
fn actions(pair: Pair, edit: &Edit<'_>) -> Vec<String> {
    let mut actions = Vec::from_iter(stations(edit));
    if edit.decrement_hop_limit {
        actions.extend(decrement(pair));
    }
    if let Some(rewrite) = &edit.rewrite {
        let new = Pair {
            source: rewrite.source.to_ip(edit.family),
            destination: rewrite.destination.to_ip(edit.family),
        };
        actions.extend(replace(pair, new));
    }
    if let Push::Encapsulation(outer) = &edit.push {
        actions.push(encapsulate(outer));
    }
    actions
}

/// The Ethernet header in front of the packet, if it changes.
fn stations(edit: &Edit<'_>) -> Option<String> {
    let (source, destination) = match &edit.push {
        Push::Ethernet(header) => (*header.source, *header.destination),
        Push::Encapsulation(outer) => (*outer.inner.source, *outer.inner.destination),
        Push::Link(path) => {
            let header = path.template.link();
            (path.source.unwrap_or(header.source), header.destination)
        }
        Push::Nothing => return None,
    };
    Some(format!(
        "pedit ex munge eth src set {source} munge eth dst set {destination}"
    ))
}

fn decrement(pair: Pair) -> Vec<String> {
    match pair.source {
        IpAddr::V4(_) => vec!["pedit ex munge ip ttl add 255".into(), "csum ip4h".into()],
        IpAddr::V6(_) => vec!["pedit ex munge ip6 hoplimit add 255".into()],
    }
}

fn replace(old: Pair, new: Pair) -> Vec<String> {
    match new.source {
        // It adjusts checksums, and leaves a wrong one wrong.
        IpAddr::V4(_) => vec![
            format!("nat egress {} {}", old.source, new.source),
            format!("nat ingress {} {}", old.destination, new.destination),
        ],
        // For IPv6 there is nothing of the kind: checksums are made anew.
        IpAddr::V6(_) => vec![
            format!(
                "pedit ex munge ip6 src set {} munge ip6 dst set {}",
                new.source, new.destination
            ),
            "csum tcp and udp and icmp".into(),
        ],
    }
}

fn encapsulate(outer: &Encapsulation<'_>) -> String {
    /// No value of its own: what Linux takes for "inherit".
    const TOS_OF_THE_PACKET: u8 = 1;
    let template = outer.template;
    format!(
        "tunnel_key set src_ip {} dst_ip {} id {} ttl {} tos {TOS_OF_THE_PACKET} nocsum",
        template.source().to_ip(template.family()),
        template.destination().to_ip(template.family()),
        outer.key,
        outer.hop_limit
    )
}
