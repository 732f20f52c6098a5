//! What stays in the file keeps its number.

use netvirt_core::{DomainId, HostId, PortId};
use netvirt_std::policy_file::{HostPolicy, PolicyFile};

/// A network in which every machine is in a routing domain of its own, behind a gateway machine on host-1.
fn network(hosts: &[&str], machines: &[(&str, &str)]) -> PolicyFile {
    let mut text =
        "[[physical-network]]\nname = \"site-1\"\nprefix = \"192.168.4.0/24\"\n".to_owned();
    for name in hosts {
        let number: u8 = name.trim_start_matches("host-").parse().unwrap();
        text += &format!(
            "[[host]]\nname = {name:?}\nuplink = {{ mac = \"0200000000{number:02x}\" }}\n\
             addresses = [\"192.168.4.{number}\"]\n"
        );
    }
    for (name, host) in machines {
        let number = usize::from(name.bytes().next().unwrap());
        text += &format!(
            "[[routing-domain]]\nname = \"tenant-{name}\"\n[[routing-domain.subnet]]\n\
             vsid = {}\nprefixes = [\"10.0.0.0/24\"]\n",
            5000 + number
        );
        for (name, host, last) in [(*name, *host, 5), (&format!("{name}-gateway"), "host-1", 2)] {
            text += &format!(
                "[[vm]]\nname = {name:?}\nsubnet = {}\nhost = {host:?}\n\
                 mac = \"06000000000{last}\"\naddresses = [\"10.0.0.{last}\"]\n",
                5000 + number
            );
        }
    }
    PolicyFile::parse(&text, "network.toml").unwrap()
}

fn hosts(policy: &HostPolicy) -> Vec<(&str, u32)> {
    let mut hosts: Vec<_> = policy
        .hosts
        .iter()
        .map(|info| (&*info.name, info.host.0))
        .collect();
    hosts.sort_unstable();
    hosts
}

fn domains(policy: &HostPolicy) -> Vec<(&str, u32)> {
    let domains = policy.domains.iter();
    let mut domains: Vec<_> = domains.map(|info| (&*info.name, info.domain.0)).collect();
    domains.sort_unstable();
    domains
}

fn ports(policy: &HostPolicy) -> Vec<(&str, u32)> {
    let mut ports: Vec<_> = policy
        .ports
        .iter()
        .map(|info| (&*info.name, info.port.0))
        .collect();
    ports.sort_unstable();
    ports
}

#[test]
fn what_stays_keeps_its_number_and_what_is_new_gets_one_that_nobody_had() {
    let first = network(
        &["host-1", "host-2", "host-3", "host-4"],
        &[("a", "host-2"), ("b", "host-3"), ("c", "host-4")],
    );
    let first = first.for_host("host-1").unwrap();
    assert_eq!(
        hosts(&first),
        [("host-1", 0), ("host-2", 1), ("host-3", 2), ("host-4", 3)]
    );
    assert_eq!(
        domains(&first),
        [("tenant-a", 0), ("tenant-b", 1), ("tenant-c", 2)]
    );
    assert_eq!(
        ports(&first),
        [("a-gateway", 0), ("b-gateway", 1), ("c-gateway", 2)]
    );

    // Host 1 and tenant a leave, others are listed in another order, and some are new.
    let second = network(
        &["host-9", "host-4", "host-1", "host-3"],
        &[("c", "host-4"), ("z", "host-9"), ("b", "host-3")],
    );
    let second = second.for_host_after("host-1", &first.numbering).unwrap();
    assert_eq!(
        hosts(&second),
        [("host-1", 0), ("host-3", 2), ("host-4", 3), ("host-9", 4)]
    );
    assert_eq!(
        domains(&second),
        [("tenant-b", 1), ("tenant-c", 2), ("tenant-z", 3)]
    );
    assert_eq!(
        ports(&second),
        [("b-gateway", 1), ("c-gateway", 2), ("z-gateway", 3)]
    );
    assert_eq!(second.local_host, first.local_host);

    // Now nobody remembers the numbers of those that left.
    let third = network(
        &["host-8", "host-1", "host-9", "host-4"],
        &[("y", "host-8"), ("z", "host-9"), ("c", "host-4")],
    );
    let third = third.for_host_after("host-1", &second.numbering).unwrap();
    assert_eq!(
        hosts(&third),
        [("host-1", 0), ("host-4", 3), ("host-8", 1), ("host-9", 4)]
    );
    assert_eq!(
        domains(&third),
        [("tenant-c", 2), ("tenant-y", 0), ("tenant-z", 3)]
    );
    assert_eq!(
        ports(&third),
        [("c-gateway", 2), ("y-gateway", 0), ("z-gateway", 3)]
    );
}

#[test]
fn names_are_found_beside_the_gaps() {
    let first = network(
        &["host-1", "host-2", "host-3"],
        &[("a", "host-2"), ("b", "host-3")],
    );
    let first = first.for_host("host-1").unwrap();
    let second = network(&["host-1", "host-3"], &[("b", "host-3")]);
    let second = second.for_host_after("host-1", &first.numbering).unwrap();
    assert_eq!(second.host_name(HostId(1)), None);
    assert_eq!(second.host_name(HostId(2)), Some("host-3"));
    assert_eq!(second.domain_name(DomainId(0)), None);
    assert_eq!(second.domain_name(DomainId(1)), Some("tenant-b"));
    assert_eq!(second.port("b-gateway").unwrap().port, PortId(1));
    let numbering = &second.numbering;
    assert_eq!(numbering.host("host-3"), Some(HostId(2)));
    assert_eq!(numbering.domain("tenant-b"), Some(DomainId(1)));
    assert_eq!(numbering.port("b-gateway"), Some(PortId(1)));
    assert_eq!(numbering.port("a-gateway"), None);
}

#[test]
fn the_same_file_after_itself_is_the_same() {
    let file = PolicyFile::parse(crate::WHOLE, "network.toml").unwrap();
    for host in file.host_names() {
        let fresh = file.for_host(host).unwrap();
        let again = file.for_host_after(host, &fresh.numbering).unwrap();
        assert_eq!(again, fresh);
    }
}
