//! What is done to a frame, in words, and the frame that it becomes.

use std::fmt;
use std::net::IpAddr;

use netvirt_core::datapath::Frame;
use netvirt_core::edit::{Edit, Ethernet, Push};
use netvirt_core::wire::{self, Tag};
use serde::{Serialize, Serializer};

use crate::hex::Hex;
use crate::policy_file::HostPolicy;
use crate::switch::Sent;

/// Bytes in a line of a dump.
const DUMPED: usize = 16;

/// An edit in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldEdit {
    /// Bytes taken off the front.
    pub pulled: u16,
    /// Bytes put there instead.
    pub pushed: usize,
    /// What they are.
    pub header: String,
    /// Bytes of padding cut off the end.
    pub trimmed: usize,
    /// Whether the TTL or hop limit is taken down by one.
    pub decrements_hop_limit: bool,
    /// The congestion bits that are set.
    pub ecn: Option<u8>,
    /// The addresses that are replaced.
    pub rewrite: Option<ToldRewrite>,
    /// The maximum segment size that a TCP connection is told instead of its own.
    pub segment_size: Option<u16>,
    /// The size of the fragments that the packet is cut into.
    pub fragments: Option<u16>,
}

/// The replacement of both addresses of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldRewrite {
    /// The new source.
    pub source: IpAddr,
    /// The new destination.
    pub destination: IpAddr,
    /// Where in the received frame the transport checksum is that they change, if it is there.
    pub checksum_at: Option<u16>,
    /// The quoted packet, if this is an ICMP error.
    pub quote: Option<ToldQuote>,
}

/// The replacement of both addresses of the packet that an ICMP error quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldQuote {
    /// Where in the received frame it starts.
    pub at: u16,
    /// Its new source.
    pub source: IpAddr,
    /// Its new destination.
    pub destination: IpAddr,
    /// Where in the received frame its transport checksum is, if it is there.
    pub checksum_at: Option<u16>,
}

impl ToldEdit {
    pub(super) fn of(edit: &Edit<'_>, frame: &Frame<'_>, sent: Option<&Sent>) -> Self {
        Self {
            pulled: edit.pull,
            pushed: edit.pushed(),
            header: header(&edit.push, sent),
            trimmed: frame.length.saturating_sub(edit.end as usize),
            decrements_hop_limit: edit.decrement_hop_limit,
            ecn: edit.ecn,
            rewrite: edit.rewrite.map(|rewrite| ToldRewrite {
                source: rewrite.source.to_ip(edit.family),
                destination: rewrite.destination.to_ip(edit.family),
                checksum_at: rewrite.transport.offset(),
                quote: rewrite.quote.map(|quote| ToldQuote {
                    at: quote.network,
                    source: quote.source.to_ip(edit.family),
                    destination: quote.destination.to_ip(edit.family),
                    checksum_at: quote.transport.offset(),
                }),
            }),
            segment_size: edit.segment_size.map(|size| size.value),
            fragments: edit.fragmentation.map(|fragmentation| fragmentation.mtu),
        }
    }

    /// The edit, a line for each thing that is done.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![match self.pushed {
            0 => format!("{} bytes off the front", self.pulled),
            pushed => format!(
                "{} bytes off the front, {pushed} bytes in their place: {}",
                self.pulled, self.header
            ),
        }];
        if self.trimmed != 0 {
            lines.push(format!("{} bytes of padding off the end", self.trimmed));
        }
        if self.decrements_hop_limit {
            lines.push("TTL or hop limit less one, by the distributed router".to_owned());
        }
        if let Some(ecn) = self.ecn {
            lines.push(format!("congestion bits set to {ecn}"));
        }
        if let Some(ToldRewrite {
            source,
            destination,
            checksum_at,
            quote,
        }) = &self.rewrite
        {
            lines.push(format!(
                "addresses become {source} > {destination}, {}",
                adjusted(*checksum_at)
            ));
            lines.extend(quote.as_ref().map(|quote| {
                format!(
                    "addresses of the packet quoted at byte {} become {} > {}, {}",
                    quote.at,
                    quote.source,
                    quote.destination,
                    adjusted(quote.checksum_at)
                )
            }));
        }
        if let Some(size) = self.segment_size {
            lines.push(format!("TCP maximum segment size lowered to {size}"));
        }
        if let Some(size) = self.fragments {
            lines.push(format!(
                "cut into fragments of {size} bytes at most, before the new front"
            ));
        }
        lines
    }
}

fn adjusted(checksum_at: Option<u16>) -> String {
    match checksum_at {
        Some(at) => format!("transport checksum at byte {at} adjusted"),
        None => "no transport checksum covers them here".to_owned(),
    }
}

fn header(push: &Push<'_>, sent: Option<&Sent>) -> String {
    match push {
        Push::Nothing => String::new(),
        Push::Ethernet(header) => format!("Ethernet {}", stations(header)),
        Push::Link(_) => sent.and_then(link).unwrap_or_default(),
        Push::Encapsulation(encapsulation) => {
            let template = encapsulation.template;
            format!(
                "Ethernet and IP to {}, TTL {}; GRE with VSID {}, FlowID {:#04x}; inner Ethernet {}",
                template.destination().to_ip(template.family()),
                encapsulation.hop_limit,
                encapsulation.key >> 8,
                encapsulation.key as u8,
                stations(&encapsulation.inner),
            )
        }
    }
}

/// The Ethernet header of a path, as it was written.
fn link(sent: &Sent) -> Option<String> {
    let facts = wire::parse(&sent.bytes, sent.length, 0).ok()?;
    let vlan = match facts.tag {
        Tag::Vlan { tci } => format!(", VLAN {}", tci & 0xfff),
        _ => String::new(),
    };
    Some(format!(
        "Ethernet {} > {}{vlan}",
        facts.source, facts.destination
    ))
}

fn stations(header: &Ethernet<'_>) -> String {
    format!("{} > {}", header.source, header.destination)
}

/// A frame that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldFrame {
    /// Where: a machine's name, or `uplink`.
    pub port: String,
    /// Its bytes, in JSON as hexadecimal.
    #[serde(serialize_with = "as_hex")]
    pub frame: Vec<u8>,
    /// Bytes of the whole frame, more than are here if the received one was cut by a snap length.
    pub length: usize,
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hex(bytes))
}

impl ToldFrame {
    pub(super) fn of(sent: &Sent, host: &HostPolicy) -> Self {
        Self {
            port: sent.egress.name(host).to_owned(),
            frame: sent.bytes.clone(),
            length: sent.length,
        }
    }

    pub(super) fn summary(&self) -> String {
        format!("{}, {} bytes", self.port, self.length)
    }

    pub(super) fn dump(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.frame.chunks(DUMPED).enumerate() {
            write!(f, "{:13}{:04x} ", "", number * DUMPED)?;
            line.iter().try_for_each(|byte| write!(f, " {byte:02x}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
