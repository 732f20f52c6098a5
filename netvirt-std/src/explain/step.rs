//! The steps of a decision in words.

use std::fmt;
use std::net::IpAddr;

use netvirt_core::policy::{LookupRecord, Method, RecordKind, RouteTarget};
use netvirt_core::trace::Step;
use netvirt_core::wire::{Facts, Notes, Tag};
use serde::Serialize;

use super::names::Names;

/// A step of a decision, with names instead of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum ToldStep {
    /// The frame comes from a port of a virtual subnet.
    Port {
        /// The machine.
        machine: String,
        /// Its subnet and routing domain; none if the port is not virtualised.
        subnet: Option<String>,
        /// Its MAC address.
        mac: String,
    },
    /// Headers were read: the outer ones, or those inside a tunnel.
    Parsed {
        /// Who sends what to whom.
        packet: String,
        /// The Ethernet source.
        source_mac: String,
        /// The Ethernet destination.
        destination_mac: String,
        /// The VLAN tag, if there is one.
        tag: Option<String>,
        /// What is rare about the packet, if anything is.
        notes: Option<String>,
    },
    /// A GRE header was read.
    Gre {
        /// The VSID, if there is a key.
        vsid: Option<u32>,
        /// The FlowID, if there is a key.
        flow_id: Option<u8>,
        /// Flags and version in hexadecimal.
        flags: String,
        /// The EtherType of the payload in hexadecimal.
        protocol: String,
    },
    /// The record of the sender was looked for.
    Source {
        /// In this virtual subnet.
        vsid: u32,
        /// For this customer address.
        address: IpAddr,
        /// And this was found.
        record: Option<ToldRecord>,
    },
    /// The record of the destination, or of the gateway on the way to it, was looked for.
    Destination {
        /// In this virtual subnet.
        vsid: u32,
        /// For this customer address.
        address: IpAddr,
        /// And this was found.
        record: Option<ToldRecord>,
    },
    /// The customer routes were asked.
    Route {
        /// For the way to this address.
        address: IpAddr,
        /// The prefix of the best route.
        prefix: Option<String>,
        /// The gateway that it leads to; none if it is on-link.
        via: Option<IpAddr>,
    },
    /// The machine behind a provider address was looked for, under rewrite.
    RewriteAddress {
        /// The provider address.
        address: IpAddr,
        /// And this was found.
        record: Option<ToldRecord>,
    },
    /// The machine behind an address was looked for that an ICMP error quotes, under rewrite.
    Quoted {
        /// The customer address, or the provider address if the error came that way.
        address: IpAddr,
        /// And this was found.
        record: Option<ToldRecord>,
    },
    /// The group of the provider network was looked for that an address for many is mapped to.
    Group {
        /// In this virtual subnet.
        vsid: u32,
        /// For this multicast or broadcast address.
        address: IpAddr,
        /// And this was found.
        provider: Option<IpAddr>,
    },
    /// A path through the provider network was chosen.
    Path {
        /// To this provider address.
        destination: IpAddr,
        /// Of this host.
        host: Option<String>,
        /// Bytes of the largest inner packet that it carries in NVGRE.
        inner_mtu: u16,
        /// Whether the next hop's MAC address is known.
        resolved: bool,
    },
}

/// A lookup record with names instead of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldRecord {
    /// The machine.
    pub machine: String,
    /// The host on which it runs.
    pub host: String,
    /// The host on which it ran before, while that is still to be known.
    pub previous: Option<String>,
    /// Its virtual subnet and routing domain.
    pub subnet: String,
    /// Its customer address; none in a record of a MAC address.
    pub address: Option<IpAddr>,
    /// Its MAC address.
    pub mac: String,
    /// Static, dynamic, L2Only or GatewayWildcard.
    pub kind: &'static str,
    /// The provider address under which it is reached by rewrite; none if it is reached by NVGRE.
    pub rewritten_to: Option<IpAddr>,
}

impl ToldRecord {
    fn of(record: &LookupRecord, names: Names<'_>) -> Self {
        Self {
            machine: names.machine(record.vsid, record.mac),
            host: names.place(record.location),
            previous: record.previous.map(|host| names.host(host)),
            subnet: names.vsid(record.vsid),
            address: record.kind.customer_address().map(|address| address.get()),
            mac: record.mac.to_string(),
            kind: match record.kind {
                RecordKind::Static(_) => "Static",
                RecordKind::Dynamic(_) => "Dynamic",
                RecordKind::L2Only => "L2Only",
                RecordKind::GatewayWildcard => "GatewayWildcard",
            },
            rewritten_to: match record.method {
                Method::Rewrite {
                    provider_address, ..
                } => Some(provider_address.get()),
                Method::Encapsulate | Method::Transition { .. } => None,
            },
        }
    }
}

impl fmt::Display for ToldRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.machine, self.host)?;
        if let Some(previous) = &self.previous {
            write!(f, ", before on {previous}")?;
        }
        write!(f, ", MAC address {}", self.mac)?;
        match self.rewritten_to {
            Some(address) => write!(f, ", by rewrite as {address}"),
            None => f.write_str(", by NVGRE"),
        }
    }
}

/// The steps of a frame that arrives at `port`.
pub(super) fn told(steps: &[Step], names: Names<'_>, port: &str) -> Vec<ToldStep> {
    steps
        .iter()
        .filter_map(|step| ToldStep::of(step, names, port))
        .collect()
}

