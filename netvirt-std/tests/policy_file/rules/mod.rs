//! The rules of the policy file, and what the operator is told who breaks one.

mod machines;
mod provider;
mod tenants;
mod written;

use netvirt_std::policy_file::PolicyFile;

use crate::{WHOLE, edited, in_short};

/// A rule and the ways to break it.
pub struct Rule {
    says: &'static str,
    breaches: &'static [Breach],
}

/// What is replaced in the whole file, and what is told: line and column, what is wrong; the other places; what to do.
pub struct Breach {
    old: &'static str,
    new: &'static str,
    told: &'static str,
}

const ROOMS: [&[Rule]; 4] = [
    written::RULES,
    provider::RULES,
    tenants::RULES,
    machines::RULES,
];

#[test]
fn each_breach_is_told_with_its_place_and_remedy() {
    let mut surprises = Vec::new();
    for rule in ROOMS.into_iter().flatten() {
        for Breach { old, new, told } in rule.breaches {
            let found = match PolicyFile::parse(&edited(WHOLE, old, new), "network.toml") {
                Ok(_) => "nothing: it was accepted".to_owned(),
                Err(found) => in_short(&found),
            };
            if found != *told {
                let rule = rule.says;
                surprises.push(format!("{rule}\n{new}\ntold:\n{found}\nexpected:\n{told}"));
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n\n"));
}

#[test]
fn a_rule_is_stated_once_and_can_be_broken() {
    let mut stated = std::collections::HashSet::new();
    for rule in ROOMS.into_iter().flatten() {
        assert!(stated.insert(rule.says), "{} is stated twice", rule.says);
        assert!(!rule.breaches.is_empty(), "{} was never broken", rule.says);
    }
}

#[test]
fn what_looks_like_a_breach_but_is_none_is_accepted() {
    let accepted = [
        // A default route of the provider network, and two routers for the same destinations.
        (
            "prefix = \"192.168.5.0/24\"\nnext",
            "prefix = \"0.0.0.0/0\"\nnext",
        ),
        (
            "metric = 10",
            "metric = 10\n[[physical-network.route]]\nprefix = \"192.168.4.0/24\"\n\
             next-hop = \"192.168.5.2\"",
        ),
        // The ends of the ranges.
        (
            "[[peering]]",
            "[[routing-domain]]\nname = \"grey\"\n\
             [[routing-domain.subnet]]\nvsid = 4096\nprefixes = [\"10.0.0.0/30\"]\n\
             [[routing-domain.subnet]]\nvsid = 16777214\nprefixes = [\"fd00::/126\"]\n[[peering]]",
        ),
        // All that is for many, several to one group, and several subnets.
        (
            "prefixes = [\"10.8.0.0/16\"]",
            "prefixes = [\"10.8.0.0/16\"]\nmulticast = [\
             { group = \"255.255.255.255\", provider = \"239.192.0.1\" }, \
             { group = \"10.8.255.255\", provider = \"239.192.0.1\" }, \
             { group = \"ff02::fb\", provider = \"239.192.0.2\" }]",
        ),
        ("vlan = 100", "vlan = 4094"),
        ("mtu = 1600\npool = [\"192", "mtu = 1322\npool = [\"192"),
        ("mtu = 1600\npool = [\"2001", "mtu = 1342\npool = [\"2001"),
        ("\"192.168.4.207\"", "\"192.168.4.254\""),
        // Tenants may share MAC addresses as well as addresses.
        ("mac = \"0c:0c:00:00:00:05\"", "mac = \"06:06:00:00:00:05\""),
        // A wildcard record needs no customer address.
        (
            "gateway = true",
            "gateway = true\n[[vm]]\nname = \"nat\"\nsubnet = 5002\n\
          host = \"host-2\"\nmac = \"06:06:00:00:01:03\"\ngateway = true",
        ),
        // A MAC address that is asked for all the same.
        (
            "mac = \"02:00:00:00:00:16\" }]",
            "mac = \"02:00:00:00:00:17\" }]",
        ),
    ];
    for (old, new) in accepted {
        if let Err(found) = PolicyFile::parse(&edited(WHOLE, old, new), "network.toml") {
            panic!("{found}");
        }
    }
}
