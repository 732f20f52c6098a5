//! How the file is written: keys, types, names and values.

use super::{Breach, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "the file is TOML",
        breaches: &[
            Breach {
                old: "name = \"site-2\"",
                new: "name = site-2",
                told: "26:8 this is not TOML: string values must be quoted, expected literal string",
            },
            Breach {
                old: "vlan = 100",
                new: "vlan = 100\n\
                vlan = 101",
                told: "13:1 this is not TOML: duplicate key; write each key of a table once",
            },
        ],
    },
    Rule {
        says: "every key is one that netvirt knows",
        breaches: &[
            Breach {
                old: "flow-seed",
                new: "flow-sed",
                told: "4:1 `flow-sed` is not a key of this settings table; did you mean `flow-seed`?",
            },
            Breach {
                old: "[[peering]]",
                new: "[[pering]]",
                told: "126:3 `pering` is not a key of this policy file; did you mean `peering`?",
            },
            Breach {
                old: "uplink = { mac",
                new: "uplink = { speed = 10, mac",
                told: "36:12 `speed` is not a key of this uplink; choose one of: interface, mac, nic",
            },
            Breach {
                old: "uplink = { mac",
                new: "uplink = { nic = { mac = \"02:00:00:00:0f:01\", speed = 10 }, mac",
                told: "36:47 `speed` is not a key of this offload NIC; choose one of: mac, uncovered",
            },
            Breach {
                old: "mtu = 1600\n\
                pool",
                new: "mut = 1600\n\
                pool",
                told: "13:1 `mut` is not a key of this physical network; choose one of: mtu, name, \
                pool, prefix, route, vlan",
            },
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                next",
                new: "interface = 1\n\
                prefix = \"192.168.5.0/24\"\n\
                next",
                told: "16:1 `interface` is not a key of this route; choose one of: metric, next-hop, \
                prefix",
            },
            Breach {
                old: "neighbours = [{ address",
                new: "neighbours = [{ port = 1, address",
                told: "38:17 `port` is not a key of this neighbour; choose one of: address, mac",
            },
            Breach {
                old: "name = \"blue\"\n\
                id",
                new: "name = \"blue\"\n\
                guid",
                told: "52:1 `guid` is not a key of this routing domain; choose one of: id, name, route, \
                subnet",
            },
            Breach {
                old: "name = \"blue-web\"\n\
                vsid",
                new: "name = \"blue-web\"\n\
                vlan = 5\n\
                vsid",
                told: "55:1 `vlan` is not a key of this subnet; choose one of: method, multicast, name, prefixes, \
                vsid",
            },
            Breach {
                old: "name = \"blue-1\"\n\
                ",
                new: "name = \"blue-1\"\n\
                vlan = 5\n\
                ",
                told: "80:1 `vlan` is not a key of this virtual machine; choose one of: addresses, \
                attach, gateway, host, interface, mac, migrating-from, mtu, name, namespace, \
                provider-addresses, subnet, use-vm-mac",
            },
            Breach {
                old: "both-ways = true",
                new: "bothways = true",
                told: "129:1 `bothways` is not a key of this peering; did you mean `both-ways`?",
            },
        ],
    },
    Rule {
        says: "what is needed is there",
        breaches: &[
            Breach {
                old: "name = \"site-2\"\n\
                ",
                new: "",
                told: "25:1 this physical network lacks `name`; add `name = …`: a name in quotes",
            },
            Breach {
                old: "uplink = { mac = \"02:00:00:00:00:21\", interface = \"eth1\" }\n\
                ",
                new: "",
                told: "45:1 this host lacks `uplink`; add `uplink = …`: { mac = \"…\" }",
            },
            Breach {
                old: "addresses = [\"192.168.5.33\"]\n\
                ",
                new: "",
                told: "45:1 this host lacks `addresses`; add `addresses = …`: a list, each element a \
                provider address such as \"192.168.4.11\"",
            },
            Breach {
                old: "prefixes = [\"10.0.0.0/24\", \"fd00:7001::/64\"]\n\
                ",
                new: "",
                told: "67:1 this subnet lacks `prefixes`; add `prefixes = …`: a list, each element a \
                prefix such as \"10.0.0.0/24\"",
            },
            Breach {
                old: "uplink = { mac = \"02:00:00:00:00:16\" }",
                new: "uplink = { interface = \"eth1\" }",
                told: "42:10 this uplink lacks `mac`; add `mac = …`: a MAC address such as \
                \"06:06:00:00:00:05\"",
            },
            Breach {
                old: "uplink = { mac",
                new: "uplink = { nic = { uncovered = \"drop\" }, mac",
                told: "36:18 this offload NIC lacks `mac`; add `mac = …`: a MAC address such as \
                \"06:06:00:00:00:05\"",
            },
            Breach {
                old: "address = \"192.168.4.22\", ",
                new: "",
                told: "38:15 this neighbour lacks `address`; add `address = …`: a provider address such \
                as \"192.168.4.11\"",
            },
            Breach {
                old: "vsid = 8001\n\
                ",
                new: "",
                told: "74:1 this subnet lacks `vsid`; add `vsid = …`: a VSID, a number in \
                4096..=16777214",
            },
            Breach {
                old: "next-hop = \"10.0.1.2\"\n\
                ",
                new: "",
                told: "60:1 this route lacks `next-hop`; add `next-hop = …`: a customer address such as \
                \"10.0.0.5\"",
            },
            Breach {
                old: "name = \"orange-1\"\n\
                subnet = 8001\n\
                host = \"host-3\"\n\
                mac = \"0c:0c:00:00:00:05\"\n\
                ",
                new: "",
                told: "119:1 this virtual machine lacks `name`; add `name = …`: a name in quotes\n\
                119:1 this virtual machine lacks `subnet`; add `subnet = …`: the VSID or the \
                name of a subnet\n\
                119:1 this virtual machine lacks `host`; add `host = …`: a name in quotes\n\
                119:1 this virtual machine lacks `mac`; add `mac = …`: a MAC address such as \
                \"06:06:00:00:00:05\"",
            },
            Breach {
                old: "to = \"orange\"\n\
                ",
                new: "",
                told: "126:1 this peering lacks `to`; add `to = …`: a name in quotes",
            },
        ],
    },
    Rule {
        says: "a value is of the type of its key",
        breaches: &[
            Breach {
                old: "addresses = [\"192.168.5.33\"]",
                new: "addresses = \"192.168.5.33\"",
                told: "48:13 expected a list, each element a provider address such as \"192.168.4.11\", \
                found a string",
            },
            Breach {
                old: "both-ways = true",
                new: "both-ways = \"yes\"",
                told: "129:13 expected true or false, found a string",
            },
            Breach {
                old: "router-mac = \"02:15:5d:00:00:01\"",
                new: "router-mac = 2",
                told: "2:14 expected a MAC address such as \"06:06:00:00:00:05\", found an integer",
            },
            Breach {
                old: "vlan = 100",
                new: "vlan = \"100\"",
                told: "12:8 expected a VLAN id, a number in 1..=4094, found a string",
            },
            Breach {
                old: "vlan = 100",
                new: "vlan = 1.5",
                told: "12:8 expected a VLAN id, a number in 1..=4094, found a float",
            },
            Breach {
                old: "subnet = \"blue-web\"",
                new: "subnet = true",
                told: "80:10 expected the VSID or the name of a subnet, found a boolean",
            },
            Breach {
                old: "uplink = { mac = \"02:00:00:00:00:0b\" }",
                new: "uplink = \"eth1\"",
                told: "36:10 expected { mac = \"…\" }, found a string",
            },
            Breach {
                old: "uplink = { mac",
                new: "uplink = { nic = { mac = \"02:00:00:00:0f:01\", uncovered = \"punt\" }, mac",
                told: "36:59 \"punt\" means nothing here: choose \"to-host\" or \"drop\"",
            },
            Breach {
                old: "[settings]",
                new: "[[settings]]",
                told: "1:1 expected a table, begun by [settings], found an array",
            },
            Breach {
                old: "[[peering]]",
                new: "[peering]",
                told: "126:1 expected a list of tables, each begun by [[peering]], found a table",
            },
            Breach {
                old: "mtu = 1200",
                new: "mtu = 1979-05-27",
                told: "139:7 expected a number in 0..=65535, found a datetime",
            },
        ],
    },
    Rule {
        says: "a host's name can be that of its control socket",
        breaches: &[
            Breach {
                old: "name = \"host-3\"",
                new: "name = \"../host-3\"",
                told: "46:8 \"../host-3\" is no name of a host: its control socket is a file of this \
                name, so use no `/`, and no `.` at the beginning",
            },
            Breach {
                old: "name = \"host-3\"",
                new: "name = \".host-3\"",
                told: "46:8 \".host-3\" is no name of a host: its control socket is a file of this \
                name, so use no `/`, and no `.` at the beginning",
            },
        ],
    },
    Rule {
        says: "a name has at least one character, no `=`, no control character and no space at its ends",
        breaches: &[
            Breach {
                old: "name = \"host-3\"",
                new: "name = \"host=3\"",
                told: "46:8 \"host=3\" is no name: use one or more characters, none of them `=` or a \
                control character, no space at either end",
            },
            Breach {
                old: "name = \"host-3\"",
                new: "name = \"\"",
                told: "46:8 \"\" is no name: use one or more characters, none of them `=` or a control \
                character, no space at either end",
            },
            Breach {
                old: "name = \"host-3\"",
                new: "name = \" host-3\"",
                told: "46:8 \" host-3\" is no name: use one or more characters, none of them `=` or a \
                control character, no space at either end",
            },
            Breach {
                old: "name = \"host-3\"",
                new: "name = \"host\\u0007\"",
                told: "46:8 \"host\\u{7}\" is no name: use one or more characters, none of them `=` or \
                a control character, no space at either end",
            },
        ],
    },
    Rule {
        says: "a name is given once",
        breaches: &[
            Breach {
                old: "name = \"site-2\"",
                new: "name = \"site-1\"",
                told: "26:8 the physical network name \"site-1\" is given twice; 10:8 the first is \
                here; give each a name of its own",
            },
            Breach {
                old: "name = \"host-3\"",
                new: "name = \"host-1\"",
                told: "46:8 the host name \"host-1\" is given twice; 35:8 the first is here; give each \
                a name of its own\n\
                114:18 there is no host named \"host-3\"; did you mean `host-2`?\n\
                122:8 there is no host named \"host-3\"; did you mean `host-2`?\n\
                134:8 there is no host named \"host-3\"; did you mean `host-2`?\n\
                144:8 there is no host named \"host-3\"; did you mean `host-2`?",
            },
            Breach {
                old: "name = \"orange\"",
                new: "name = \"blue\"",
                told: "73:8 the routing domain name \"blue\" is given twice; 51:8 the first is here; \
                give each a name of its own\n\
                128:6 there is no routing domain named \"orange\"; choose one of: blue, cyan, green",
            },
            Breach {
                old: "name = \"blue-2\"",
                new: "name = \"blue-1\"",
                told: "87:8 the virtual machine name \"blue-1\" is given twice; 79:8 the first is here; \
                give each a name of its own",
            },
            Breach {
                old: "name = \"blue-web\"\n\
                ",
                new: "name = \"blue-web\"\n\
                vsid = 5003\n\
                prefixes = [\"10.0.3.0/24\"]\n\
                [[routing-domain.subnet]]\n\
                name = \"blue-web\"\n\
                ",
                told: "58:8 the subnet name \"blue-web\" is given twice; 54:8 the first is here; give \
                each a name of its own\n\
                87:14 10.0.0.5 is in no prefix of subnet 5003; give an address in one of: \
                10.0.3.0/24\n\
                87:26 fd00:5001::5 is in no prefix of subnet 5003; give an address in one of: \
                10.0.3.0/24",
            },
        ],
    },
    Rule {
        says: "a name that is referred to exists",
        breaches: &[
            Breach {
                old: "subnet = \"blue-web\"",
                new: "subnet = \"blue-wab\"",
                told: "80:10 there is no subnet named \"blue-wab\"; did you mean `blue-web`?",
            },
            Breach {
                old: "subnet = 8001",
                new: "subnet = 8002",
                told: "121:10 no routing domain has a subnet with VSID 8002; did you mean `8001`?",
            },
            Breach {
                old: "host = \"host-3\"",
                new: "host = \"hots-3\"",
                told: "122:8 there is no host named \"hots-3\"; did you mean `host-3`?",
            },
            Breach {
                old: "migrating-from = \"host-3\"",
                new: "migrating-from = \"host-4\"",
                told: "114:18 there is no host named \"host-4\"; did you mean `host-3`?",
            },
            Breach {
                old: "to = \"orange\"",
                new: "to = \"purple\"",
                told: "128:6 there is no routing domain named \"purple\"; choose one of: blue, cyan, green, \
                orange",
            },
            Breach {
                old: "from = \"blue\"",
                new: "from = \"bleu\"",
                told: "127:8 there is no routing domain named \"bleu\"; did you mean `blue`?",
            },
        ],
    },
    Rule {
        says: "a number lies in its range",
        breaches: &[
            Breach {
                old: "flow-id = \"per-flow\"",
                new: "flow-id = 256",
                told: "3:11 256 is outside 0..=255: choose one inside",
            },
            Breach {
                old: "flow-seed = 0x5eed",
                new: "flow-seed = -1",
                told: "4:13 -1 is outside 0..=18446744073709551615: choose one inside",
            },
            Breach {
                old: "dscp = 46",
                new: "dscp = 64",
                told: "6:8 64 is outside 0..=63: choose one inside",
            },
            Breach {
                old: "metric = 10",
                new: "metric = -1",
                told: "32:10 -1 is outside 0..=4294967295: choose one inside",
            },
            Breach {
                old: "metric = 10",
                new: "metric = 0x1_0000_0000",
                told: "32:10 4294967296 is outside 0..=4294967295: choose one inside",
            },
            Breach {
                old: "mtu = 1600\n\
                pool = [\"192",
                new: "mtu = 70000\n\
                pool = [\"192",
                told: "13:7 70000 is outside 0..=65535: choose one inside",
            },
            Breach {
                old: "flow-seed = 0x5eed",
                new: "flow-seed = 99999999999999999999999999999999999999999",
                told: "4:13 99999999999999999999999999999999999999999 is too large: choose a smaller \
                number",
            },
        ],
    },
    Rule {
        says: "a word is one of those that the key knows",
        breaches: &[
            Breach {
                old: "flow-id = \"per-flow\"",
                new: "flow-id = \"perflow\"",
                told: "3:11 \"perflow\" means nothing here: choose \"per-flow\"",
            },
            Breach {
                old: "\"tolerant\"",
                new: "\"lax\"",
                told: "7:13 \"lax\" means nothing here: choose \"strict\" or \"tolerant\"",
            },
            Breach {
                old: "method = \"rewrite\"",
                new: "method = \"nat\"",
                told: "70:10 \"nat\" means nothing here: choose \"encapsulate\" or \"rewrite\" or \
                \"transition\"",
            },
            Breach {
                old: "attach = \"veth\"",
                new: "attach = \"macvtap\"",
                told: "138:10 \"macvtap\" means nothing here: choose \"tap\" or \"veth\"",
            },
            Breach {
                old: "dscp = 46",
                new: "dscp = \"pipe\"",
                told: "6:8 \"pipe\" means nothing here: choose \"uniform\"",
            },
        ],
    },
    Rule {
        says: "a GUID has 32 hexadecimal digits",
        breaches: &[
            Breach {
                old: "{11111111-2222-3333-4444-000000007001}",
                new: "7001",
                told: "66:6 \"7001\" is no GUID: write it like {11111111-2222-3333-4444-000000005001}",
            },
            Breach {
                old: "{11111111-2222-3333-4444-000000005001}",
                new: "5001",
                told: "52:6 \"5001\" is no GUID: write it like {11111111-2222-3333-4444-000000005001}",
            },
        ],
    },
    Rule {
        says: "a MAC address is that of one station",
        breaches: &[
            Breach {
                old: "router-mac = \"02:15:5d:00:00:01\"",
                new: "router-mac = \"03:15:5d:00:00:01\"",
                told: "2:14 03:15:5d:00:00:01 is not the address of one station: use a unicast MAC \
                address",
            },
            Breach {
                old: "mac = \"06:06:00:00:00:07\"",
                new: "mac = \"06:06:00:00:07\"",
                told: "90:7 a MAC address is six octets in hexadecimal, such as 06:06:00:00:00:05",
            },
            Breach {
                old: "mac = \"06:06:00:00:00:07\"",
                new: "mac = \"ff:ff:ff:ff:ff:ff\"",
                told: "90:7 ff:ff:ff:ff:ff:ff is not the address of one station: use a unicast MAC \
                address",
            },
            Breach {
                old: "mac = \"06:06:00:00:00:07\"",
                new: "mac = \"00:00:00:00:00:00\"",
                told: "90:7 00:00:00:00:00:00 is not the address of one station: use a unicast MAC \
                address",
            },
            Breach {
                old: "mac = \"02:00:00:00:00:16\" }\n\
                add",
                new: "mac = \"01:00:5e:00:00:01\" }\n\
                add",
                told: "42:18 01:00:5e:00:00:01 is not the address of one station: use a unicast MAC \
                address",
            },
        ],
    },
    Rule {
        says: "an address is an IP address of one machine",
        breaches: &[
            Breach {
                old: "\"192.168.5.33\"",
                new: "\"127.0.0.1\"",
                told: "48:14 127.0.0.1 cannot belong to one machine: use a unicast address",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"10.8.0\"]",
                told: "124:14 \"10.8.0\" is not an IP address: write it like 10.0.0.5 or 2001:db8::5",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"0.0.0.0\"]",
                told: "124:14 0.0.0.0 names no machine: a gateway's wildcard record is `gateway = true` \
                in its [[vm]], on-link routes are the `prefixes` of a subnet",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"::\"]",
                told: "124:14 :: names no machine: a gateway's wildcard record is `gateway = true` in \
                its [[vm]], on-link routes are the `prefixes` of a subnet",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"255.255.255.255\"]",
                told: "124:14 255.255.255.255 cannot belong to one machine: use a unicast address",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"239.0.0.1\"]",
                told: "124:14 239.0.0.1 cannot belong to one machine: use a unicast address",
            },
            Breach {
                old: "\"192.168.5.33\"",
                new: "\"ff02::1\"",
                told: "48:14 ff02::1 cannot belong to one machine: use a unicast address",
            },
            Breach {
                old: "next-hop = \"192.168.4.1\"",
                new: "next-hop = \"0.0.0.0\"",
                told: "17:12 0.0.0.0 cannot belong to one machine: use a unicast address",
            },
        ],
    },
    Rule {
        says: "a prefix has a length and no bits behind it",
        breaches: &[
            Breach {
                old: "prefix = \"192.168.5.0/24\"\n\
                mtu",
                new: "prefix = \"192.168.5.1/24\"\n\
                mtu",
                told: "27:10 192.168.5.1/24 has bits behind its length: write 192.168.5.0/24",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.1/16\"]",
                told: "76:13 10.8.0.1/16 has bits behind its length: write 10.8.0.0/16",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.0/33\"]",
                told: "76:13 /33 is longer than the address: at most /32 for IPv4, /128 for IPv6",
            },
            Breach {
                old: "prefixes = [\"10.8.0.0/16\"]",
                new: "prefixes = [\"10.8.0.0\"]",
                told: "76:13 a prefix is written address/length, such as 10.0.0.0/24",
            },
        ],
    },
];
