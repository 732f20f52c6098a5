//! A decision of the datapath, explained to people and programs: every step, the edit, and near misses.
//!
//! The datapath itself decides and tells its steps to an observer; this room only puts them into words. Near
//! misses are looked for afterwards, in the policy's listing.

mod edit;
mod names;
mod near_miss;
mod next_hop;
mod reason;
mod step;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use managed::ManagedSlice;
use netvirt_core::counters::{Counters, Event, Events};
use netvirt_core::datapath::{
    DropReason, Frame, Ingress, Outcome, Punt, Replica, Replication, Verdict, Worker,
};
use netvirt_core::edit::{Encapsulation, Push};
use netvirt_core::limit::PortLimits;
use netvirt_core::policy::{NextHop, Policy};
use netvirt_core::proxy::Reply;
use netvirt_core::trace::{Observer, Step};
use netvirt_core::wire::RouterAdvertisement;
use serde::Serialize;

pub use edit::{ToldEdit, ToldFrame, ToldQuote, ToldRewrite};
pub use names::Names;
pub use next_hop::{NextHopQuery, NoSender, SelectedNextHop, select_next_hop};
pub use step::{ToldRecord, ToldStep};

use crate::policy_file::HostPolicy;
use crate::switch::{self, DecisionKind, Sent};

/// Why a host's switch does with a frame what it does. Its JSON keys come in the order of these fields.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Where the frame arrives: a machine's name, or `uplink`.
    pub port: String,
    /// The steps in the order in which the datapath took them.
    pub steps: Vec<ToldStep>,
    /// Delivered, transmitted, replicated, replied, punted, held or dropped.
    pub verdict: &'static str,
    /// Why it is refused, if it is.
    pub reason: Option<&'static str>,
    /// Why it is punted, if it is.
    pub punt: Option<&'static str>,
    /// The virtual subnet in which it is decided.
    pub vsid: Option<u32>,
    /// The version of the policy that decides.
    pub policy_version: u64,
    /// The verdict in a sentence.
    pub meaning: String,
    /// What is done to the frame, if it goes on.
    pub edit: Option<ToldEdit>,
    /// The frame that leaves, or its fragments, or the answer. A held frame still lacks its destination MAC address.
    pub out: Vec<ToldFrame>,
    /// What in the policy comes close to letting a refused frame pass.
    pub near_misses: Vec<String>,
}

/// Decides a frame as the switch of the host would, without counting it, and explains the decision.
///
/// Any state of the network that is not in `policy`, such as frames already waiting for a next hop, is not part of
/// it. `frame` arrives at `port`.
pub fn explain(
    policy: &Policy<'_>,
    host: &HostPolicy,
    port: &str,
    frame: &Frame<'_>,
) -> Explanation {
    let Decided {
        steps,
        verdict,
        outgoing,
    } = Decided::by(policy, frame);
    let names = Names { host, policy };
    let kind = DecisionKind::of(&verdict.outcome);
    let case = near_miss::Case {
        names,
        frame,
        steps: &steps,
        verdict: &verdict,
    };
    Explanation {
        port: port.to_owned(),
        steps: step::told(&steps, names, port),
        verdict: kind.name(),
        reason: verdict.reason.map(DropReason::name),
        punt: kind.punt_name(),
        vsid: verdict.vsid.map(|vsid| vsid.get()),
        policy_version: policy.version(),
        meaning: meaning(&verdict, names),
        edit: verdict
            .edit()
            .map(|edit| ToldEdit::of(edit, frame, outgoing.first())),
        out: outgoing
            .iter()
            .map(|sent| ToldFrame::of(sent, host))
            .collect(),
        near_misses: case.near_misses(),
    }
}

/// What the datapath decided about a frame that nobody counts.
struct Decided<'p> {
    steps: Vec<Step>,
    verdict: Verdict<'p>,
    /// What leaves because of it. An answer to a frame that is not all at hand cannot be written.
    outgoing: Vec<Sent>,
}

impl<'p> Decided<'p> {
    fn by(policy: &'p Policy<'_>, frame: &Frame<'_>) -> Self {
        let ports = match frame.ingress {
            Ingress::Port(port) => port.0 as usize + 1,
            Ingress::Uplink(_) => 0,
        };
        let limits = ManagedSlice::Owned(vec![PortLimits::FULL; ports]);
        let mut worker = Worker::new(Counters::new(none(), none()), limits);
        let mut steps = Steps(Vec::new());
        let verdict = worker.process_observed(policy, frame, Duration::ZERO, &mut steps);
        let outgoing = switch::outgoing(policy, &verdict, frame, &mut Vec::new());
        Self {
            steps: steps.0,
            verdict,
            outgoing: outgoing.unwrap_or_default(),
        }
    }
}

const fn none<T>() -> ManagedSlice<'static, T> {
    ManagedSlice::Borrowed(&mut [])
}

/// Takes note of every step.
struct Steps(Vec<Step>);

impl Observer for Steps {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.0.push(step());
    }
}

