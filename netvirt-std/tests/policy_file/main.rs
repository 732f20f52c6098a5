//! The policy file: what it refuses and how it says so, what each host derives, what is allocated.

mod allocation;
mod attachment;
mod damage;
mod derivation;
mod difference;
mod network;
mod numbering;
mod rendering;
mod rules;
#[path = "../support/mod.rs"]
mod support;

use netvirt_std::policy_file::{Diagnostics, PolicyFile, Summary};

const TWO_HOSTS: &str = include_str!("../../../examples/two-hosts.toml");
const THREE_TENANTS: &str = include_str!("../../../examples/three-tenants.toml");
/// A good file that uses every key.
const WHOLE: &str = include_str!("whole.toml");

/// `text` with one passage replaced, which must be there.
fn edited(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "the text lacks {old:?}");
    text.replacen(old, new, 1)
}

/// Every diagnostic on a line: place, what is wrong; other places; remedy.
fn in_short(diagnostics: &Diagnostics) -> String {
    let place = |span| {
        let (line, column) = diagnostics.position(span);
        format!("{line}:{column}")
    };
    let lines = diagnostics.iter().map(|found| {
        let mut line = format!("{} {}", place(&found.place().span), found.message());
        for label in found.related() {
            line += &format!("; {} {}", place(&label.span), label.text);
        }
        if let Some(remedy) = found.remedy_text() {
            line += &format!("; {remedy}");
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_examples_and_the_whole_file_are_good() {
    for text in [TWO_HOSTS, THREE_TENANTS, WHOLE] {
        let file = PolicyFile::parse(text, "good.toml").unwrap();
        assert_eq!(file.warnings().to_string(), "");
    }
}

#[test]
fn what_will_not_work_is_a_warning() {
    let cases = [
        (
            "flow-id = \"per-flow\"",
            "flow-id = 0xa7",
            "4:13 a fixed FlowID makes no use of a seed; remove `flow-seed`, or write \
             `flow-id = \"per-flow\"`",
        ),
        (
            "next-hop = \"10.0.1.2\"",
            "next-hop = \"10.0.1.3\"",
            "62:12 no machine owns the next hop 10.0.1.3: the route stays Unusable; add a [[vm]] \
             with this address",
        ),
        (
            "gateway = true\n",
            "",
            "62:12 the next hop 10.0.1.2 is no gateway: it may not send what it forwards; 94:8 the \
             machine that owns it; add `gateway = true` to the machine",
        ),
        (
            "[[physical-network.route]]\nprefix = \"192.168.5.0/24\"\nnext-hop = \"192.168.4.1\"\n",
            "",
            "45:14 host \"host-1\" has no way to host \"host-3\": the records of its machines stay \
             Unusable there; 32:8 the host that has to send; add a [[physical-network.route]] that \
             leads to this address",
        ),
        (
            "mac = \"02:00:00:00:00:16\" }]",
            "mac = \"02:00:00:00:00:17\" }]",
            "38:27 the neighbour 192.168.4.22 is host \"host-2\", whose uplink has another MAC address: \
             02:00:00:00:00:16; 42:18 its MAC address; correct one of them, or remove the neighbour: \
             it will be asked",
        ),
        (
            "name = \"green\"",
            "name = \"empty\"\n[[routing-domain]]\nname = \"green\"",
            "65:8 routing domain \"empty\" has no subnet; add a [[routing-domain.subnet]] behind it",
        ),
        (
            "method = \"rewrite\"",
            "method = \"rewrite\"\nmulticast = [{ group = \"239.1.1.1\", provider = \"239.192.0.1\" }]",
            "71:48 the machines of subnet 7001 are reached by rewrite: nothing is sent to 239.192.0.1; remove \
             `multicast`, or let the subnet use `method = \"encapsulate\"`",
        ),
    ];
    for (old, new, told) in cases {
        let file = PolicyFile::parse(&edited(WHOLE, old, new), "network.toml").unwrap();
        assert_eq!(in_short(file.warnings()), told);
    }
}

#[test]
fn the_summary_counts_the_entries() {
    let summary = PolicyFile::parse(WHOLE, "whole.toml").unwrap().summary();
    let expected = Summary {
        physical_networks: 3,
        hosts: 3,
        routing_domains: 4,
        subnets: 5,
        machines: 8,
        peerings: 1,
    };
    assert_eq!(summary, expected);
}
