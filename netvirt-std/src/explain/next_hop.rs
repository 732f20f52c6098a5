//! Where packets between two customer addresses go next: a dry run of the datapath with a packet of its own.

use std::fmt;
use std::net::IpAddr;

use netvirt_core::datapath::{DropReason, Frame, Ingress, Outcome};
use netvirt_core::edit::{Edit, Push};
use netvirt_core::policy::{Location, LookupRecord, Policy, Port};
use netvirt_core::trace::Step;
use netvirt_core::{CustomerAddress, HostId, MacAddress, PortId, Vsid, wire};
use serde::Serialize;

use super::{Decided, Names, meaning, near_miss, write_line};
use crate::echo::{Ends, echo_request};
use crate::policy_file::HostPolicy;
use crate::switch::{DecisionKind, Sent};

/// Which packets are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHopQuery {
    /// The virtual subnet of the sender.
    pub vsid: Vsid,
    /// The sender's address; without it, that of any machine of the subnet on this host.
    pub source: Option<CustomerAddress>,
    /// Where they are to go.
    pub destination: CustomerAddress,
}

/// Where packets go next. Its JSON keys come in the order of these fields.
///
/// The next hop is the machine that receives the frame: the destination itself, or the gateway on the way to it. The MAC
/// addresses are those of the frame as that machine receives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelectedNextHop {
    /// The sender's address.
    pub source_customer_address: IpAddr,
    /// Where the packets are to go.
    pub destination_customer_address: IpAddr,
    /// The virtual subnet of the sender.
    pub source_virtual_subnet_id: u32,
    /// The customer address of the next hop; none if the packets are refused.
    pub next_hop_address: Option<IpAddr>,
    /// Who sends the frame: the sender, or the distributed router if the frame crosses subnets.
    pub source_mac_address: Option<String>,
    /// The MAC address of the next hop.
    pub next_hop_mac_address: Option<String>,
    /// The virtual subnet of the next hop.
    pub next_hop_virtual_subnet_id: Option<u32>,
    /// The machine that is the next hop; none if it is the distributed router.
    pub machine: Option<String>,
    /// The host on which it runs.
    pub host: Option<String>,
    /// Its port, if it runs on this host.
    pub port: Option<u32>,
    /// How the packets cross the provider network, if they do: encapsulate or rewrite.
    pub method: Option<&'static str>,
    /// The provider address that they leave from.
    pub source_provider_address: Option<IpAddr>,
    /// The provider address that they go to. Of several, another flow may take another.
    pub destination_provider_address: Option<IpAddr>,
    /// Delivered, transmitted, replied, held or dropped.
    pub verdict: &'static str,
    /// Why the packets are refused, if they are.
    pub reason: Option<&'static str>,
    /// The version of the policy that decides.
    pub policy_version: u64,
    /// The verdict in a sentence.
    pub meaning: String,
    /// What in the policy comes close to letting refused packets pass.
    pub near_misses: Vec<String>,
}

/// No machine of this host can be asked for: its packets start elsewhere or nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSender {
    /// Source and destination are not of one version of IP.
    Families {
        /// The source.
        source: IpAddr,
        /// The destination.
        destination: IpAddr,
    },
    /// The host does not know the virtual subnet.
    UnknownSubnet {
        /// The host.
        host: String,
        /// The virtual subnet.
        vsid: Vsid,
        /// Those that it knows.
        known: Vec<Vsid>,
    },
    /// No machine of the virtual subnet may send so, anywhere.
    Nobody {
        /// The virtual subnet.
        vsid: Vsid,
        /// The source, if it was given.
        source: Option<IpAddr>,
    },
    /// The machines that may send so run on other hosts.
    Elsewhere {
        /// The host.
        host: String,
        /// The virtual subnet.
        vsid: Vsid,
        /// The source, if it was given.
        source: Option<IpAddr>,
        /// The hosts that they run on.
        others: Vec<String>,
    },
}

