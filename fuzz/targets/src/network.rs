//! Whole switches: several hosts on one wire, and everything that may happen to them.

use std::collections::BTreeSet;
use std::time::Duration;

use netvirt_core::datapath::{Frame, Ingress};
use netvirt_core::offload::Offload;
use netvirt_core::policy::*;
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::drawn::{all_drawn, drawn};
use crate::frames::*;
use crate::host::Host;
use crate::packet::Gre;
use crate::site::read;
use crate::support::drafts::*;
use crate::support::hosts::Fate;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{Capacities, apply, ca, pa, vsid};

/// Enough for the networks of [`drafts`] and what happens to them.
const CAPACITIES: Capacities = Capacities {
    records: 64,
    rewrites: 64,
    domains: 8,
    subnets: 8,
    routes: 32,
    intervals: 128,
    peerings: 8,
    hosts: 8,
    paths: 16,
    ports: 16,
    provider_addresses: 8,
    provider_routes: 8,
    neighbours: 16,
    members: 64,
    groups: 8,
};

/// Something that happens.
#[derive(Debug, Clone)]
enum Action {
    /// A machine sends, with its own address or any.
    Send {
        machine: Index,
        is_honest: bool,
        destination: MacAddress,
        packet: Packet,
        damage: Option<Damage>,
    },
    /// Somebody on the wire pretends to be a host.
    Forge {
        from: u32,
        to: u32,
        vsid: u32,
        sender: Index,
        receiver: Index,
        is_aimed: bool,
        packet: Packet,
    },
    /// A frame that was on the wire comes a second time, perhaps elsewhere and perhaps damaged.
    Repeat {
        frame: Index,
        to: u32,
        damage: Damage,
    },
    /// Any bytes from anywhere, of any length, with any work beside them.
    Noise {
        host: u32,
        port: Option<u32>,
        bytes: Vec<u8>,
        length: usize,
        offload: Offload,
    },
    /// A machine begins to move: its new host knows at once.
    Migrate { machine: Index, to: u32 },
    /// One of the hosts hears what it does not know yet.
    Hear(Index),
    /// A migration is over.
    Retire { machine: Index },
    /// A transaction on one host.
    Change { host: u32, changes: Vec<Change> },
    /// Time passes, in milliseconds.
    Wait(u64),
}

fn actions() -> impl Strategy<Value = Action> {
    let packet = || packets_among(addresses());
    let host = || 1..=HOSTS;
    let send = (
        any::<Index>(),
        prop::bool::weighted(0.8),
        destinations(),
        packet(),
        prop::option::weighted(0.3, damage()),
    )
        .prop_map(
            |(machine, is_honest, destination, packet, damage)| Action::Send {
                machine,
                is_honest,
                destination,
                packet,
                damage,
            },
        );
    let ends = (host(), host(), select(VSIDS.to_vec()));
    let forge = (
        ends,
        any::<Index>(),
        any::<Index>(),
        any::<bool>(),
        packet(),
    )
        .prop_map(
            |((from, to, vsid), sender, receiver, is_aimed, packet)| Action::Forge {
                from,
                to,
                vsid,
                sender,
                receiver,
                is_aimed,
                packet,
            },
        );
    let repeat = (any::<Index>(), host(), damage())
        .prop_map(|(frame, to, damage)| Action::Repeat { frame, to, damage });
    let length = prop_oneof![0usize..2000, Just(usize::MAX)];
    let port = prop::option::of(0u32..14);
    let noise = (host(), port, vec(any::<u8>(), 0..120), length, offloads()).prop_map(
        |(host, port, bytes, length, offload)| Action::Noise {
            host,
            port,
            bytes,
            length,
            offload,
        },
    );
    prop_oneof![
        6 => send,
        3 => forge,
        2 => repeat,
        1 => noise,
        2 => (any::<Index>(), host()).prop_map(|(machine, to)| Action::Migrate { machine, to }),
        3 => any::<Index>().prop_map(Action::Hear),
        1 => any::<Index>().prop_map(|machine| Action::Retire { machine }),
        2 => (host(), vec(changes(), 1..3)).prop_map(|(host, changes)| Action::Change { host, changes }),
        1 => (0u64..5000).prop_map(Action::Wait),
    ]
}

fn addresses() -> Vec<String> {
    let mut addresses: Vec<&str> = ADDRESSES.into_iter().flatten().flatten().collect();
    addresses.extend(["198.51.100.9", "2001:db8:ffff::9", "10.0.0.1", "fe80::1"]);
    addresses.into_iter().map(String::from).collect()
}

