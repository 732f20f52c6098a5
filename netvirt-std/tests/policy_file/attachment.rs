//! How the machines hang on the switch, and how large their packets may be.

use std::path::PathBuf;

use netvirt_std::policy_file::{Attachment, HostPolicy, PolicyFile, PortInfo};

use crate::{Case, THREE_TENANTS, WHOLE, check_all, edited};

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

const CASES: &[Case] = &[
    Case {
        old: "interface = \"eth1\"",
        new: "interface = \"eth/1\"",
        told: "47:51 \"eth/1\" is no interface name: use 1 to 15 bytes without spaces, `/`, `:` and \
         `%`, and none of `.`, `..`, `all`, `default` and `lo`",
    },
    Case {
        old: "attach = \"veth\"",
        new: "attach = \"macvtap\"",
        told: "138:10 \"macvtap\" means nothing here: choose \"tap\" or \"veth\"",
    },
    Case {
        old: "namespace = \"orange-3\"",
        new: "namespace = \"netns/orange-3\"",
        told: "149:13 \"netns/orange-3\" is no network namespace: give a name as `ip netns` shows it, \
         or an absolute path",
    },
    Case {
        old: "attach = \"tap\"",
        new: "attach = \"veth\"",
        told: "149:13 the host's end of a veth pair lies in the switch's own network namespace; \
         148:10 the interface is there already; remove `namespace`, or let the switch make the \
         interface: `attach = \"tap\"`",
    },
    Case {
        old: "namespace = \"orange-3\"",
        new: "\n[[vm]]\nname = \"eth0\"\nsubnet = 8001\nhost = \"host-3\"\nmac = \
         \"0c:0c:00:00:00:08\"\naddresses = [\"10.8.0.8\"]",
        told: "151:8 interface \"eth0\" of host \"host-3\" has two users; 147:13 the first is here; \
         give the machine an `interface` of its own, or another `namespace`",
    },
    Case {
        old: "interface = \"veth-orange-2\"\nattach = \"veth\"",
        new: "interface = \"eth0\"\nnamespace = \"/var/run/netns/orange-3\"",
        told: "147:13 interface \"eth0\" in network namespace /run/netns/orange-3 of host \"host-3\" \
         has two users; 137:13 the first is here; give the machine an `interface` of its own, or \
         another `namespace`",
    },
    Case {
        old: "interface = \"veth-orange-2\"",
        new: "interface = \"eth1\"",
        told: "137:13 interface \"eth1\" of host \"host-3\" has two users; 47:51 the first is here; \
         give the machine an `interface` of its own, or another `namespace`",
    },
    Case {
        old: "mtu = 1200",
        new: "mtu = 1539",
        told: "139:7 an MTU of 1539 does not fit: physical network \"site-1-ipv6\" carries 1538 inside \
         NVGRE; 22:7 the narrowest of all networks; write 1538 or less, or raise the MTU of the \
         physical network, on its links as well",
    },
    Case {
        old: "use-vm-mac = true",
        new: "mtu = 1601",
        told: "108:7 an MTU of 1601 does not fit: physical network \"site-1\" carries 1600; 13:7 the \
         narrowest of all networks; write 1600 or less, or raise the MTU of the physical network, \
         on its links as well",
    },
    Case {
        old: "mtu = 1200",
        new: "mtu = 575",
        told: "139:7 an MTU of 575 is too small for IPv4; write 576 or more, or leave it out",
    },
    Case {
        old: "use-vm-mac = true",
        new: "mtu = 1279",
        told: "108:7 an MTU of 1279 is too small for IPv6; write 1280 or more, or leave it out",
    },
];

#[test]
fn each_breach_is_told_with_its_place_and_remedy() {
    check_all(CASES);
}