impl fmt::Display for NoSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |source: &Option<IpAddr>| match source {
            Some(source) => format!("machine with {source}"),
            None => "machine with such an address".to_owned(),
        };
        match self {
            Self::Families {
                source,
                destination,
            } => write!(
                f,
                "no packet goes from {source} to {destination}: give two addresses of one version of IP"
            ),
            Self::UnknownSubnet { host, vsid, known } => {
                let known: Vec<String> = known.iter().map(Vsid::to_string).collect();
                write!(
                    f,
                    "{host} does not know VSID {vsid}: it knows {}",
                    known.join(", ")
                )
            }
            Self::Nobody { vsid, source } => {
                write!(f, "there is no {} in VSID {vsid}", who(source))
            }
            Self::Elsewhere {
                host,
                vsid,
                source,
                others,
            } => write!(
                f,
                "no {} in VSID {vsid} runs on {host}: ask the switch of {}",
                who(source),
                others.join(" or ")
            ),
        }
    }
}

impl std::error::Error for NoSender {}

/// Has the datapath decide a packet as a machine of this host would send it, without counting it, and tells where it
/// goes.
///
/// # Errors
/// [`NoSender`].
pub fn select_next_hop(
    policy: &Policy<'_>,
    host: &HostPolicy,
    query: &NextHopQuery,
) -> Result<SelectedNextHop, NoSender> {
    let names = Names { host, policy };
    if let Some(source) = query.source
        && source.get().is_ipv4() != query.destination.get().is_ipv4()
    {
        return Err(NoSender::Families {
            source: source.get(),
            destination: query.destination.get(),
        });
    }
    let senders = match query.source {
        Some(source) => senders_of(policy, query.vsid, source),
        None => any_sender(policy, query).into_iter().collect(),
    };
    for sender in senders {
        let probe = Probe::new(policy, sender, query);
        let decided = probe.send(policy);
        // Whether a machine may speak for an address that is not its own is the datapath's to say.
        if decided.verdict.reason != Some(DropReason::CaSpoof) {
            return Ok(probe.tell(names, &decided));
        }
    }
    Err(no_sender(names, query))
}

/// A port of this host, and an address that its machine may send from.
#[derive(Clone, Copy)]
struct Sender {
    port: Port,
    source: CustomerAddress,
}

/// The ports of the subnet: from one of them the source comes, or from a gateway among them.
fn senders_of(policy: &Policy<'_>, vsid: Vsid, source: CustomerAddress) -> Vec<Sender> {
    let ports = policy.ports().filter(|port| port.vsid == Some(vsid));
    ports.map(|port| Sender { port, source }).collect()
}

/// The first port of the subnet with a machine that has an address of the right version.
fn any_sender(policy: &Policy<'_>, query: &NextHopQuery) -> Option<Sender> {
    let sender = |record: LookupRecord| {
        let Location::Port(port) = record.location else {
            return None;
        };
        Some((port, record.kind.customer_address()?))
    };
    let is_fit =
        |source: &CustomerAddress| source.get().is_ipv4() == query.destination.get().is_ipv4();
    let (port, source) = policy
        .lookup_records()
        .filter(|record| record.vsid == query.vsid)
        .filter_map(sender)
        .filter(|(_, source)| is_fit(source) && *source != query.destination)
        .min_by_key(|(port, source)| (port.0, *source))?;
    let port = policy.ports().find(|known| known.port == port)?;
    Some(Sender { port, source })
}

