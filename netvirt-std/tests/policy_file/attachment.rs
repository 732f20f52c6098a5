//! How the machines hang on the switch, and how large their packets may be.

use std::path::PathBuf;

use netvirt_core::policy::Uncovered;
use netvirt_std::policy_file::{Attachment, HostPolicy, OffloadNic, PolicyFile, PortInfo};

use crate::{THREE_TENANTS, WHOLE, edited};

fn host_3(text: &str) -> HostPolicy {
    let file = PolicyFile::parse(text, "network.toml").unwrap_or_else(|found| panic!("{found}"));
    file.for_host("host-3").unwrap()
}

fn port(text: &str, name: &str) -> PortInfo {
    host_3(text).port(name).unwrap().clone()
}

fn tap(namespace: &str) -> Attachment {
    Attachment::Tap {
        namespace: Some(namespace.into()),
    }
}

#[test]
fn a_port_says_which_interface_it_is_and_where() {
    let policy = host_3(WHOLE);
    assert_eq!(policy.uplink_interface.as_deref(), Some("eth1"));
    let told: Vec<_> = policy
        .ports
        .iter()
        .map(|port| (port.interface.as_deref(), &port.attachment))
        .collect();
    let own = Attachment::Tap { namespace: None };
    let expected = [
        (Some("orange-1"), &own),
        (Some("veth-orange-2"), &Attachment::Veth),
        (Some("eth0"), &tap("/run/netns/orange-3")),
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_uplink_says_which_nic_is_behind_it_and_what_becomes_of_what_that_does_not_cover() {
    assert_eq!(host_3(WHOLE).nic, None);
    for (said, uncovered) in [
        ("", Uncovered::Punt),
        (", uncovered = \"to-host\"", Uncovered::Punt),
        (", uncovered = \"drop\"", Uncovered::Refuse),
    ] {
        let nic = format!("nic = {{ mac = \"02:00:00:00:0f:01\"{said} }}");
        let text = edited(
            WHOLE,
            "interface = \"eth1\"",
            &format!("interface = \"eth1\", {nic}"),
        );
        let mac = "02:00:00:00:0f:01".parse().unwrap();
        assert_eq!(host_3(&text).nic, Some(OffloadNic { mac, uncovered }));
    }
}

#[test]
fn without_interface_the_port_is_named_after_the_machine_if_linux_can() {
    for (name, interface) in [
        ("x", Some("x")),
        ("fifteen-bytes-i", Some("fifteen-bytes-i")),
        ("sixteen-bytes-is", None),
        ("lo", None),
        ("..", None),
        ("all", None),
        ("a b", None),
        ("a/b", None),
        ("a:b", None),
        ("a%d", None),
        // Its second byte is a space in Latin-1.
        ("à", None),
        ("á", Some("á")),
    ] {
        let text = edited(WHOLE, "orange-1", name);
        assert_eq!(port(&text, name).interface.as_deref(), interface, "{name}");
    }
}

#[test]
fn a_namespace_is_named_or_pathed() {
    for (written, path) in [
        ("blue", "/run/netns/blue"),
        ("/run/netns/blue", "/run/netns/blue"),
        ("/var/run/netns/blue", "/run/netns/blue"),
        ("/proc/17/ns/net", "/proc/17/ns/net"),
        ("/var/running", "/var/running"),
    ] {
        let text = edited(
            WHOLE,
            "namespace = \"orange-3\"",
            &format!("namespace = {written:?}"),
        );
        let attachment = port(&text, "orange-3").attachment;
        let namespace = Some(PathBuf::from(path));
        assert_eq!(attachment, Attachment::Tap { namespace }, "{written}");
    }
}

#[test]
fn interfaces_of_one_name_live_in_two_namespaces_or_on_two_hosts() {
    let text = edited(
        WHOLE,
        "interface = \"veth-orange-2\"\nattach = \"veth\"",
        "interface = \"eth0\"",
    );
    assert_eq!(
        port(&text, "orange-2").interface,
        port(&text, "orange-3").interface
    );
    let text = edited(WHOLE, "interface = \"tap-blue-1\"", "interface = \"eth1\"");
    assert!(PolicyFile::parse(&text, "network.toml").is_ok());
}

#[test]
fn the_mtu_is_what_the_narrowest_network_carries_at_most_1500() {
    let free = edited(WHOLE, "mtu = 1200\n", "");
    assert_eq!(port(&free, "orange-2").mtu, 1500);
    // NVGRE takes 42 bytes over IPv4 and 62 over IPv6.
    for (ipv4, ipv6, mtu) in [(1600, 1500, 1438), (1500, 1600, 1458), (1500, 1530, 1458)] {
        let set = |text: &str, mtu: u16, pool: &str| {
            edited(
                text,
                &format!("mtu = 1600\npool = [\"{pool}"),
                &format!("mtu = {mtu}\npool = [\"{pool}"),
            )
        };
        let text = set(&set(&free, ipv4, "192"), ipv6, "2001");
        assert_eq!(port(&text, "orange-2").mtu, mtu);
        // Rewrite adds nothing.
        let file = PolicyFile::parse(&text, "network.toml").unwrap();
        let green = file
            .for_host("host-1")
            .unwrap()
            .port("green-1")
            .unwrap()
            .mtu;
        assert_eq!(green, 1500.min(ipv4).min(ipv6));
    }
    assert_eq!(port(WHOLE, "orange-2").mtu, 1200);
    let text = edited(WHOLE, "mtu = 1200", "mtu = 576");
    assert_eq!(port(&text, "orange-2").mtu, 576);
}

#[test]
fn a_narrow_network_elsewhere_does_not_take_ipv6_away() {
    let second_site = "[[physical-network]]\nname = \"narrow\"\nprefix = \"192.168.9.0/24\"\n\
        mtu = 1300\n[[host]]\nname = \"host-9\"\nuplink = { mac = \"02:00:00:00:00:99\" }\n\
        addresses = [\"192.168.9.9\"]\n";
    let text = THREE_TENANTS.to_owned() + second_site;
    let file = PolicyFile::parse(&text, "network.toml").unwrap();
    let policy = file.for_host("host-1").unwrap();
    let mtu_of = |name: &str| policy.port(name).unwrap().mtu;
    assert_eq!([mtu_of("blue-1"), mtu_of("blue-3")], [1258, 1280]);
}
