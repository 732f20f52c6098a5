//! The storage of 256 records takes 256 records, whatever they are.

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;

use netvirt_core::policy::*;
use netvirt_core::table::Seed;
use netvirt_core::*;
use support::*;

const RECORDS: usize = 256;
const SUBNETS: u32 = 8;
const HOSTS: u32 = 16;
const PORTS: u32 = 32;

/// The numbers of SplitMix64: any sequence without pattern will do.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn subnet_vsid(subnet: u32) -> Vsid {
    vsid(5000 + subnet)
}

fn machine(number: u32) -> MacAddress {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddress([2, 0xaa, a, b, c, d])
}

fn port_machine(port: u32) -> MacAddress {
    machine(0xffff_0000 + port)
}

/// Eight dual-stack subnets, sixteen hosts, sixteen multicast groups and all ports: as much as there is room for beside
/// the records.
fn network() -> Vec<u8> {
    let own = [own_address("192.168.0.1", 16), own_address("fd00::1", 64)];
    let mut changes = vec![settings()];
    changes.extend(own.map(Change::AddProviderAddress));
    for host in 0..HOSTS {
        let address = pa(&format!("192.168.{host}.2"));
        let known = neighbour(&format!("192.168.{host}.2"), OTHER_UPLINK_MAC);
        changes.extend([
            Change::AddHost(host_number(host)),
            Change::AddHostAddress(host_number(host), address),
            Change::SetNeighbour(known),
        ]);
    }
    for subnet in 0..SUBNETS {
        let vsid = subnet_vsid(subnet);
        let domain = DomainId(subnet);
        changes.extend([
            Change::AddDomain(domain),
            Change::AddSubnet { vsid, domain },
            Change::AddCustomerRoute(on_link(vsid.get(), &format!("10.{subnet}.0.0/16"))),
            Change::AddCustomerRoute(on_link(vsid.get(), &format!("fd00:{subnet}::/32"))),
        ]);
        for (customer, provider) in [("239.1.1.1", "239.192.0"), ("ff02::fb", "239.192.1")] {
            let provider = format!("{provider}.{subnet}");
            let group = group(vsid.get(), customer, &provider);
            changes.push(Change::AddMulticastGroup(group));
        }
    }
    for port in 0..PORTS {
        changes.push(Change::AddPort(Port {
            port: PortId(port),
            vsid: Some(subnet_vsid(port % SUBNETS)),
            mac: port_machine(port),
        }));
    }
    tx(&changes)
}

/// Host numbers around that of this host.
fn host_number(host: u32) -> HostId {
    HostId(if host == HOST_1.0 { 0 } else { host })
}

/// One of `RECORDS` different records. Of the six kinds those whose bit is set in `kinds` occur.
fn random_record(numbers: &mut Numbers, kinds: u64, index: u32) -> LookupRecord {
    let subnet = numbers.below(SUBNETS.into()) as u32;
    // Different in the low bits, which are never those of a gateway, network or broadcast address.
    let spread = (numbers.next() as u32) << 16 | (index + 2);
    let ipv4 = |first: u8, second: u32| {
        IpAddr::V4(Ipv4Addr::from_bits(
            u32::from(first) << 24 | second << 16 | (index + 2),
        ))
    };
    let ipv6 = |first: u128, second: u32| {
        IpAddr::V6(Ipv6Addr::from_bits(
            first << 112 | u128::from(second) << 96 | u128::from(spread),
        ))
    };
    let mut kind = numbers.below(6);
    while kinds >> kind & 1 == 0 {
        kind = (kind + 1) % 6;
    }
    let customer = |address| RecordKind::Static(CustomerAddress::new(address).unwrap());
    let rewrite = |address| Method::Rewrite {
        provider_address: ProviderAddress::new(address).unwrap(),
        use_vm_mac: false,
    };
    let transition = |address| Method::Transition {
        provider_address: ProviderAddress::new(address).unwrap(),
        use_vm_mac: true,
    };
    let (kind, method) = match kind {
        0 => (customer(ipv4(10, subnet)), Method::Encapsulate),
        1 => (customer(ipv6(0xfd00, subnet)), Method::Encapsulate),
        2 => (customer(ipv4(10, subnet)), rewrite(ipv4(172, 16))),
        3 => (customer(ipv6(0xfd00, subnet)), transition(ipv6(0xfd01, 0))),
        4 => (RecordKind::L2Only, Method::Encapsulate),
        _ => (RecordKind::GatewayWildcard, Method::Encapsulate),
    };
    let local = numbers.below(4) == 0 && kind.customer_address().is_some();
    let port = subnet + SUBNETS * numbers.below(u64::from(PORTS / SUBNETS)) as u32;
    let (location, mac) = if local {
        (Location::Port(PortId(port)), port_machine(port))
    } else {
        let host = numbers.below(HOSTS.into()) as u32;
        (
            Location::Host(host_number(host)),
            machine(spread & 0x7fff_ffff),
        )
    };
    LookupRecord {
        vsid: subnet_vsid(subnet),
        kind,
        mac,
        location,
        previous: None,
        method,
    }
}

fn random_records(seed: u64) -> Vec<LookupRecord> {
    let mut numbers = Numbers(seed);
    // Each kind alone comes as often as all together.
    let kinds = match numbers.below(8) {
        alone @ 0..6 => 1 << alone,
        6 => 0b11_1111,
        _ => numbers.below(0b11_1111) + 1,
    };
    (0..RECORDS as u32)
        .map(|index| random_record(&mut numbers, kinds, index))
        .collect()
}

