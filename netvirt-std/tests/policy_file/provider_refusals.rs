//! What is refused about settings, keys, physical networks and hosts.

use crate::{Case, check_all};

const CASES: &[Case] = &[
    // settings
    Case {
        old: "router-mac = \"02:15:5d:00:00:01\"",
        new: "router-mac = \"03:15:5d:00:00:01\"",
        told: "2:14 03:15:5d:00:00:01 is not the address of one station: use a unicast MAC address",
    },
    Case {
        old: "flow-id = \"per-flow\"",
        new: "flow-id = \"perflow\"",
        told: "3:11 \"perflow\" means nothing here: choose \"per-flow\"",
    },
    Case {
        old: "flow-id = \"per-flow\"",
        new: "flow-id = 256",
        told: "3:11 256 is outside 0..=255",
    },
    Case {
        old: "flow-seed = 0x5eed",
        new: "flow-seed = -1",
        told: "4:13 -1 is outside 0..=18446744073709551615",
    },
    Case {
        old: "outer-ttl = 64",
        new: "outer-ttl = 0",
        told: "5:13 a packet with TTL 0 never leaves its host; write 1 to 255; 64 is usual",
    },
    Case {
        old: "dscp = 46",
        new: "dscp = 64",
        told: "6:8 64 is outside 0..=63",
    },
    Case {
        old: "\"tolerant\"",
        new: "\"lax\"",
        told: "7:13 \"lax\" means nothing here: choose \"strict\" or \"tolerant\"",
    },
    // keys and types
    Case {
        old: "flow-seed",
        new: "flow-sed",
        told: "4:1 `flow-sed` is not a key of this settings table; did you mean `flow-seed`?",
    },
    Case {
        old: "[[peering]]",
        new: "[[pering]]",
        told: "126:3 `pering` is not a key of this policy file; did you mean `peering`?",
    },
    Case {
        old: "uplink = { mac",
        new: "uplink = { speed = 10, mac",
        told: "36:12 `speed` is not a key of this uplink; choose one of: interface, mac",
    },
    Case {
        old: "name = \"site-2\"\n",
        new: "",
        told: "25:1 this physical network lacks `name`; add `name = …`: a name in quotes",
    },
    Case {
        old: "uplink = { mac = \"02:00:00:00:00:21\", interface = \"eth1\" }\n",
        new: "",
        told: "45:1 this host lacks `uplink`; add `uplink = …`: { mac = \"…\" }",
    },
    Case {
        old: "addresses = [\"192.168.5.33\"]\n",
        new: "",
        told: "45:1 this host lacks `addresses`; add `addresses = …`: a list, each element a provider \
         address such as \"192.168.4.11\"",
    },
    Case {
        old: "addresses = [\"192.168.5.33\"]",
        new: "addresses = \"192.168.5.33\"",
        told: "48:13 expected a list, each element a provider address such as \"192.168.4.11\", found a \
         string",
    },
    Case {
        old: "name = \"host-3\"",
        new: "name = \"host=3\"",
        told: "46:8 \"host=3\" is no name: use one or more characters, none of them `=` or a control \
         character, no space at either end",
    },
    Case {
        old: "interface = \"tap-blue-1\"",
        new: "interface = \"tap of the first blue\"",
        told: "84:13 \"tap of the first blue\" is no interface name: use 1 to 15 bytes without spaces, \
         `/`, `:` and `%`, and none of `.`, `..`, `all`, `default` and `lo`",
    },
    Case {
        old: "both-ways = true",
        new: "both-ways = \"yes\"",
        told: "129:13 expected true or false, found a string",
    },
    // physical networks
    Case {
        old: "name = \"site-2\"",
        new: "name = \"site-1\"",
        told: "26:8 the physical network name \"site-1\" is given twice; 10:8 the first is here; give \
         each a name of its own",
    },
    Case {
        old: "prefix = \"192.168.5.0/24\"\nmtu",
        new: "prefix = \"192.168.0.0/16\"\nmtu",
        told: "27:10 the physical networks \"site-1\" and \"site-2\" overlap; 11:10 overlaps this; give \
         each physical network a prefix of its own",
    },
    Case {
        old: "prefix = \"192.168.5.0/24\"\nmtu",
        new: "prefix = \"192.168.5.1/24\"\nmtu",
        told: "27:10 192.168.5.1/24 has bits behind its length: write 192.168.5.0/24",
    },
    Case {
        old: "prefix = \"2001:db8:4::/64\"",
        new: "prefix = \"ff02::/64\"",
        told: "21:10 ff02::/64 is multicast: choose a unicast prefix, such as 10.0.0.0/24 or fd00:1::/64",
    },
    Case {
        old: "vlan = 100",
        new: "vlan = 4095",
        told: "12:8 VLAN id 4095 is outside 1..=4094",
    },
    Case {
        old: "mtu = 1600\npool = [\"192",
        new: "mtu = 500\npool = [\"192",
        told: "13:7 an MTU of 500 is too small for IPv4; write 576 or more; 1500 is usual, 1600 leaves \
         room for NVGRE\n\
         13:7 the MTU of physical network \"site-1\" is 500: too small for the IPv6 subnet \
         fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to 1322 or more, on \
         its links as well\n\
         139:7 an MTU of 1200 does not fit: physical network \"site-1\" carries 458 inside NVGRE; \
         13:7 the narrowest of all networks; write 458 or less, or raise the MTU of the physical \
         network, on its links as well",
    },
    Case {
        old: "mtu = 1600\npool = [\"192",
        new: "mtu = 1321\npool = [\"192",
        told: "13:7 the MTU of physical network \"site-1\" is 1321: too small for the IPv6 subnet \
         fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to 1322 or more, on \
         its links as well",
    },
    Case {
        old: "mtu = 1600\npool = [\"2001",
        new: "mtu = 1341\npool = [\"2001",
        told: "22:7 the MTU of physical network \"site-1-ipv6\" is 1341: too small for the IPv6 subnet \
         fd00:5001::/64; 56:28 needs 1280 bytes inside the tunnel; raise it to 1342 or more, on \
         its links as well",
    },
    Case {
        old: "192.168.4.199\"]",
        new: "192.168.5.199\"]",
        told: "14:9 the pool of \"site-1\": 192.168.5.199 lies outside the physical network; 11:10 the \
         physical network; let both ends of the range be addresses that a machine can own",
    },
    Case {
        old: "192.168.4.199\"]",
        new: "192.168.4.255\"]",
        told: "14:9 the pool of \"site-1\": 192.168.4.255 is the broadcast address; 11:10 the physical \
         network; let both ends of the range be addresses that a machine can own",
    },
    Case {
        old: "192.168.4.199\"]",
        new: "192.168.4.99\"]",
        told: "14:9 192.168.4.100-192.168.4.99 is no range: write the lower address first, both of one \
         family",
    },
    Case {
        old: "next-hop = \"192.168.4.1\"",
        new: "next-hop = \"192.168.5.1\"",
        told: "17:12 the next hop 192.168.5.1 is not on the physical network \"site-1\"; 11:10 the \
         physical network; give a router with an address in that prefix",
    },
    Case {
        old: "next-hop = \"192.168.4.1\"",
        new: "next-hop = \"2001:db8:4::1\"",
        told: "17:12 the route to 192.168.5.0/24 has a next hop of the other IP version; 16:10 the \
         destinations; give a router of the same IP version as the destinations",
    },
    Case {
        old: "prefix = \"192.168.5.0/24\"\nnext",
        new: "prefix = \"192.168.4.0/24\"\nnext",
        told: "16:10 192.168.4.0/24 is the physical network itself and needs no route; 11:10 on-link \
         already; remove the route\n\
         48:14 host \"host-1\" has no way to host \"host-3\": the records of its machines stay \
         Unusable there; 35:8 the host that has to send; add a [[physical-network.route]] that \
         leads to this address",
    },
    // hosts
    Case {
        old: "name = \"host-3\"",
        new: "name = \"host-1\"",
        told: "46:8 the host name \"host-1\" is given twice; 35:8 the first is here; give each a name of \
         its own\n\
         114:18 there is no host named \"host-3\"; did you mean `host-2`?\n\
         122:8 there is no host named \"host-3\"; did you mean `host-2`?\n\
         134:8 there is no host named \"host-3\"; did you mean `host-2`?\n\
         144:8 there is no host named \"host-3\"; did you mean `host-2`?",
    },
    Case {
        old: "mac = \"02:00:00:00:00:21\"",
        new: "mac = \"02:00:00:00:00:0b\"",
        told: "47:18 two hosts have an uplink with the MAC address 02:00:00:00:00:0b; 36:18 the first is \
         here; give the MAC address of this host's own adapter",
    },
    Case {
        old: "addresses = [\"192.168.5.33\"]",
        new: "addresses = []",
        told: "48:13 `addresses` of this host is empty; add a provider address such as \"192.168.4.11\"",
    },
    Case {
        old: "\"192.168.5.33\"",
        new: "\"192.168.6.33\"",
        told: "48:14 provider address 192.168.6.33 of host \"host-3\" lies in no physical network; add a \
         [[physical-network]] for it, or use an address in one of: 192.168.4.0/24, \
         2001:db8:4::/64, 192.168.5.0/24",
    },
    Case {
        old: "\"192.168.5.33\"",
        new: "\"192.168.5.255\"",
        told: "48:14 192.168.5.255 is the broadcast address of physical network \"site-2\"; 27:10 the \
         physical network; use another address of the prefix",
    },
    Case {
        old: "\"192.168.5.33\"",
        new: "\"192.168.5.33\", \"192.168.4.11\"",
        told: "48:30 provider address 192.168.4.11 is given twice; 37:14 the first is here; a provider \
         address has one owner: give another one here",
    },
    Case {
        old: "\"192.168.5.33\"",
        new: "\"127.0.0.1\"",
        told: "48:14 127.0.0.1 cannot belong to one machine: use a unicast address",
    },
    Case {
        old: "{ address = \"192.168.4.22\"",
        new: "{ address = \"192.168.5.33\"",
        told: "38:27 the neighbour 192.168.5.33 is on no physical network of host \"host-1\"; a \
         neighbour is reached without a router: give an address in one of: 192.168.4.0/24, \
         2001:db8:4::/64",
    },
    Case {
        old: "{ address = \"192.168.4.22\"",
        new: "{ address = \"192.168.4.11\"",
        told: "38:27 192.168.4.11 is host \"host-1\"'s own address; a neighbour is another machine: \
         remove the entry or correct it",
    },
];

#[test]
fn each_breach_is_told_with_its_place_and_remedy() {
    check_all(CASES);
}
