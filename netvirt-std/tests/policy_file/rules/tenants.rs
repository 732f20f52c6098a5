//! The tenants: routing domains, subnets, routes, peerings.

use super::{Breach, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "a VSID is in 4096..=16777214",
        breaches: &[
            Breach {
                old: "vsid = 8001",
                new: "vsid = 4095",
                told: "75:8 VSID 4095 is outside 4096..=16777214: choose one inside, the others are \
                reserved",
            },
            Breach {
                old: "vsid = 8001",
                new: "vsid = 16777215",
                told: "75:8 VSID 16777215 is outside 4096..=16777214: choose one inside, the others are \
                reserved",
            },
            Breach {
                old: "vsid = 8001",
                new: "vsid = 5_000_000_000",
                told: "75:8 5000000000 is outside 4096..=16777214: choose one inside",
            },
            Breach {
                old: "vsid = 8001",
                new: "vsid = 0",
                told: "75:8 VSID 0 is outside 4096..=16777214: choose one inside, the others are \
                reserved",
            },
            Breach {
                old: "vsid = 8001",
                new: "vsid = -1",
                told: "75:8 -1 is outside 4096..=16777214: choose one inside",
            },
            Breach {
                old: "subnet = 8001",
                new: "subnet = 4095",
                told: "121:10 VSID 4095 is outside 4096..=16777214: choose one inside, the others are \
                reserved",
            },
        ],
    },
    Rule {
        says: "a VSID is in one routing domain, once",
        breaches: &[
            Breach {
                old: "vsid = 5002",
                new: "vsid = 5001",
                told: "58:8 two subnets have VSID 5001; 55:8 the first is here; give each subnet of the \
                file a VSID of its own\n\
                95:10 no routing domain has a subnet with VSID 5002; did you mean `5001`?",
            },
            Breach {
                old: "vsid = 7001",
                new: "vsid = 5001",
                told: "68:8 VSID 5001 is in two routing domains, \"blue\" and \"green\"; 55:8 the first \
                is here; give each subnet of the file a VSID of its own\n\
                103:10 no routing domain has a subnet with VSID 7001; did you mean `9001`?\n\
                112:10 no routing domain has a subnet with VSID 7001; did you mean `9001`?",
            },
        ],
    },
    Rule {
        says: "a routing domain has a GUID of its own",
        breaches: &[Breach {
            old: "-000000007001}",
            new: "-000000005001}",
            told: "66:6 two routing domains have the id {11111111-2222-3333-4444-000000005001}; \
                52:6 the first is here; give each routing domain a GUID of its own",
        }],
    },
    Rule {
        says: "a subnet has unicast prefixes with room for a gateway and a machine",
        breaches: &[
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.4/31\", \"10.8.0.0/30\"]",
                told: "76:13 10.8.0.4/31 has no room for a gateway and a machine: choose /30 or shorter",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.0/16\", \"224.0.0.0/8\"]",
                told: "76:28 224.0.0.0/8 is multicast: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.0/16\", \"::/0\"]",
                told: "76:28 ::/0 is the whole address space: choose a unicast prefix, such as \
                10.0.0.0/24 or fd00:1::/64",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = []",
                told: "76:12 `prefixes` of this subnet is empty; add a prefix such as \"10.0.0.0/24\"",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"fe80::/64\"]",
                told: "76:13 fe80::/64 is link-local: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"fd00::/127\"]",
                told: "76:13 fd00::/127 has no room for a gateway and a machine: choose /126 or shorter",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"127.0.0.0/24\"]",
                told: "76:13 127.0.0.0/24 is loopback: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
        ],
    },
    Rule {
        says: "what is mapped to a group of the provider network is for many",
        breaches: &[
            Breach {
                old: "10.9.255.255",
                new: "10.9.255.254",
                told: "156:75 10.9.255.254 is not for many: ff05::1 cannot carry it; map a multicast address, \
                255.255.255.255 or the last address of an IPv4 prefix of the subnet",
            },
            Breach {
                old: "10.9.255.255",
                new: "10.8.255.255",
                told: "156:75 10.8.255.255 is not for many: ff05::1 cannot carry it; map a multicast address, \
                255.255.255.255 or the last address of an IPv4 prefix of the subnet",
            },
            Breach {
                old: "10.9.255.255",
                new: "fd00::ffff",
                told: "156:75 fd00::ffff is not for many: ff05::1 cannot carry it; map a multicast address, \
                255.255.255.255 or the last address of an IPv4 prefix of the subnet",
            },
            Breach {
                old: "10.9.255.255",
                new: "everybody",
                told: "156:75 \"everybody\" is not an IP address: write it like 10.0.0.5 or 2001:db8::5",
            },
            Breach {
                old: "{ group = \"10.9.255.255\", ",
                new: "{ ",
                told: "156:65 this multicast group lacks `group`; add `group = …`: a multicast or broadcast \
                address such as \"239.1.1.1\"",
            },
        ],
    },
    Rule {
        says: "an address for many is mapped once",
        breaches: &[Breach {
            old: "10.9.255.255",
            new: "239.1.1.1",
            told: "156:75 239.1.1.1 of subnet 9001 is mapped twice; 156:24 the first is here; one group \
                carries an address: remove one of them",
        }],
    },
    Rule {
        says: "a group of the provider network has a multicast address",
        breaches: &[
            Breach {
                old: "\"239.192.0.1\"",
                new: "\"192.168.4.1\"",
                told: "156:48 192.168.4.1 is no multicast address: use one of 224.0.0.0/4 or ff00::/8, such as \
                239.192.0.1",
            },
            Breach {
                old: "\"239.192.0.1\"",
                new: "\"255.255.255.255\"",
                told: "156:48 255.255.255.255 is no multicast address: use one of 224.0.0.0/4 or ff00::/8, such \
                as 239.192.0.1",
            },
            Breach {
                old: ", provider = \"239.192.0.1\"",
                new: "",
                told: "156:14 this multicast group lacks `provider`; add `provider = …`: a multicast address such \
                as \"239.192.0.1\"",
            },
        ],
    },
    Rule {
        says: "a host with machines in a subnet can send to its groups",
        breaches: &[Breach {
            old: "prefixes = [\"10.8.0.0/16\"]",
            new: "prefixes = [\"10.8.0.0/16\"]\nmulticast = [{ group = \"239.1.1.1\", provider = \"ff05::1\" }]",
            told: "77:48 host \"host-3\" has machines in subnet 8001, and no IPv6 provider address from which it \
                could send to ff05::1; 46:8 the host; give it one, or map to a group of a version that all hosts \
                of the subnet have",
        }],
    },
    Rule {
        says: "the prefixes of a routing domain are disjoint",
        breaches: &[
            Breach {
                old: "prefixes = [\"10.0.1.0/24\"]",
                new: "prefixes = [\"10.0.0.0/23\"]",
                told: "59:13 10.0.0.0/24 and 10.0.0.0/23 overlap within routing domain \"blue\"; 56:13 \
                overlaps this prefix of subnet 5001; give the subnets of one routing domain \
                disjoint prefixes",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.0/16\", \"10.8.1.0/24\"]",
                told: "76:28 10.8.0.0/16 and 10.8.1.0/24 overlap within routing domain \"orange\"; \
                76:13 overlaps this prefix of subnet 8001; give the subnets of one routing \
                domain disjoint prefixes",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.0/16\", \"10.8.0.0/16\"]",
                told: "76:28 10.8.0.0/16 and 10.8.0.0/16 overlap within routing domain \"orange\"; \
                76:13 overlaps this prefix of subnet 8001; give the subnets of one routing \
                domain disjoint prefixes",
            },
        ],
    },
    Rule {
        says: "a customer route leads out of the routing domain, to unicast destinations",
        breaches: &[
            Breach {
                old: "prefix = \"0.0.0.0/0\"",
                new: "prefix = \"10.0.0.0/24\"",
                told: "61:10 10.0.0.0/24 is a subnet of this routing domain; 56:13 on-link already; \
                remove the route, or give destinations outside the routing domain",
            },
            Breach {
                old: "prefix = \"0.0.0.0/0\"",
                new: "prefix = \"239.0.0.0/8\"",
                told: "61:10 239.0.0.0/8 is multicast: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
            Breach {
                old: "prefix = \"0.0.0.0/0\"",
                new: "prefix = \"0.0.0.1/0\"",
                told: "61:10 0.0.0.1/0 has bits behind its length: write 0.0.0.0/0",
            },
        ],
    },
    Rule {
        says: "the next hop of a customer route is of the version of the destinations",
        breaches: &[Breach {
            old: "prefix = \"0.0.0.0/0\"",
            new: "prefix = \"::/0\"",
            told: "62:12 the route to ::/0 has a next hop of the other IP version; 61:10 the \
                destinations; give a machine of the same IP version as the destinations",
        }],
    },
    Rule {
        says: "the next hop of a customer route is where a machine of the routing domain can be",
        breaches: &[
            Breach {
                old: "next-hop = \"10.0.1.2\"",
                new: "next-hop = \"10.8.0.5\"",
                told: "62:12 the next hop 10.8.0.5 is in no subnet of routing domain \"blue\"; give the \
                address of a gateway machine of the same routing domain",
            },
            Breach {
                old: "next-hop = \"10.0.1.2\"",
                new: "next-hop = \"10.0.1.1\"",
                told: "62:12 the next hop 10.0.1.1 is the distributed router itself in 10.0.1.0/24; \
                59:13 the subnet's prefix; give the address of the machine behind which the \
                destinations lie",
            },
            Breach {
                old: "next-hop = \"10.0.1.2\"",
                new: "next-hop = \"10.0.1.255\"",
                told: "62:12 the next hop 10.0.1.255 is the broadcast address in 10.0.1.0/24; 59:13 the \
                subnet's prefix; give the address of the machine behind which the destinations \
                lie",
            },
            Breach {
                old: "next-hop = \"10.0.1.2\"",
                new: "next-hop = \"0.0.0.0\"",
                told: "62:12 0.0.0.0 names no machine: a gateway's wildcard record is `gateway = true` \
                in its [[vm]], on-link routes are the `prefixes` of a subnet",
            },
        ],
    },
    Rule {
        says: "a customer route is given once",
        breaches: &[Breach {
            old: "next-hop = \"10.0.1.2\"",
            new: "next-hop = \"10.0.1.2\"\n\
                [[routing-domain.route]]\n\
                prefix = \"0.0.0.0/0\"\n\
                next-hop = \"10.0.1.2\"\n\
                metric = 9",
            told: "64:10 two routes to 0.0.0.0/0 have the same next hop 10.0.1.2; 61:10 the first \
                is here; remove one of them",
        }],
    },
    Rule {
        says: "two routing domains are peered, once in each direction",
        breaches: &[
            Breach {
                old: "to = \"orange\"",
                new: "to = \"blue\"",
                told: "126:1 routing domain \"blue\" cannot be peered with itself; remove the rule: its \
                subnets reach each other anyway",
            },
            Breach {
                old: "both-ways = true",
                new: "both-ways = true\n\
                [[peering]]\n\
                from = \"orange\"\n\
                to = \"blue\"",
                told: "130:1 the peering from \"orange\" to \"blue\" is given twice; 126:1 the first is \
                here; remove one of them",
            },
        ],
    },
    Rule {
        says: "no destination is ambiguous among peered routing domains",
        breaches: &[
            Breach {
                old: "to = \"orange\"",
                new: "to = \"green\"",
                told: "126:1 peering makes 10.0.0.0/24 ambiguous for routing domain \"blue\": it is in \
                \"blue\" and in \"green\"; 56:13 overlaps; 69:13 overlaps; 83:14 10.0.0.5 \
                is virtual machine \"blue-1\"; 106:14 10.0.0.5 is virtual machine \"green-1\"; peer \
                only routing domains whose prefixes are disjoint",
            },
            Breach {
                old: "both-ways = true",
                new: "both-ways = true\n\
                [[peering]]\n\
                from = \"green\"\n\
                to = \"orange\"",
                told: "130:1 peering makes 10.0.0.0/24 ambiguous for routing domain \"orange\": it is \
                in \"blue\" and in \"green\"; 56:13 overlaps; 69:13 overlaps; 83:14 10.0.0.5 \
                is virtual machine \"blue-1\"; 106:14 10.0.0.5 is virtual machine \"green-1\"; peer \
                only routing domains whose prefixes are disjoint",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.0.0.0/16\"]",
                told: "124:14 10.8.0.5 is in no prefix of subnet 8001; give an address in one of: \
                10.0.0.0/16\n\
                126:1 peering makes 10.0.0.0/16 ambiguous for routing domain \"blue\": it is in \
                \"blue\" and in \"orange\"; 56:13 overlaps; 76:13 overlaps; peer only routing \
                domains whose prefixes are disjoint\n\
                126:1 peering makes 10.0.0.0/16 ambiguous for routing domain \"blue\": it is in \
                \"blue\" and in \"orange\"; 59:13 overlaps; 76:13 overlaps; peer only routing \
                domains whose prefixes are disjoint\n\
                136:14 10.8.0.6 is in no prefix of subnet 8001; give an address in one of: \
                10.0.0.0/16\n\
                146:14 10.8.0.7 is in no prefix of subnet 8001; give an address in one of: \
                10.0.0.0/16",
            },
        ],
    },
];