fn destinations() -> impl Strategy<Value = MacAddress> {
    let machine = |number| MacAddress([6, 0, 0, 0, 0, number]);
    select(vec![ROUTER, machine(0), machine(1), host_mac(2)])
}

/// Changes that leave machines, subnets and domains what they are.
fn changes() -> impl Strategy<Value = Change> {
    let host = 1..=HOSTS;
    let address = (host, any::<bool>()).prop_map(|(host, is_ipv6)| {
        let text = if is_ipv6 {
            host_ipv6(host)
        } else {
            host_ipv4(host)
        };
        (host, pa(&text))
    });
    let peering = (0u32..3, 0u32..3).prop_map(|(from, to)| Peering {
        from: DomainId(from),
        to: DomainId(to),
    });
    let uplink = UplinkId(0);
    let state = select(vec![
        AddressState::Preferred,
        AddressState::Deprecated,
        AddressState::Tentative,
    ]);
    prop_oneof![
        address
            .clone()
            .prop_map(move |(host, address)| Change::SetNeighbour(Neighbour {
                uplink,
                address,
                mac: host_mac(host),
            })),
        address
            .clone()
            .prop_map(move |(_, address)| Change::RemoveNeighbour { uplink, address }),
        (address.clone(), select(vec![576u16, 1280, 1400]))
            .prop_map(|((_, address), mtu)| Change::SetPathMtu { address, mtu }),
        address
            .clone()
            .prop_map(|(_, address)| Change::RemovePathMtu { address }),
        (address, state)
            .prop_map(|((_, address), state)| Change::SetAddressState { address, state }),
        peering.clone().prop_map(Change::AddPeering),
        peering.prop_map(Change::RemovePeering),
    ]
}

thread_local! {
    static NETWORKS: BoxedStrategy<Draft> = drafts().boxed();
    static ACTIONS: BoxedStrategy<Action> = actions().boxed();
}

/// Whatever happens: no frame of one routing domain at a port of another without a peering, no frame twice in the
/// books or not at all, no frame on the wire for long, and nobody believed who may not say it.
///
/// The first choice draws a network, every other something that happens to it.
pub fn network(data: &[u8]) {
    let Some((choice, rest)) = data.split_first_chunk() else {
        return;
    };
    let Some(draft) = NETWORKS.with(|networks| drawn(networks, choice)) else {
        return;
    };
    let mut world = World::new(draft.network());
    for action in ACTIONS.with(|actions| all_drawn(actions, rest, 60)) {
        world.happens(action);
    }
}

struct World {
    network: Network,
    hosts: Vec<Host>,
    /// Where each machine lives or lived.
    homes: Vec<BTreeSet<u32>>,
    peerings: BTreeSet<(u32, u32)>,
    /// What a host has not heard yet, in its order.
    unheard: Vec<(u32, Vec<Change>)>,
    /// What was on the wire.
    wire: Vec<Vec<u8>>,
}

impl World {
    fn new(network: Network) -> Self {
        let hosts = (1..=HOSTS).map(|host| Host::new(&network.changes(host), &CAPACITIES));
        let homes = network.machines.iter();
        Self {
            hosts: hosts.collect(),
            homes: homes.map(|machine| [machine.host].into()).collect(),
            peerings: network
                .peerings
                .iter()
                .map(|peering| (peering.from.0, peering.to.0))
                .collect(),
            unheard: vec![],
            wire: vec![],
            network,
        }
    }

    fn host(&mut self, number: u32) -> &mut Host {
        &mut self.hosts[number as usize - 1]
    }

    /// The place of a machine among all of them.
    fn place(&self, machine: Index) -> usize {
        machine.index(self.network.machines.len())
    }