fn no_sender(names: Names<'_>, query: &NextHopQuery) -> NoSender {
    let NextHopQuery { vsid, source, .. } = *query;
    let mut known: Vec<Vsid> = names.policy.subnets().map(|(vsid, _)| vsid).collect();
    if !known.contains(&vsid) {
        known.sort();
        return NoSender::UnknownSubnet {
            host: names.host.name.clone(),
            vsid,
            known,
        };
    }
    let is_meant = |address: CustomerAddress| match source {
        Some(source) => address == source,
        None => address.get().is_ipv4() == query.destination.get().is_ipv4(),
    };
    let records = names.policy.lookup_records();
    let mut others: Vec<HostId> = records
        .filter(|record| record.vsid == vsid)
        .filter(|record| record.kind.customer_address().is_some_and(is_meant))
        .filter_map(|record| match record.location {
            Location::Host(host) => Some(host),
            Location::Port(_) => None,
        })
        .collect();
    others.sort_by_key(|host| host.0);
    others.dedup();
    let source = source.map(CustomerAddress::get);
    match others[..] {
        [] => NoSender::Nobody { vsid, source },
        _ => NoSender::Elsewhere {
            host: names.host.name.clone(),
            vsid,
            source,
            others: others.into_iter().map(|host| names.host(host)).collect(),
        },
    }
}

/// A packet that asks for the way.
struct Probe {
    sender: Sender,
    vsid: Vsid,
    destination: IpAddr,
    router: MacAddress,
    frame: Vec<u8>,
}

impl Probe {
    /// An echo request: the one kind of packet that everybody answers, the gateway included.
    fn new(policy: &Policy<'_>, sender: Sender, query: &NextHopQuery) -> Self {
        let router = policy.settings().map(|settings| settings.router_mac);
        let router = router.unwrap_or_default();
        let destination = query.destination.get();
        // The datapath forwards by address alone, so that any frame may go to the router.
        let macs = Ends {
            from: sender.port.mac,
            to: router,
        };
        let addresses = Ends {
            from: sender.source.get(),
            to: destination,
        };
        Self {
            sender,
            vsid: query.vsid,
            destination,
            router,
            frame: echo_request(macs, addresses, &[]).unwrap_or_default(),
        }
    }

    fn frame(&self) -> Frame<'_> {
        Frame::whole(Ingress::Port(self.sender.port.port), &self.frame)
    }

    fn send<'p>(&self, policy: &'p Policy<'_>) -> Decided<'p> {
        Decided::by(policy, &self.frame())
    }

    fn tell(&self, names: Names<'_>, decided: &Decided<'_>) -> SelectedNextHop {
        let Decided {
            steps,
            verdict,
            outgoing,
        } = decided;
        let case = near_miss::Case {
            names,
            frame: &self.frame(),
            steps,
            verdict,
        };
        let hop = self.hop(decided);
        let record = hop.as_ref().and_then(|hop| hop.record);
        let crossing = outgoing
            .first()
            .and_then(|sent| Crossing::of(verdict.edit()?, sent));
        SelectedNextHop {
            source_customer_address: self.sender.source.get(),
            destination_customer_address: self.destination,
            source_virtual_subnet_id: self.vsid.get(),
            next_hop_address: hop.as_ref().map(|hop| hop.address),
            source_mac_address: hop.as_ref().map(|hop| hop.macs.from.to_string()),
            next_hop_mac_address: hop.as_ref().map(|hop| hop.macs.to.to_string()),
            next_hop_virtual_subnet_id: hop.as_ref().map(|hop| hop.vsid.get()),
            machine: record.map(|record| names.machine(record.vsid, record.mac)),
            host: hop.map(|hop| match hop.record {
                Some(record) => names.place(record.location),
                None => names.host.name.clone(),
            }),
            port: record.and_then(|record| match record.location {
                Location::Port(PortId(port)) => Some(port),
                Location::Host(_) => None,
            }),
            method: crossing.as_ref().map(|crossing| crossing.method),
            source_provider_address: crossing.as_ref().map(|crossing| crossing.source),
            destination_provider_address: crossing.map(|crossing| crossing.destination),
            verdict: DecisionKind::of(&verdict.outcome).name(),
            reason: verdict.reason.map(DropReason::name),
            policy_version: names.policy.version(),
            meaning: meaning(verdict, names),
            near_misses: case.near_misses(),
        }
    }

    /// The next hop, if the packet is not refused.
    fn hop(&self, decided: &Decided<'_>) -> Option<Hop> {
        if let (Outcome::Reply(_), None) = (decided.verdict.outcome, decided.verdict.reason) {
            return Some(Hop {
                address: self.destination,
                vsid: self.vsid,
                macs: Ends {
                    from: self.sender.port.mac,
                    to: self.router,
                },
                record: None,
            });
        }
        let edit = decided.verdict.edit()?;
        let (vsid, address, record) = decided.steps.iter().rev().find_map(|step| match step {
            Step::Destination {
                vsid,
                address,
                record,
            } => Some((*vsid, *address, *record)),
            _ => None,
        })?;
        let macs = match edit.push {
            Push::Ethernet(inner) => Ends {
                from: *inner.source,
                to: *inner.destination,
            },
            Push::Encapsulation(outer) => Ends {
                from: *outer.inner.source,
                to: *outer.inner.destination,
            },
            // A rewritten packet gets its inner header from the receiver's host.
            Push::Link(_) | Push::Nothing => Ends {
                from: if vsid == self.vsid {
                    self.sender.port.mac
                } else {
                    self.router
                },
                to: record?.mac,
            },
        };
        Some(Hop {
            address,
            vsid,
            macs,
            record,
        })
    }
}