/// The hosts that each subnet's broadcast goes to.
fn members(policy: &Policy<'_>) -> BTreeSet<(u32, u32)> {
    let members = policy.subnets().flat_map(|(vsid, _)| {
        let hosts = policy.subnet_hosts(vsid);
        hosts.map(move |host| (vsid.get(), host.0))
    });
    let members: Vec<_> = members.collect();
    let distinct: BTreeSet<_> = members.iter().copied().collect();
    assert_eq!(distinct.len(), members.len(), "each host once");
    distinct
}

fn members_of_records(policy: &Policy<'_>) -> BTreeSet<(u32, u32)> {
    let records = policy.lookup_records();
    let tunnelled = records.filter(|record| !matches!(record.method, Method::Rewrite { .. }));
    tunnelled
        .filter_map(|record| match record.location {
            Location::Host(host) => Some((record.vsid.get(), host.0)),
            Location::Port(_) => None,
        })
        .collect()
}

#[test]
fn twenty_thousand_random_fillings_fit() {
    static STORAGE: Mutex<Profile256> = Mutex::new(Profile256::new());
    let mut storage = STORAGE.lock().unwrap();
    let network = network();
    let mut encoded = vec![0; RECORDS * MAX_CHANGE_LENGTH];
    for filling in 0..20_000 {
        let mut policy = storage.policy(Seed::new(filling, !filling));
        policy.apply(&Transaction::new(&network)).unwrap();
        let mut writer = TransactionWriter::new(&mut encoded);
        for record in random_records(filling) {
            writer.push(&Change::AddRecord(record)).unwrap();
        }
        policy
            .apply(&Transaction::new(writer.finish()))
            .unwrap_or_else(|refused| panic!("filling {filling}: {refused}"));
        assert_eq!(policy.lookup_records().count(), RECORDS);
        assert_eq!(members(&policy), members_of_records(&policy));
    }
}

/// A network of 16 routes of one family, each domain a peer of the next.
fn routes(family: &str, target: RouteTarget) -> Vec<Change> {
    let mut changes = vec![settings()];
    for subnet in 0..SUBNETS {
        let vsid = subnet_vsid(subnet);
        let domain = DomainId(subnet);
        changes.push(Change::AddDomain(domain));
        changes.push(Change::AddSubnet { vsid, domain });
        for second in [2, 4] {
            let prefix = match family {
                "IPv4" => prefix(&format!("10.{subnet}.{second}.0/24")),
                _ => prefix(&format!("fd00:{subnet}:{second}::/64")),
            };
            changes.push(Change::AddCustomerRoute(CustomerRoute {
                vsid,
                prefix,
                target,
                metric: 0,
            }));
        }
    }
    changes
}

#[test]
fn sixteen_routes_of_any_mix_fit() {
    static STORAGE: Mutex<Profile256> = Mutex::new(Profile256::new());
    let mut storage = STORAGE.lock().unwrap();
    for (family, next_hop) in [("IPv4", "10.0.0.2"), ("IPv6", "fd00::2")] {
        for target in [RouteTarget::OnLink, RouteTarget::Via(ca(next_hop))] {
            let mut policy = storage.policy(Seed::new(1, 2));
            let changes = tx(&routes(family, target));
            policy.apply(&Transaction::new(&changes)).unwrap();
            assert_eq!(policy.customer_routes().count(), 16);
        }
    }
}

#[test]
fn a_policy_that_lived_in_the_storage_before_leaves_nothing_behind() {
    static STORAGE: Mutex<[Profile256; 2]> = Mutex::new([const { Profile256::new() }; 2]);
    let mut storage = STORAGE.lock().unwrap();
    for seed in [Seed::new(1, 2), Seed::new(3, 4)] {
        let [first, second] = storage.each_mut().map(|copy| copy.policy(seed));
        let mut policies = Policies::new(first, second);
        let empty = Dump::of(&Capacities::ROOMY.policy());
        assert_eq!(Dump::of_both(&mut policies), empty);
        policies.apply(Transaction::new(&network())).unwrap();
    }
}

/// Every provider address under rewrite is known to be taken as long as its record is there: the index finds
/// the record after all the moves that others caused.
#[test]
fn the_rewrite_index_follows_records_that_move_in_their_table() {
    static STORAGE: Mutex<[Profile256; 2]> = Mutex::new([const { Profile256::new() }; 2]);
    let mut storage = STORAGE.lock().unwrap();
    let [first, second] = storage.each_mut().map(|copy| copy.policy(Seed::new(5, 6)));
    let mut policies = Policies::new(first, second);
    policies.apply(Transaction::new(&network())).unwrap();
    // The same storage throughout: what a round leaves behind would fill it.
    for round in 0..100 {
        let mut numbers = Numbers(round);
        let mut records: Vec<_> = (0..RECORDS as u32)
            .map(|index| random_record(&mut numbers, 0b10_1100, index))
            .collect();
        let all: Vec<_> = records.iter().copied().map(Change::AddRecord).collect();
        apply(&mut policies, &all).unwrap();
        while !records.is_empty() {
            let chosen = numbers.below(records.len() as u64) as usize;
            let record = records.swap_remove(chosen);
            let Some(provider_address) = record.method.provider_address() else {
                apply(&mut policies, &[Change::RemoveRecord(record.name())]).unwrap();
                continue;
            };
            let own = HostAddress {
                address: provider_address,
                ..own_address("192.168.0.2", 32)
            };
            let claim = Change::AddProviderAddress(own);
            let refused = apply(&mut policies, &[claim]).unwrap_err();
            assert_eq!(refused.why, Refusal::ProviderAddressTaken(provider_address));
            let release = [
                Change::RemoveRecord(record.name()),
                claim,
                Change::RemoveProviderAddress(provider_address),
            ];
            apply(&mut policies, &release).unwrap();
        }
        assert_eq!(policies.live().lookup_records().count(), 0);
    }
}