    fn happens(&mut self, action: Action) {
        match action {
            Action::Send {
                machine,
                is_honest,
                destination,
                packet,
                damage,
            } => {
                let sender = self.place(machine);
                let machine = &self.network.machines[sender];
                let packet = packet.between(machine.mac, destination).with(|packet| {
                    if is_honest {
                        let version = usize::from(packet.source.is_ipv6());
                        packet.source = ip(machine.addresses[version]);
                    }
                });
                let mut frame = packet.frame();
                if let Some(damage) = damage {
                    damage.apply(&mut frame);
                }
                self.send(sender, &frame);
            }
            Action::Forge {
                from,
                to,
                vsid,
                sender,
                receiver,
                is_aimed,
                packet,
            } => {
                let [sender, receiver] = [sender, receiver].map(|one| self.place(one));
                let (sender, receiver) = (
                    &self.network.machines[sender],
                    &self.network.machines[receiver],
                );
                let inner = packet.with(|packet| {
                    let version = usize::from(packet.source.is_ipv6());
                    if is_aimed {
                        packet.source = ip(sender.addresses[version]);
                        packet.destination = ip(receiver.addresses[version]);
                    }
                });
                let source = if is_aimed { sender.mac } else { ROUTER };
                let inner = inner.between(source, receiver.mac);
                let wire = self.network.tunnel(from, to, vsid).wrap(&inner.frame());
                self.arrive(to, wire);
            }
            Action::Repeat { frame, to, damage } if !self.wire.is_empty() => {
                let mut frame = frame.get(&self.wire).clone();
                damage.apply(&mut frame);
                self.arrive(to, frame);
            }
            Action::Repeat { .. } => {}
            Action::Noise {
                host,
                port,
                bytes,
                length,
                offload,
            } => {
                let ingress = match port {
                    Some(port) => Ingress::Port(PortId(port)),
                    None => Ingress::Uplink(UplinkId(0)),
                };
                self.host(host).endure(&Frame {
                    ingress,
                    window: &bytes,
                    length,
                    offload,
                });
            }
            Action::Migrate { machine, to } => self.migrate(machine, to),
            Action::Hear(which) => self.hear(which),
            Action::Retire { machine } => {
                let place = self.place(machine);
                let names = self.names(place);
                let changes: Vec<_> = names.into_iter().map(Change::RetireMigration).collect();
                self.unheard
                    .extend((1..=HOSTS).map(|host| (host, changes.clone())));
            }
            Action::Change { host, changes } => self.change(host, &changes),
            Action::Wait(milliseconds) => {
                let hosts = self.hosts.iter_mut();
                hosts.for_each(|host| host.now += Duration::from_millis(milliseconds));
            }
        }
    }

    fn change(&mut self, host: u32, changes: &[Change]) {
        if apply(&mut self.host(host).policies, changes).is_ok() {
            let peerings = changes.iter().filter_map(|change| match change {
                Change::AddPeering(Peering { from, to }) => Some((from.0, to.0)),
                _ => None,
            });
            self.peerings.extend(peerings);
        }
    }

    fn names(&self, machine: usize) -> Vec<RecordName> {
        let machine = &self.network.machines[machine];
        let subnet = vsid(machine.vsid);
        let addresses = machine.addresses.iter();
        let mut names: Vec<_> = addresses
            .map(|address| RecordName::Address(subnet, ca(address)))
            .collect();
        let wildcard = LookupRecord {
            vsid: subnet,
            kind: RecordKind::GatewayWildcard,
            mac: machine.mac,
            location: Location::Host(HostId(machine.host)),
            previous: None,
            method: Method::Encapsulate,
        };
        names.extend(machine.is_gateway.then(|| wildcard.name()));
        names
    }

    /// The new host takes the machine in; the others will hear of it, in whatever order.
    fn migrate(&mut self, machine: Index, to: u32) {
        let place = self.place(machine);
        let names = self.names(place);
        let machine = &mut self.network.machines[place];
        if machine.host == to {
            return;
        }
        machine.host = to;
        self.homes[place].insert(to);
        let port = PortId(machine.port);
        let own = Port {
            port,
            vsid: Some(vsid(machine.vsid)),
            mac: machine.mac,
        };
        let moved = |location| {
            names
                .iter()
                .map(move |name| Change::MoveRecord(*name, location))
        };
        // It may still have the port of an earlier stay.
        let _ = apply(&mut self.host(to).policies, &[Change::AddPort(own)]);
        let arrival: Vec<_> = moved(Location::Port(port)).collect();
        self.change(to, &arrival);
        for host in (1..=HOSTS).filter(|host| *host != to) {
            let departure = moved(Location::Host(HostId(to))).collect();
            self.unheard.push((host, departure));
        }
    }

    fn hear(&mut self, which: Index) {
        if !self.unheard.is_empty() {
            let (host, changes) = self.unheard.remove(which.index(self.unheard.len()));
            self.change(host, &changes);
        }
    }

    /// A machine sends a frame, which is followed to its end.
    fn send(&mut self, sender: usize, frame: &[u8]) {
        let machine = &self.network.machines[sender];
        let (host, port) = (machine.host, machine.port);
        let fate = self.host(host).take_from_port(port, frame);
        if let Fate::Replicated(copies) = fate {
            return self.spread(sender, host, copies);
        }
        if let Some((at, Fate::Delivered(port, frame))) = self.follow(host, fate) {
            self.check_arrival(sender, at, port, &frame);
        }
    }

