//! The standard network of the core's tests in a few variants, and what everybody may know of it without a table.

use std::cell::RefCell;
use std::net::IpAddr;

use netvirt_core::policy::*;
use netvirt_core::{HostId, MacAddress};

use crate::host::Host;
use crate::packet::{Ip, octets, sum};
use crate::support::network::*;
use crate::support::packets::ip;
use crate::support::{Capacities, ca, prefix, vsid};

/// The network and its two hosts.
pub struct Site {
    pub network: Network,
    pub hosts: [Host; 2],
    /// The machine that ran on host 1 and runs on host 2 now, its migration not yet retired.
    moved: Option<String>,
}

/// The bits of a variant.
const TOLERANT: u8 = 1;
const OUTER_V6: u8 = 2;
const TAGGED: u8 = 4;
const MOVED: u8 = 8;
const PIPE: u8 = 16;
const VARIANTS: usize = 32;

thread_local! {
    static SITES: RefCell<[Option<Site>; VARIANTS]> = const { RefCell::new([const { None }; VARIANTS]) };
}

/// Runs with a variant of the network in which no frame was seen yet.
pub fn with_site(variant: u8, run: impl FnOnce(&mut Site)) {
    SITES.with_borrow_mut(|sites| {
        let variant = variant % VARIANTS as u8;
        let site = sites[usize::from(variant)].get_or_insert_with(|| Site::new(variant));
        site.hosts.iter_mut().for_each(Host::forget);
        run(site);
    });
}

impl Site {
    fn new(variant: u8) -> Self {
        let has = |bit: u8| variant & bit != 0;
        let network = Network::standard().with(|network| {
            network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 3 };
            if has(TOLERANT) {
                network.settings.reception = Reception::Tolerant;
            }
            if has(OUTER_V6) {
                network.outer = Outer::V6;
            }
            if has(TAGGED) {
                network.vlan = Some(5);
            }
            if has(PIPE) {
                network.settings.dscp = DscpPolicy::Pipe(46);
            }
        });
        let host = |number| Host::new(&network.changes(number), &Capacities::ROOMY);
        let mut site = Self {
            hosts: [host(1), host(2)],
            network,
            moved: None,
        };
        if has(MOVED) {
            site.migrate("blue near a", 2, 17);
        }
        site
    }

    fn migrate(&mut self, name: &str, to: u32, port: u32) {
        let machine = self.network.machine(name).clone();
        let names = machine
            .addresses
            .iter()
            .map(|address| RecordName::Address(vsid(machine.vsid), ca(address)));
        let names: Vec<_> = names.collect();
        for (host, number) in self.hosts.iter_mut().zip(1u32..) {
            let mut changes = vec![];
            let location = if number == to {
                changes.push(Change::AddPort(crate::support::port(
                    port,
                    machine.vsid,
                    &machine.mac.to_string(),
                )));
                Location::Port(netvirt_core::PortId(port))
            } else {
                Location::Host(HostId(to))
            };
            changes.extend(names.iter().map(|name| Change::MoveRecord(*name, location)));
            crate::support::apply(&mut host.policies, &changes).unwrap();
        }
        let moved = self.network.machine_mut(name);
        (moved.host, moved.port) = (to, port);
        self.moved = Some(name.into());
    }

    pub fn host(&mut self, number: u32) -> &mut Host {
        &mut self.hosts[number as usize - 1]
    }

    /// The machine behind a port.
    pub fn machine_at(&self, host: u32, port: u32) -> Option<&Machine> {
        let mut machines = self.network.machines.iter();
        machines.find(|machine| (machine.host, machine.port) == (host, port))
    }

    /// The machine of a domain that owns an address.
    pub fn owner(&self, domain: u32, address: IpAddr) -> Option<&Machine> {
        let mut machines = self.network.machines.iter();
        machines.find(|machine| {
            self.network.domain_of(machine.vsid) == domain && owns(machine, address)
        })
    }

    /// The machine whose provider address under rewrite this is.
    pub fn provider_owner(&self, address: IpAddr) -> Option<&Machine> {
        let mut machines = self.network.machines.iter();
        machines.find(|machine| machine.rewrite.iter().any(|own| ip(own) == address))
    }

    /// Whether a subnet of the domain holds the address.
    pub fn is_inside(&self, domain: u32, address: IpAddr) -> bool {
        let mut subnets = self.network.subnets.iter();
        subnets.any(|(_, of, prefixes)| {
            of.0 == domain && prefixes.iter().any(|own| prefix(own).contains(address))
        })
    }

    /// The gateway of the domain.
    pub fn gateway(&self, domain: u32) -> Option<&Machine> {
        let mut machines = self.network.machines.iter();
        machines
            .find(|machine| machine.is_gateway && self.network.domain_of(machine.vsid) == domain)
    }

    /// Whether frames of this machine, or frames to it, may come from that host at the moment.
    pub fn lives_or_lived_on(&self, machine: &Machine, host: u32) -> bool {
        machine.host == host || self.moved.as_deref() == Some(machine.name) && host == 1
    }

    pub fn was_moved(&self, machine: &Machine) -> bool {
        self.moved.as_deref() == Some(machine.name)
    }

    /// The host that owns a provider address for tunnels.
    pub fn host_of(&self, address: IpAddr) -> Option<u32> {
        (1..=2).find(|host| address == ip(&host_ipv4(*host)) || address == ip(&host_ipv6(*host)))
    }

    /// Whether the tag of a frame is that of the provider network.
    pub fn is_on_vlan(&self, link: &Link) -> bool {
        match (link.tag, self.network.vlan) {
            (None, None) => true,
            (Some(tci), None) => tci & 0xfff == 0,
            (Some(tci), Some(vlan)) => tci & 0xfff == vlan,
            (None, Some(_)) => false,
        }
    }
}