/// The machine that receives the frame.
struct Hop {
    address: IpAddr,
    vsid: Vsid,
    macs: Ends<MacAddress>,
    /// None of the distributed router.
    record: Option<LookupRecord>,
}

/// How a packet crosses the provider network, as its frame says.
struct Crossing {
    method: &'static str,
    source: IpAddr,
    destination: IpAddr,
}

impl Crossing {
    fn of(edit: &Edit<'_>, sent: &Sent) -> Option<Self> {
        let method = match edit.push {
            Push::Encapsulation(_) => "encapsulate",
            Push::Link(_) => "rewrite",
            Push::Ethernet(_) | Push::Nothing => return None,
        };
        let facts = wire::parse(&sent.bytes, sent.length, 0).ok()?;
        let family = facts.family()?;
        Some(Self {
            method,
            source: facts.source_address.to_ip(family),
            destination: facts.destination_address.to_ip(family),
        })
    }
}

/// One labelled line for each thing that is known.
impl fmt::Display for SelectedNextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source_customer_address,
            destination_customer_address,
            source_virtual_subnet_id,
            ..
        } = self;
        let source = format!("{source_customer_address} in VSID {source_virtual_subnet_id}");
        write_line(f, "source", &source)?;
        write_line(f, "destination", destination_customer_address)?;
        if let Some(next_hop) = self.next_hop() {
            write_line(f, "next hop", &next_hop)?;
        }
        if let (Some(from), Some(to)) = (&self.source_mac_address, &self.next_hop_mac_address) {
            write_line(f, "Ethernet", &format!("from {from} to {to}"))?;
        }
        if let Some(crossing) = self.crossing() {
            write_line(f, "crosses", &crossing)?;
        }
        let why = match self.reason {
            Some(reason) => format!(" ({reason})"),
            None => String::new(),
        };
        let verdict = format!("{}{why}: {}", self.verdict, self.meaning);
        write_line(f, "verdict", &verdict)?;
        self.near_misses
            .iter()
            .try_for_each(|near_miss| write_line(f, "near miss", near_miss))
    }
}

impl SelectedNextHop {
    fn next_hop(&self) -> Option<String> {
        let address = self.next_hop_address?;
        let vsid = self.next_hop_virtual_subnet_id?;
        let who = self.machine.as_deref().unwrap_or("the distributed router");
        let host = self.host.as_deref().unwrap_or("an unknown host");
        Some(format!("{address} in VSID {vsid}: {who} on {host}"))
    }

    fn crossing(&self) -> Option<String> {
        let method = match self.method? {
            "encapsulate" => "NVGRE",
            other => other,
        };
        let source = self.source_provider_address?;
        let destination = self.destination_provider_address?;
        Some(format!("by {method}, from {source} to {destination}"))
    }
}
