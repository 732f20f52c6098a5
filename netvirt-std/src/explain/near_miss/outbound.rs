//! Near misses of what a virtual machine sends.

use netvirt_core::datapath::{DropReason, Ingress};
use netvirt_core::policy::{Location, LookupRecord, Method, Peering, RouteTarget};
use netvirt_core::trace::Step;

use super::{Case, few, list, sorted};

impl Case<'_> {
    pub(super) fn unknown_destination(&self) -> Vec<String> {
        let Some(vsid) = self.verdict.vsid else {
            return Vec::new();
        };
        let mut told = Vec::new();
        let asked = match (self.destination(), self.neighbour_question()) {
            (Some((vsid, address, _)), _) => Some((vsid, address)),
            (None, Some((_, target))) => Some((vsid, target)),
            (None, None) => None,
        };
        if let Some((_, Some((prefix, RouteTarget::Via(gateway))))) = self.route() {
            told.push(format!(
                "the route {prefix} leads via {gateway}, which no record knows"
            ));
        }
        if let Some((vsid, address)) = asked {
            told.extend(self.records_elsewhere(vsid, address));
            if self.verdict.reason == Some(DropReason::NoRoute) {
                let from = self.names.domain_of(vsid);
                let peering = |to| from.map(|from| Peering { from, to });
                told.extend(self.prefixes_elsewhere(address, peering));
            }
        }
        told
    }

    pub(super) fn missing_path(&self) -> Vec<String> {
        let Some((_, _, Some(destination))) = self.destination() else {
            return match self.route() {
                Some((_, Some((prefix, RouteTarget::Via(gateway))))) => vec![format!(
                    "the route {prefix} leads via {gateway}, which lies in no subnet of the routing domain"
                )],
                _ => Vec::new(),
            };
        };
        let Location::Host(host) = destination.location else {
            return Vec::new();
        };
        let has_path = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::Path { .. }));
        if has_path && let Some((_, _, Some(source))) = self.source() {
            return self.unreachable_sender(&source);
        }
        let name = self.names.host(host);
        let own = list(
            self.names
                .policy
                .provider_addresses()
                .map(|own| format!("{}/{}", own.address, own.prefix_length)),
        );
        let reached = list(self.names.addresses_of(host));
        vec![format!(
            "{} is on {name}, which has {reached}; this host has {own}, and no provider route leads there",
            self.names.machine(destination.vsid, destination.mac)
        )]
    }

    /// Under rewrite the sender's own provider address must lie in a prefix of this host.
    fn unreachable_sender(&self, source: &LookupRecord) -> Vec<String> {
        match source.method {
            Method::Rewrite {
                provider_address, ..
            } => vec![format!(
                "the sender's provider address {provider_address} lies in no prefix of this host's provider addresses"
            )],
            Method::Encapsulate | Method::Transition { .. } => Vec::new(),
        }
    }

    pub(super) fn foreign_mac(&self) -> Vec<String> {
        let (Some(facts), Some(expected), Some(vsid)) =
            (self.facts(), self.port_mac(), self.verdict.vsid)
        else {
            return Vec::new();
        };
        let source = facts.source;
        let mut told = vec![format!(
            "the port's machine has MAC address {expected}, not {source}"
        )];
        let machines = self.names.host.machines.iter();
        told.extend(few(machines.filter(|machine| machine.mac == source).map(
            |machine| {
                let place = self.names.place(machine.location);
                match machine.vsid == vsid {
                    true => format!("{source} is {}'s, on {place}", machine.name),
                    false => format!(
                        "{source} is {}'s, on {place} in VSID {}",
                        machine.name, machine.vsid
                    ),
                }
            },
        )));
        told
    }

    /// Whose address the sender claims, and which it may.
    pub(super) fn foreign_address(&self) -> Vec<String> {
        let Some(vsid) = self.verdict.vsid else {
            return Vec::new();
        };
        let claimed = match (self.source(), self.neighbour_question()) {
            (Some((_, address, _)), _) => address,
            (None, Some((sender, _))) => sender,
            (None, None) => return Vec::new(),
        };
        let records = || {
            self.names
                .policy
                .lookup_records()
                .filter(|record| record.vsid == vsid)
        };
        let has_it = |record: &LookupRecord| {
            record
                .kind
                .customer_address()
                .is_some_and(|known| known.get() == claimed)
        };
        let mut told = match records().find(has_it) {
            Some(record) => vec![format!(
                "{claimed} belongs to {}",
                self.names.record(&record)
            )],
            None => self.records_elsewhere(vsid, claimed),
        };
        if let Ingress::Port(port) = self.frame.ingress {
            let is_here = |record: &LookupRecord| record.location == Location::Port(port);
            let own = sorted(records().filter(is_here));
            let own = own
                .iter()
                .filter_map(|record| record.kind.customer_address());
            told.push(format!(
                "the addresses of {} are {}",
                self.names.port(port),
                list(own)
            ));
        }
        told
    }

    pub(super) fn sizes(&self) -> Vec<String> {
        let (Some(facts), Some(room)) = (
            self.facts(),
            self.steps.iter().rev().find_map(|step| match step {
                Step::Path { inner_mtu, .. } => Some(*inner_mtu),
                _ => None,
            }),
        ) else {
            return Vec::new();
        };
        let length = facts.end.saturating_sub(u32::from(facts.network_offset));
        vec![format!(
            "the packet has {length} bytes; in NVGRE the path carries {room}, more if the physical network's MTU is \
             raised"
        )]
    }
}