    /// Copies go to machines of the sender's own subnet, and over the wire once.
    fn spread(&mut self, sender: usize, at: u32, copies: Vec<Fate>) {
        let subnet = self.network.machines[sender].vsid;
        let mut arrived: Vec<_> = copies.into_iter().map(|copy| (at, copy)).collect();
        while let Some((at, copy)) = arrived.pop() {
            match copy {
                Fate::Delivered(port, _) => {
                    let receiver = self.machine_at(port);
                    assert_eq!(self.network.machines[receiver].vsid, subnet);
                    assert!(self.homes[receiver].contains(&at));
                }
                Fate::Transmitted(_, frame) => {
                    let next = (1..=HOSTS).find(|host| frame[..6] == host_mac(*host).0);
                    let Some(next) = next else { continue };
                    if let Fate::Replicated(copies) = self.host(next).take_from_uplink(&frame) {
                        let delivered = |copy: &Fate| !matches!(copy, Fate::Transmitted(..));
                        assert!(copies.iter().all(delivered), "replicated again");
                        arrived.extend(copies.into_iter().map(|copy| (next, copy)));
                    }
                    self.wire.push(frame);
                }
                _ => {}
            }
        }
    }

    /// Follows a frame over the wire; yields where it ended and how. Two hosts that have not heard of the same migrations
    /// may each take the other for the machine's home: their policies contradict each other, which no host alone can
    /// see. What ends the frame then is the hop limit of the outer header, which has to fall each time.
    fn follow(&mut self, mut at: u32, mut fate: Fate) -> Option<(u32, Fate)> {
        let mut hops_left = None;
        while let Fate::Transmitted(_, frame) = fate {
            let (_, packet) = read(&frame).expect("a packet");
            assert!(hops_left.is_none_or(|left| packet.hop_limit < left));
            hops_left = Some(packet.hop_limit);
            let next = (1..=HOSTS).find(|host| frame[..6] == host_mac(*host).0)?;
            fate = self.host(next).take_from_uplink(&frame);
            at = next;
            self.wire.push(frame);
        }
        Some((at, fate))
    }

    fn machine_at(&self, port: PortId) -> usize {
        let mut machines = self.network.machines.iter();
        machines
            .position(|machine| machine.port == port.0)
            .expect("a machine behind the port")
    }

    fn domain(&self, machine: usize) -> u32 {
        self.network.domain_of(self.network.machines[machine].vsid)
    }

    fn may_send(&self, from: u32, to: u32) -> bool {
        from == to || self.peerings.contains(&(from, to))
    }

    fn check_arrival(&self, sender: usize, at: u32, port: PortId, frame: &[u8]) {
        let receiver = self.machine_at(port);
        assert!(
            self.may_send(self.domain(sender), self.domain(receiver)),
            "from {:?} to {:?}",
            self.network.machines[sender],
            self.network.machines[receiver]
        );
        assert!(self.homes[receiver].contains(&at));
        assert_eq!(frame[..6], self.network.machines[receiver].mac.0);
        let sender = &self.network.machines[sender];
        let (_, packet) = read(frame).expect("a packet");
        let is_own = crate::site::owns(sender, packet.source);
        assert!(is_own || sender.is_gateway, "{packet:?} from {sender:?}");
    }

    /// A frame comes to a host from somebody on the wire.
    fn arrive(&mut self, to: u32, frame: Vec<u8>) {
        let fate = self.host(to).take_from_uplink(&frame);
        let Some((_, Fate::Delivered(port, _))) = self.follow(to, fate) else {
            return;
        };
        let receiver = self.machine_at(port);
        let (_, outer) = read(&frame).expect("a packet");
        if self.host_of(outer.destination).is_none() {
            return;
        }
        let gre = Gre::read(outer.transport()).expect("GRE");
        let (_, inner) = read(gre.payload).expect("a packet");
        let from = self.host_of(outer.source).expect("a host");
        let machines = 0..self.network.machines.len();
        let is_believable = machines.clone().any(|sender| {
            let machine = &self.network.machines[sender];
            let is_near =
                self.homes[sender].contains(&from) || self.homes[receiver].contains(&from);
            let is_it = crate::site::owns(machine, inner.source);
            is_near
                && (machine.is_gateway && self.domain(sender) == self.domain(receiver)
                    || is_it && self.may_send(self.domain(sender), self.domain(receiver)))
        });
        assert!(is_believable, "{inner:?} from host {from}");
    }

    fn host_of(&self, address: std::net::IpAddr) -> Option<u32> {
        (1..=HOSTS)
            .find(|host| address == ip(&host_ipv4(*host)) || address == ip(&host_ipv6(*host)))
    }
}