pub fn owns(machine: &Machine, address: IpAddr) -> bool {
    machine.addresses.iter().any(|own| ip(own) == address)
}

/// An Ethernet header with one tag at most.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub destination: MacAddress,
    pub source: MacAddress,
    pub tag: Option<u16>,
    pub ethertype: u16,
    /// Where it ends.
    pub length: usize,
}

impl Link {
    pub fn read(frame: &[u8]) -> Option<Self> {
        let mac = |at: usize| Some(MacAddress(frame.get(at..at + 6)?.try_into().unwrap()));
        let word = |at: usize| {
            Some(u16::from_be_bytes(
                frame.get(at..at + 2)?.try_into().unwrap(),
            ))
        };
        let is_tag = |word: u16| matches!(word, 0x8100 | 0x88a8 | 0x9100);
        let first = word(12)?;
        let (tag, ethertype, length) = match is_tag(first) {
            true => (Some(word(14)?), word(16)?, 18),
            false => (None, first, 14),
        };
        (!is_tag(ethertype)).then_some(Self {
            destination: mac(0)?,
            source: mac(6)?,
            tag,
            ethertype,
            length,
        })
    }
}

/// The link and the IP packet of a frame.
pub fn read(frame: &[u8]) -> Option<(Link, Ip<'_>)> {
    let link = Link::read(frame)?;
    let packet = Ip::read(&frame[link.length..])?;
    let ethertype = [0x0800, 0x86dd][packet.version()];
    (link.ethertype == ethertype).then_some((link, packet))
}

/// Writes other addresses into the packet at the front of `bytes`, and a right header checksum.
pub fn readdress(bytes: &mut [u8], addresses: [Option<IpAddr>; 2]) {
    let (start, length) = match bytes.first().map(|first| first >> 4) {
        Some(4) if bytes.len() >= 20 => (12, 4),
        Some(6) if bytes.len() >= 40 => (8, 16),
        _ => return,
    };
    for (number, address) in addresses.into_iter().enumerate() {
        let octets = address.map(octets).unwrap_or_default();
        if octets.len() == length {
            bytes[start + number * length..][..length].copy_from_slice(&octets);
        }
    }
    if length == 4 {
        fill_header_checksum(bytes);
    }
}

/// Computes the header checksum of the IPv4 packet at the front of `bytes`.
pub fn fill_header_checksum(bytes: &mut [u8]) {
    let header_length = usize::from(bytes[0] & 15) * 4;
    if header_length >= 20 && header_length <= bytes.len() {
        bytes[10..12].fill(0);
        let checksum = !sum(&[&bytes[..header_length]]);
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The address of a machine that fits the packet at the front of `bytes`.
pub fn address_for(machine: &Machine, bytes: &[u8]) -> Option<IpAddr> {
    let version = match bytes.first()? >> 4 {
        4 => 0,
        6 => 1,
        _ => return None,
    };
    Some(ip(machine.addresses[version]))
}