fn meaning(verdict: &Verdict<'_>, names: Names<'_>) -> String {
    if let Some(reason) = verdict.reason {
        return format!("{}{}", reason::meaning(reason), is_told(verdict.events));
    }
    match &verdict.outcome {
        Outcome::Deliver { port, .. } => format!("to {}, on this host", names.port(*port)),
        Outcome::Transmit { .. } => "into the provider network".to_owned(),
        Outcome::Replicate(replication) => copied_to(replication, names),
        Outcome::Reply(Reply::RouterAdvertisement { message, .. }) => router_tells(message),
        Outcome::Reply(_) => "the host answers for the network".to_owned(),
        Outcome::Hold { path, .. } => match names.policy.next_hop(*path) {
            Some(next_hop) => waits_for(&next_hop),
            None => String::new(),
        },
        Outcome::Punt(Punt::NotOurs) => {
            "it is for no provider address of this host".to_owned()
        }
        Outcome::Punt(Punt::HostStack) => {
            "it is for a provider address of this host, but no tunnel: the host's own stack takes it"
                .to_owned()
        }
        Outcome::Punt(Punt::NotVirtualised) => "the port is not virtualised".to_owned(),
        Outcome::Punt(Punt::Uncovered { reason }) => format!(
            "this policy does not cover it, and leaves it to a larger one: {}",
            reason::meaning(*reason)
        ),
        Outcome::Punt(Punt::Neighbour { address, mac, .. }) => {
            format!("{address} tells that its MAC address is {mac}; it is believed if it was asked")
        }
        Outcome::Punt(Punt::Reachable { address, .. }) => {
            format!("{address} answers that it is there")
        }
        Outcome::Punt(Punt::ListenerQuery { .. }) => {
            "a router asks which multicast groups this host listens to".to_owned()
        }
        Outcome::Punt(Punt::AddressConflict { address, mac, .. }) => {
            format!("{mac} has this host's own provider address {address} too")
        }
        Outcome::Punt(Punt::PathMtu { address, mtu }) => {
            format!("a router says that the path to {address} carries packets of {mtu} bytes at most")
        }
        _ => String::new(),
    }
}

/// `copied to blue-2, on this host, and to 2 other hosts; 1 copy is lost (too_big)`, or `… and to group 239.192.0.1`.
fn copied_to(replication: &Replication, names: Names<'_>) -> String {
    let (mut ports, mut hosts, mut lost) = (Vec::new(), 0, String::new());
    let mut group = None;
    for replica in replication.copies(names.policy) {
        match replica {
            Replica::Deliver { port, .. } => ports.push(names.port(port)),
            Replica::Lost {
                reason: DropReason::RewriteUnsupported,
                ..
            } => lost += "; machines that are reached by rewrite get none",
            Replica::Lost { reason, copies } => {
                lost += &match copies {
                    1 => format!("; 1 copy is lost ({reason})"),
                    _ => format!("; {copies} copies are lost ({reason})"),
                }
            }
            _ => {
                group = group.or(group_of(&replica));
                hosts += 1;
            }
        }
    }
    let here = match &ports[..] {
        [] => "no machine of this host".to_owned(),
        ports => format!("{}, on this host", ports.join(", ")),
    };
    let there = match hosts {
        0 => String::new(),
        _ if let Some(group) = group => format!(", and to group {group} of the provider network"),
        1 => ", and to 1 other host".to_owned(),
        _ => format!(", and to {hosts} other hosts"),
    };
    format!("copied to {here}{there}{lost}")
}

/// The group of the provider network that a copy is sent to, if it is sent to one.
fn group_of(replica: &Replica<'_>) -> Option<IpAddr> {
    let Replica::Transmit { edit, .. } = replica else {
        return None;
    };
    let Push::Encapsulation(Encapsulation { template, .. }) = edit.push else {
        return None;
    };
    let destination = template.destination().to_ip(template.family());
    Some(destination).filter(IpAddr::is_multicast)
}

/// Whether the sender of a refused frame is told.
const fn is_told(events: Events) -> &'static str {
    if events.contains(Event::ErrorSent) {
        "; the gateway says so to the sender"
    } else if events.contains(Event::ErrorSuppressed) {
        "; the sender is not told, because it was told as often as policy allows"
    } else {
        ""
    }
}

fn router_tells(message: &RouterAdvertisement) -> String {
    let prefixes = message.prefixes.iter().flatten();
    let prefixes: Vec<String> = prefixes
        .map(|on_link| format!("{}/{}", on_link.prefix, on_link.length))
        .collect();
    let role = match message.lifetime {
        0 => "it is no default router here",
        _ => "it is the default router",
    };
    let size = match message.mtu {
        Some(mtu) => format!(", packets of {mtu} bytes fit"),
        None => String::new(),
    };
    let prefixes = prefixes.join(" and ");
    format!("the distributed router tells of itself: {role}, {prefixes} is on the link{size}")
}

fn waits_for(next_hop: &NextHop) -> String {
    let NextHop {
        address, source, ..
    } = next_hop;
    let vlan = match next_hop.vlan {
        Some(vlan) => format!(" in VLAN {vlan}"),
        None => String::new(),
    };
    format!("it waits until {address} has told its MAC address; {source} asks for it{vlan}")
}

/// One labelled line for each step, then the verdict, what is done to the frame, its bytes, and near misses.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write_line(f, step.label(), step)?;
        }
        let verdict = match self.reason.or(self.punt) {
            Some(why) => format!("{} ({why}): {}", self.verdict, self.meaning),
            None => format!("{}: {}", self.verdict, self.meaning),
        };
        write_line(f, "verdict", &verdict)?;
        for near_miss in &self.near_misses {
            write_line(f, "near miss", near_miss)?;
        }
        for line in self.edit.iter().flat_map(ToldEdit::lines) {
            write_line(f, "edit", &line)?;
        }
        for out in &self.out {
            write_line(f, "out", &out.summary())?;
            out.dump(f)?;
        }
        Ok(())
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, label: &str, text: &impl fmt::Display) -> fmt::Result {
    writeln!(f, "{label:<12} {text}")
}
