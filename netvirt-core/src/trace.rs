//! The observer of a decision: nothing, or one that is told every step.

use core::net::IpAddr;

use crate::address::{MacAddress, Prefix, ProviderGroup, Vsid};
use crate::policy::{LookupRecord, RouteTarget};
use crate::wire::{Facts, GreHeader};

/// One step of a decision, in the order in which the datapath takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A frame's headers were read; the second time those of the frame inside the tunnel.
    Parsed(Facts),
    /// The frame came from a port of this subnet, whose machine has this MAC address.
    FromPort {
        /// The port's subnet; none if it is not virtualised.
        vsid: Option<Vsid>,
        /// The port's MAC address.
        mac: MacAddress,
    },
    /// A GRE header was read.
    Gre(GreHeader),
    /// The record of the sender was looked for.
    Source {
        /// In this subnet.
        vsid: Vsid,
        /// For this customer address.
        address: IpAddr,
        /// And this was found.
        record: Option<LookupRecord>,
    },
    /// The customer routes were asked for the way to an address.
    Route {
        /// The destination.
        address: IpAddr,
        /// The best route, if there is one.
        route: Option<(Prefix, RouteTarget)>,
    },
    /// The record of the destination, or of the gateway on the way to it, was looked for.
    Destination {
        /// In this subnet.
        vsid: Vsid,
        /// For this customer address.
        address: IpAddr,
        /// And this was found.
        record: Option<LookupRecord>,
    },
    /// The machine behind a provider address was looked for, under rewrite.
    RewriteAddress {
        /// The provider address.
        address: IpAddr,
        /// And this was found.
        record: Option<LookupRecord>,
    },
    /// The machine behind an address was looked for that an ICMP error quotes, under rewrite.
    Quoted {
        /// The customer address, or the provider address if the error came that way.
        address: IpAddr,
        /// And this was found.
        record: Option<LookupRecord>,
    },
    /// The group of the provider network was looked for that an address for many is mapped to.
    Group {
        /// In this subnet.
        vsid: Vsid,
        /// For this multicast or broadcast address.
        address: IpAddr,
        /// And this was found.
        provider_group: Option<ProviderGroup>,
    },
    /// A path through the provider network was chosen.
    Path {
        /// To this provider address.
        destination: IpAddr,
        /// Which carries inner packets of this many bytes.
        inner_mtu: u16,
        /// Whether the next hop's MAC address is known.
        resolved: bool,
    },
}

/// Hears the steps of a decision. The datapath is generic over it, so that no observer costs nothing.
pub trait Observer {
    /// Takes note of a step. `step` makes it; an observer that does not care need not call it.
    fn note(&mut self, step: impl FnOnce() -> Step);
}

/// The observer that does not look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    #[inline(always)]
    fn note(&mut self, _step: impl FnOnce() -> Step) {}
}
