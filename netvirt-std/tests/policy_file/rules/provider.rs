//! The provider network: physical networks, hosts, routers, neighbours.

use super::{Breach, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "a packet leaves with a TTL",
        breaches: &[Breach {
            old: "outer-ttl = 64",
            new: "outer-ttl = 0",
            told: "5:13 a packet with TTL 0 never leaves its host; write 1 to 255; 64 is usual",
        }],
    },
    Rule {
        says: "a rate limit that is not none lets something pass",
        breaches: &[Breach {
            old: "reception = \"tolerant\"",
            new: "errors = { per-second = 10, burst = 0 }",
            told: "7:37 a burst of 0 lets nothing pass; write 1 or more, or `per-second = 0` for \
            none at all",
        }],
    },
    Rule {
        says: "settings are what the datapath knows",
        breaches: &[
            Breach {
                old: "reception = \"tolerant\"",
                new: "ecn = \"off\"",
                told: "7:7 \"off\" means nothing here: choose \"normal\" or \"compatible\"",
            },
            Breach {
                old: "reception = \"tolerant\"",
                new: "router-advertisements = false",
                told: "7:25 expected \"off\", \"on-link\" or \"autonomous\", found a boolean",
            },
            Breach {
                old: "reception = \"tolerant\"",
                new: "clamp-mss = 1400\n\
                unreachables = \"yes\"",
                told: "7:13 expected true or false, found an integer\n\
                8:16 expected true or false, found a string",
            },
            Breach {
                old: "reception = \"tolerant\"",
                new: "errors = 100",
                told: "7:10 expected a table, begun by [errors], found an integer",
            },
            Breach {
                old: "reception = \"tolerant\"",
                new: "errors = { per-second = 4294967296, bust = 1 }",
                told: "7:25 4294967296 is outside 0..=4294967295: choose one inside\n\
                7:37 `bust` is not a key of this rate limit; did you mean `burst`?",
            },
        ],
    },
    Rule {
        says: "physical networks are disjoint unicast prefixes",
        breaches: &[
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                mtu",
                new: "prefix = \"192.168.0.0/16\"\n\
                mtu",
                told: "27:10 the physical networks \"site-1\" and \"site-2\" overlap; 11:10 overlaps \
                this; give each physical network a prefix of its own\n\
                30:10 192.168.4.0/24 lies in the physical network itself and needs no route; \
                27:10 on-link already; remove the route",
            },
            Breach {
                old: "prefix = \"2001:db8:4::/64\"",
                new: "prefix = \"ff02::/64\"",
                told: "21:10 ff02::/64 is multicast: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                mtu",
                new: "prefix = \"127.0.0.0/8\"\n\
                mtu",
                told: "27:10 127.0.0.0/8 is loopback: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
            Breach {
                old: "prefix = \"2001:db8:4::/64\"",
                new: "prefix = \"fe80::/64\"",
                told: "21:10 fe80::/64 is link-local: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                mtu",
                new: "prefix = \"0.0.0.0/0\"\n\
                mtu",
                told: "27:10 0.0.0.0/0 is the whole address space: choose a unicast prefix, such as \
                10.0.0.0/24 or fd00:1::/64",
            },
        ],
    },
    Rule {
        says: "a VLAN id is 1..=4094",
        breaches: &[
            Breach {
                old: "vlan = 100",
                new: "vlan = 4095",
                told: "12:8 4095 is outside 1..=4094: choose one inside",
            },
            Breach {
                old: "vlan = 100",
                new: "vlan = 0",
                told: "12:8 0 is outside 1..=4094: choose one inside",
            },
        ],
    },
    Rule {
        says: "a physical network carries what its IP version asks for",
        breaches: &[
            Breach {
                old: "mtu = 1600\n\
                pool = [\"192",
                new: "mtu = 500\n\
                pool = [\"192",
                told: "13:7 an MTU of 500 is too small for IPv4; write 576 or more; 1500 is usual, 1600 \
                leaves room for NVGRE\n\
                13:7 the MTU of physical network \"site-1\" is 500: too small for the IPv6 \
                subnet fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to \
                1322 or more, on its links as well\n\
                139:7 an MTU of 1200 does not fit: physical network \"site-1\" carries 458 \
                inside NVGRE; 13:7 the narrowest of all networks; write 458 or less, or raise \
                the MTU of the physical network, on its links as well",
            },
            Breach {
                old: "mtu = 1600\n\
                pool = [\"2001",
                new: "mtu = 1279\n\
                pool = [\"2001",
                told: "22:7 an MTU of 1279 is too small for IPv6; write 1280 or more; 1500 is usual, \
                1600 leaves room for NVGRE\n\
                22:7 the MTU of physical network \"site-1-ipv6\" is 1279: too small for the IPv6 \
                subnet fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to \
                1342 or more, on its links as well",
            },
        ],
    },
    Rule {
        says: "every host that knows an IPv6 subnet has room for 1280 bytes inside the tunnel",
        breaches: &[
            Breach {
                old: "mtu = 1600\n\
                pool = [\"192",
                new: "mtu = 1321\n\
                pool = [\"192",
                told: "13:7 the MTU of physical network \"site-1\" is 1321: too small for the IPv6 \
                subnet fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to \
                1322 or more, on its links as well",
            },
            Breach {
                old: "mtu = 1600\n\
                pool = [\"2001",
                new: "mtu = 1341\n\
                pool = [\"2001",
                told: "22:7 the MTU of physical network \"site-1-ipv6\" is 1341: too small for the IPv6 \
                subnet fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to \
                1342 or more, on its links as well",
            },
            Breach {
                old: "mtu = 1600\n\
                [[physical-network.route]]\n\
                prefix = \"192.168.4",
                new: "mtu = 1321\n\
                [[physical-network.route]]\n\
                prefix = \"192.168.4",
                told: "28:7 the MTU of physical network \"site-2\" is 1321: too small for the IPv6 \
                subnet fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to \
                1322 or more, on its links as well",
            },
        ],
    },
    Rule {
        says: "a pool is a range of addresses that machines of the network can own",
        breaches: &[
            Breach {
                old: "192.168.4.199\"]",
                new: "192.168.5.199\"]",
                told: "14:9 the pool of \"site-1\": 192.168.5.199 lies outside the physical network; \
                11:10 the physical network; let both ends of the range be addresses that a \
                machine can own",
            },
            Breach {
                old: "192.168.4.199\"]",
                new: "192.168.4.255\"]",
                told: "14:9 the pool of \"site-1\": 192.168.4.255 is the broadcast address; 11:10 the \
                physical network; let both ends of the range be addresses that a machine can own",
            },
            Breach {
                old: "192.168.4.199\"]",
                new: "192.168.4.99\"]",
                told: "14:9 192.168.4.100-192.168.4.99 is no range: write the lower address first, both \
                of one family",
            },
            Breach {
                old: "192.168.4.199\"]",
                new: "2001:db8:4::199\"]",
                told: "14:9 192.168.4.100-2001:db8:4::199 is no range: write the lower address first, \
                both of one family",
            },
            Breach {
                old: "[\"192.168.4.100-192.168.4.199\"]",
                new: "[\"192.168.4.100 to 199\"]",
                told: "14:9 \"192.168.4.100 to 199\" is not an IP address: write it like 10.0.0.5 or \
                2001:db8::5",
            },
        ],
    },
    Rule {
        says: "a router is on the physical network, of the version of the destinations",
        breaches: &[
            Breach {
                old: "next-hop = \"192.168.4.1\"",
                new: "next-hop = \"192.168.5.1\"",
                told: "17:12 the next hop 192.168.5.1 is not on the physical network \"site-1\"; 11:10 \
                the physical network; give a router with an address in that prefix",
            },
            Breach {
                old: "next-hop = \"192.168.4.1\"",
                new: "next-hop = \"2001:db8:4::1\"",
                told: "17:12 the route to 192.168.5.0/24 has a next hop of the other IP version; 16:10 \
                the destinations; give a router of the same IP version as the destinations",
            },
            Breach {
                old: "next-hop = \"192.168.4.1\"",
                new: "next-hop = \"192.168.4.255\"",
                told: "17:12 192.168.4.255 is the broadcast address of physical network \"site-1\"; \
                11:10 the physical network; use another address of the prefix",
            },
        ],
    },
    Rule {
        says: "a router is neither a host nor a machine",
        breaches: &[
            Breach {
                old: "next-hop = \"192.168.4.1\"",
                new: "next-hop = \"192.168.4.22\"",
                told: "17:12 the next hop 192.168.4.22 is a host's or a machine's provider address, and \
                these route nothing; 43:14 whose it is; give the address of a router of the \
                provider network",
            },
            Breach {
                old: "next-hop = \"192.168.4.1\"",
                new: "next-hop = \"192.168.4.207\"",
                told: "17:12 the next hop 192.168.4.207 is a host's or a machine's provider address, \
                and these route nothing; 117:23 whose it is; give the address of a router of the \
                provider network",
            },
        ],
    },
    Rule {
        says: "a provider route leads out of its physical network, to unicast destinations",
        breaches: &[
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                next",
                new: "prefix = \"192.168.4.0/24\"\n\
                next",
                told: "16:10 192.168.4.0/24 lies in the physical network itself and needs no route; \
                11:10 on-link already; remove the route\n\
                48:14 host \"host-1\" has no way to host \"host-3\": the records of its machines \
                stay Unusable there; 35:8 the host that has to send; add a \
                [[physical-network.route]] that leads to this address",
            },
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                next",
                new: "prefix = \"192.168.4.128/25\"\n\
                next",
                told: "16:10 192.168.4.128/25 lies in the physical network itself and needs no route; \
                11:10 on-link already; remove the route\n\
                48:14 host \"host-1\" has no way to host \"host-3\": the records of its machines \
                stay Unusable there; 35:8 the host that has to send; add a \
                [[physical-network.route]] that leads to this address",
            },
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                next",
                new: "prefix = \"224.0.0.0/4\"\n\
                next",
                told: "16:10 224.0.0.0/4 is multicast: choose a unicast prefix, such as 10.0.0.0/24 or \
                fd00:1::/64",
            },
        ],
    },
    Rule {
        says: "a provider route is given once",
        breaches: &[Breach {
            old: "metric = 10",
            new: "metric = 10\n\
                [[physical-network.route]]\n\
                prefix = \"192.168.4.0/24\"\n\
                next-hop = \"192.168.5.1\"",
            told: "34:10 two routes to 192.168.4.0/24 have the same next hop 192.168.5.1; 30:10 the \
                first is here; remove one of them",
        }],
    },
    Rule {
        says: "a host has an uplink of its own",
        breaches: &[Breach {
            old: "mac = \"02:00:00:00:00:21\"",
            new: "mac = \"02:00:00:00:00:0b\"",
            told: "47:18 two hosts have an uplink with the MAC address 02:00:00:00:00:0b; 36:18 the \
                first is here; give the MAC address of this host's own adapter",
        }],
    },
    Rule {
        says: "a host has one to four provider addresses",
        breaches: &[
            Breach {
                old: "addresses = [\"192.168.5.33\"]",
                new: "addresses = []",
                told: "48:13 `addresses` of this host is empty; add a provider address such as \
                \"192.168.4.11\"",
            },
            Breach {
                old: "\"192.168.5.33\"",
                new: "\"192.168.5.33\", \"192.168.5.34\", \"192.168.5.35\", \"192.168.5.36\", \
                \"192.168.5.37\"",
                told: "48:78 host \"host-3\" has 5 provider addresses; give it at most 4",
            },
        ],
    },
    Rule {
        says: "a provider address lies in a physical network and is not reserved there",
        breaches: &[
            Breach {
                old: "\"192.168.5.33\"",
                new: "\"192.168.6.33\"",
                told: "48:14 provider address 192.168.6.33 of host \"host-3\" lies in no physical \
                network; add a [[physical-network]] for it, or use an address in one of: \
                192.168.4.0/24, 2001:db8:4::/64, 192.168.5.0/24",
            },
            Breach {
                old: "\"192.168.5.33\"",
                new: "\"192.168.5.255\"",
                told: "48:14 192.168.5.255 is the broadcast address of physical network \"site-2\"; \
                27:10 the physical network; use another address of the prefix",
            },
            Breach {
                old: "\"2001:db8:4::22\"",
                new: "\"2001:db8:4::\"",
                told: "43:30 2001:db8:4:: is the anycast address of all routers of physical network \
                \"site-1-ipv6\"; 21:10 the physical network; use another address of the prefix",
            },
            Breach {
                old: "\"192.168.5.33\"",
                new: "\"192.168.5.0\"",
                told: "48:14 192.168.5.0 is the network's own address of physical network \"site-2\"; \
                27:10 the physical network; use another address of the prefix",
            },
        ],
    },
    Rule {
        says: "a provider address has one owner",
        breaches: &[
            Breach {
                old: "\"192.168.5.33\"",
                new: "\"192.168.5.33\", \"192.168.4.11\"",
                told: "48:30 provider address 192.168.4.11 is given twice; 37:14 the first is here; a \
                provider address has one owner: give another one here",
            },
            Breach {
                old: "\"192.168.4.207\"",
                new: "\"192.168.4.22\"",
                told: "117:23 provider address 192.168.4.22 is given twice; 43:14 the first is here; a \
                provider address has one owner: give another one here",
            },
            Breach {
                old: "\"192.168.4.207\"",
                new: "\"192.168.4.105\"",
                told: "117:23 provider address 192.168.4.105 is given twice; 107:23 the first is here; \
                a provider address has one owner: give another one here",
            },
            Breach {
                old: "addresses = [\"192.168.5.33\"]",
                new: "addresses = [\"192.168.5.33\", \"192.168.5.33\"]",
                told: "48:30 provider address 192.168.5.33 is given twice; 48:14 the first is here; a \
                provider address has one owner: give another one here",
            },
            Breach {
                old: "provider-addresses = [\"192.168.4.207\"]",
                new: "provider-addresses = [\"192.168.4.11\"]",
                told: "117:23 provider address 192.168.4.11 is given twice; 37:14 the first is here; a \
                provider address has one owner: give another one here",
            },
        ],
    },
    Rule {
        says: "a neighbour is another machine on a network of the host, given once",
        breaches: &[
            Breach {
                old: "{ address = \"192.168.4.22\"",
                new: "{ address = \"192.168.5.33\"",
                told: "38:27 the neighbour 192.168.5.33 is on no physical network of host \"host-1\"; a \
                neighbour is reached without a router: give an address in one of: \
                192.168.4.0/24, 2001:db8:4::/64",
            },
            Breach {
                old: "{ address = \"192.168.4.22\"",
                new: "{ address = \"192.168.4.11\"",
                told: "38:27 192.168.4.11 is host \"host-1\"'s own address; a neighbour is another \
                machine: remove the entry or correct it",
            },
            Breach {
                old: "mac = \"02:00:00:00:00:16\" }]",
                new: "mac = \"02:00:00:00:00:16\" }, { address = \"192.168.4.22\", mac = \
                \"02:00:00:00:00:17\" }]",
                told: "38:84 the neighbour 192.168.4.22 is given twice; 38:27 the first is here; remove \
                one of them",
            },
        ],
    },
];