impl ToldStep {
    fn of(step: &Step, names: Names<'_>, port: &str) -> Option<Self> {
        let record = |record: &Option<LookupRecord>| {
            record.as_ref().map(|record| ToldRecord::of(record, names))
        };
        Some(match step {
            Step::FromPort { vsid, mac } => Self::Port {
                machine: port.to_owned(),
                subnet: vsid.map(|vsid| names.vsid(vsid)),
                mac: mac.to_string(),
            },
            Step::Parsed(facts) => Self::parsed(facts),
            Step::Gre(gre) => Self::Gre {
                vsid: gre.key.map(|key| key >> 8),
                flow_id: gre.key.map(|key| key as u8),
                flags: format!("{:#06x}", gre.flags),
                protocol: format!("{:#06x}", gre.protocol),
            },
            Step::Source {
                vsid,
                address,
                record: found,
            } => Self::Source {
                vsid: vsid.get(),
                address: *address,
                record: record(found),
            },
            Step::Destination {
                vsid,
                address,
                record: found,
            } => Self::Destination {
                vsid: vsid.get(),
                address: *address,
                record: record(found),
            },
            Step::Route { address, route } => Self::Route {
                address: *address,
                prefix: route.map(|(prefix, _)| prefix.to_string()),
                via: match route {
                    Some((_, RouteTarget::Via(gateway))) => Some(gateway.get()),
                    _ => None,
                },
            },
            Step::RewriteAddress {
                address,
                record: found,
            } => Self::RewriteAddress {
                address: *address,
                record: record(found),
            },
            Step::Quoted {
                address,
                record: found,
            } => Self::Quoted {
                address: *address,
                record: record(found),
            },
            Step::Group {
                vsid,
                address,
                provider_group,
            } => Self::Group {
                vsid: vsid.get(),
                address: *address,
                provider: provider_group.map(|group| group.get()),
            },
            Step::Path {
                destination,
                inner_mtu,
                resolved,
            } => Self::Path {
                destination: *destination,
                host: names.owner(*destination).map(|host| names.host(host)),
                inner_mtu: *inner_mtu,
                resolved: *resolved,
            },
            _ => return None,
        })
    }

    fn parsed(facts: &Facts) -> Self {
        Self::Parsed {
            packet: facts.to_string(),
            source_mac: facts.source.to_string(),
            destination_mac: facts.destination.to_string(),
            tag: match facts.tag {
                Tag::None => None,
                Tag::Priority { .. } => Some("priority tag".to_owned()),
                Tag::Vlan { tci } => Some(format!("VLAN {}", tci & 0xfff)),
                Tag::Stacked => Some("two tags or more".to_owned()),
            },
            notes: (facts.notes != Notes::EMPTY).then(|| format!("{:?}", facts.notes)),
        }
    }

    /// What the line of the step begins with.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Port { .. } => "port",
            Self::Parsed { .. } => "parsed",
            Self::Gre { .. } => "GRE",
            Self::Source { .. } => "source",
            Self::Destination { .. } => "destination",
            Self::Route { .. } => "route",
            Self::RewriteAddress { .. } => "rewrite",
            Self::Quoted { .. } => "quoted",
            Self::Group { .. } => "group",
            Self::Path { .. } => "path",
        }
    }
}

impl fmt::Display for ToldStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port {
                machine,
                subnet,
                mac,
            } => {
                let subnet = subnet.as_deref().unwrap_or("not virtualised");
                write!(f, "{machine}, {subnet}, MAC address {mac}")
            }
            Self::Parsed {
                packet,
                source_mac,
                destination_mac,
                tag,
                notes,
            } => {
                write!(
                    f,
                    "{packet}; from MAC address {source_mac} to {destination_mac}"
                )?;
                tag.iter()
                    .chain(notes)
                    .try_for_each(|more| write!(f, ", {more}"))
            }
            Self::Gre {
                vsid: Some(vsid),
                flow_id: Some(flow_id),
                flags,
                protocol,
            } => write!(
                f,
                "VSID {vsid}, FlowID {flow_id:#04x}, flags {flags}, protocol {protocol}"
            ),
            Self::Gre {
                flags, protocol, ..
            } => {
                write!(f, "no key, flags {flags}, protocol {protocol}")
            }
            Self::Source {
                vsid,
                address,
                record,
            }
            | Self::Destination {
                vsid,
                address,
                record,
            } => {
                write!(f, "{address} in VSID {vsid}: {}", found(record))
            }
            Self::Route {
                address,
                prefix,
                via,
            } => match (prefix, via) {
                (Some(prefix), Some(gateway)) => {
                    write!(f, "to {address}: {prefix} via {gateway}")
                }
                (Some(prefix), None) => write!(f, "to {address}: {prefix}, on-link"),
                (None, _) => write!(f, "to {address}: none"),
            },
            Self::RewriteAddress { address, record } => match record {
                Some(ToldRecord {
                    subnet,
                    address: Some(customer),
                    ..
                }) => {
                    write!(
                        f,
                        "{address} stands for {customer} in {subnet}: {}",
                        found(record)
                    )
                }
                _ => write!(f, "{address} stands for no machine"),
            },
            Self::Quoted { address, record } => write!(f, "{address}: {}", found(record)),
            Self::Group {
                vsid,
                address,
                provider,
            } => match provider {
                Some(provider) => write!(f, "{address} in VSID {vsid}: carried by {provider}"),
                None => write!(f, "{address} in VSID {vsid}: carried by no group"),
            },
            Self::Path {
                destination,
                host,
                inner_mtu,
                resolved,
            } => {
                let host = host.as_deref().unwrap_or("an unknown host");
                let next_hop = if *resolved { "known" } else { "not known" };
                write!(
                    f,
                    "to {destination} ({host}), carries inner packets of {inner_mtu} bytes in NVGRE, MAC address of the \
                     next hop {next_hop}"
                )
            }
        }
    }
}

fn found(record: &Option<ToldRecord>) -> String {
    match record {
        Some(record) => record.to_string(),
        None => "no record".to_owned(),
    }
}
