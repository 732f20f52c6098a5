//! The virtual machines: addresses, how they are reached, how they hang on the switch.

use super::{Breach, Rule};

pub const RULES: &[Rule] = &[
    Rule {
        says: "the name of the uplink is taken",
        breaches: &[Breach {
            old: "name = \"blue-2\"",
            new: "name = \"uplink\"",
            told: "87:8 \"uplink\" names the host's uplink; give the virtual machine another name",
        }],
    },
    Rule {
        says: "a machine has a MAC address of its own in its subnet, and not the router's",
        breaches: &[
            Breach {
                old: "mac = \"06:06:00:00:00:07\"",
                new: "mac = \"06:06:00:00:00:05\"",
                told: "90:7 two machines of VSID 5001 have MAC address 06:06:00:00:00:05; 82:7 the \
                first is here; give each machine of a subnet a MAC address of its own",
            },
            Breach {
                old: "mac = \"06:06:00:00:00:07\"",
                new: "mac = \"02:15:5d:00:00:01\"",
                told: "90:7 02:15:5d:00:00:01 is the MAC address of the distributed router; give the \
                machine another one, or change `router-mac` in [settings]",
            },
        ],
    },
    Rule {
        says: "a machine has an address, or is a gateway",
        breaches: &[
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = []",
                told: "124:13 virtual machine \"orange-1\" has no address; add `addresses = [\"…\"]` \
                with its customer addresses",
            },
            Breach {
                old: "name = \"orange-1\"\n\
                subnet = 8001\n\
                host = \"host-3\"\n\
                mac = \"0c:0c:00:00:00:05\"\n\
                addresses = [\"10.8.0.5\"]\n\
                ",
                new: "name = \"orange-1\"\n\
                subnet = 8001\n\
                host = \"host-3\"\n\
                mac = \"0c:0c:00:00:00:05\"\n\
                ",
                told: "119:1 virtual machine \"orange-1\" has no address; add `addresses = [\"…\"]` \
                with its customer addresses",
            },
        ],
    },
    Rule {
        says: "a customer address lies in a prefix of its subnet",
        breaches: &[
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"10.9.0.5\"]",
                told: "124:14 10.9.0.5 is in no prefix of subnet 8001; give an address in one of: \
                10.8.0.0/16",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"fd00::5\"]",
                told: "124:14 fd00::5 is in no prefix of subnet 8001; give an address in one of: \
                10.8.0.0/16",
            },
        ],
    },
    Rule {
        says: "a customer address is not reserved in its subnet",
        breaches: &[
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"10.8.0.1\"]",
                told: "124:14 10.8.0.1 is the gateway address of 10.8.0.0/16; 76:13 the subnet's \
                prefix; give the machine another address of the prefix",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"10.8.0.0\"]",
                told: "124:14 10.8.0.0 is the network's own address of 10.8.0.0/16; 76:13 the subnet's \
                prefix; give the machine another address of the prefix",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"10.8.255.255\"]",
                told: "124:14 10.8.255.255 is the broadcast address of 10.8.0.0/16; 76:13 the subnet's \
                prefix; give the machine another address of the prefix",
            },
            Breach {
                old: "\"fd00:5001::5\"",
                new: "\"fd00:5001::\"",
                told: "83:26 fd00:5001:: is the anycast address of all routers of fd00:5001::/64; 56:28 \
                the subnet's prefix; give the machine another address of the prefix",
            },
            Breach {
                old: "\"fd00:5001::5\"",
                new: "\"fd00:5001::1\"",
                told: "83:26 fd00:5001::1 is the gateway address of fd00:5001::/64; 56:28 the subnet's \
                prefix; give the machine another address of the prefix",
            },
        ],
    },
    Rule {
        says: "a customer address has one owner in its subnet",
        breaches: &[
            Breach {
                old: "addresses = [\"10.0.0.7\"]\n\
                \n\
                [[vm]]",
                new: "addresses = [\"10.0.0.5\"]\n\
                \n\
                [[vm]]",
                told: "91:14 10.0.0.5 is given twice in VSID 5001; 83:14 the first is here; a customer \
                address has one owner in its subnet: give another one here",
            },
            Breach {
                old: "addresses = [\"10.8.0.5\"]",
                new: "addresses = [\"10.8.0.5\", \"10.8.0.5\"]",
                told: "124:26 10.8.0.5 is given twice in VSID 8001; 124:14 the first is here; a \
                customer address has one owner in its subnet: give another one here",
            },
        ],
    },
    Rule {
        says: "under NVGRE a machine has no provider addresses and no say in the outer source",
        breaches: &[
            Breach {
                old: "gateway = true",
                new: "provider-addresses = [\"192.168.4.106\"]\n\
                gateway = true",
                told: "99:22 subnet 5002 uses NVGRE, where only hosts have provider addresses; remove \
                `provider-addresses`, or write `method = \"rewrite\"` in the subnet",
            },
            Breach {
                old: "gateway = true",
                new: "use-vm-mac = true\n\
                gateway = true",
                told: "99:14 subnet 5002 uses NVGRE, whose outer source is always the uplink; remove \
                `use-vm-mac`: it is a choice of rewrite subnets",
            },
            Breach {
                old: "method = \"rewrite\"",
                new: "method = \"encapsulate\"",
                told: "107:22 subnet 7001 uses NVGRE, where only hosts have provider addresses; remove \
                `provider-addresses`, or write `method = \"rewrite\"` in the subnet\n\
                108:14 subnet 7001 uses NVGRE, whose outer source is always the uplink; remove \
                `use-vm-mac`: it is a choice of rewrite subnets\n\
                117:22 subnet 7001 uses NVGRE, where only hosts have provider addresses; remove \
                `provider-addresses`, or write `method = \"rewrite\"` in the subnet",
            },
        ],
    },
    Rule {
        says: "a gateway is reached by NVGRE",
        breaches: &[
            Breach {
                old: "use-vm-mac = true",
                new: "gateway = true",
                told: "108:11 a gateway carries addresses that have no provider address of their own, \
                so it is reached by NVGRE alone; put it into a subnet of the same routing domain \
                with `method = \"encapsulate\"`",
            },
            Breach {
                old: "prefixes = [\"10.0.1.0/24\"]",
                new: "prefixes = [\"10.0.1.0/24\"]\n\
                method = \"transition\"",
                told: "99:14 10.0.1.2 of virtual machine \"blue-gateway\" has no provider address, and \
                its subnet is in transition; run `netvirt allocate network.toml`\n\
                100:11 a gateway carries addresses that have no provider address of their own, \
                so it is reached by NVGRE alone; put it into a subnet of the same routing domain \
                with `method = \"encapsulate\"`",
            },
        ],
    },
    Rule {
        says: "under rewrite and in transition each customer address has a provider address",
        breaches: &[
            Breach {
                old: "provider-addresses = [\"192.168.4.207\"]\n\
                ",
                new: "",
                told: "116:14 10.0.0.7 of virtual machine \"green-2\" has no provider address, and its \
                subnet uses rewrite; run `netvirt allocate network.toml`",
            },
            Breach {
                old: "\"192.168.4.105\", \"2001:db8:4::105\"",
                new: "\"192.168.4.105\"",
                told: "106:26 fd00:7001::5 of virtual machine \"green-1\" has no provider address, and \
                its subnet uses rewrite; run `netvirt allocate network.toml`",
            },
            Breach {
                old: "vsid = 8001",
                new: "vsid = 8001\n\
                method = \"transition\"",
                told: "125:14 10.8.0.5 of virtual machine \"orange-1\" has no provider address, and its \
                subnet is in transition; run `netvirt allocate network.toml`\n\
                137:14 10.8.0.6 of virtual machine \"orange-2\" has no provider address, and its \
                subnet is in transition; run `netvirt allocate network.toml`\n\
                147:14 10.8.0.7 of virtual machine \"orange-3\" has no provider address, and its \
                subnet is in transition; run `netvirt allocate network.toml`",
            },
            Breach {
                old: "\"192.168.4.207\"",
                new: "\"192.168.4.207\", \"192.168.4.208\"",
                told: "117:40 192.168.4.208 belongs to no address of the machine; give one provider \
                address for each of `addresses`, in the same order",
            },
        ],
    },
    Rule {
        says: "a provider address is of the version of the customer address that it stands for",
        breaches: &[Breach {
            old: "\"192.168.4.105\", \"2001:db8:4::105\"",
            new: "\"2001:db8:4::105\", \"192.168.4.105\"",
            told: "107:23 2001:db8:4::105 cannot stand for 10.0.0.5: rewrite does not change the IP \
                version; 106:14 the customer address; give one provider address for each of \
                `addresses`, in the same order\n\
                107:42 192.168.4.105 cannot stand for fd00:7001::5: rewrite does not change the \
                IP version; 106:26 the customer address; give one provider address for each of \
                `addresses`, in the same order",
        }],
    },
    Rule {
        says: "a machine's provider addresses lie in physical networks of its host and are not reserved there",
        breaches: &[
            Breach {
                old: "\"192.168.4.207\"",
                new: "\"192.168.5.207\"",
                told: "117:23 192.168.5.207 is on no physical network of host \"host-2\"; 113:8 the \
                host; use an address in one of: 192.168.4.0/24, 2001:db8:4::/64; or remove it \
                and run `netvirt allocate`",
            },
            Breach {
                old: "\"192.168.4.207\"",
                new: "\"192.168.4.255\"",
                told: "117:23 192.168.4.255 is the broadcast address of physical network \"site-1\"; \
                11:10 the physical network; use another address of the prefix",
            },
            Breach {
                old: ", \"2001:db8:4::11\"]",
                new: "]",
                told: "106:26 fd00:7001::5 cannot be rewritten: host \"host-1\" is on no physical \
                network of its IP version; 104:8 the host; give the host an address of that \
                version, or use NVGRE\n\
                107:40 2001:db8:4::105 is on no physical network of host \"host-1\"; 104:8 the \
                host; use an address in one of: 192.168.4.0/24; or remove it and run `netvirt \
                allocate`",
            },
        ],
    },
    Rule {
        says: "a machine migrates from another host",
        breaches: &[Breach {
            old: "migrating-from = \"host-3\"",
            new: "migrating-from = \"host-2\"",
            told: "114:18 the machine migrates from the host it runs on; 113:8 the host it runs on; \
                let `host` name the new host, or remove `migrating-from`",
        }],
    },
    Rule {
        says: "an interface has a name that Linux takes",
        breaches: &[
            Breach {
                old: "interface = \"tap-blue-1\"",
                new: "interface = \"tap of the first blue\"",
                told: "84:13 \"tap of the first blue\" is no interface name: use 1 to 15 bytes without \
                spaces, `/`, `:` and `%`, and none of `.`, `..`, `all`, `default` and `lo`",
            },
            Breach {
                old: "interface = \"eth1\"",
                new: "interface = \"eth/1\"",
                told: "47:51 \"eth/1\" is no interface name: use 1 to 15 bytes without spaces, `/`, `:` \
                and `%`, and none of `.`, `..`, `all`, `default` and `lo`",
            },
            Breach {
                old: "interface = \"eth0\"",
                new: "interface = \"lo\"",
                told: "147:13 \"lo\" is no interface name: use 1 to 15 bytes without spaces, `/`, `:` \
                and `%`, and none of `.`, `..`, `all`, `default` and `lo`",
            },
            Breach {
                old: "interface = \"eth0\"",
                new: "interface = \"sixteen-bytes-is\"",
                told: "147:13 \"sixteen-bytes-is\" is no interface name: use 1 to 15 bytes without \
                spaces, `/`, `:` and `%`, and none of `.`, `..`, `all`, `default` and `lo`",
            },
            Breach {
                old: "interface = \"eth0\"",
                new: "interface = \"tap%d\"",
                told: "147:13 \"tap%d\" is no interface name: use 1 to 15 bytes without spaces, `/`, \
                `:` and `%`, and none of `.`, `..`, `all`, `default` and `lo`",
            },
        ],
    },
    Rule {
        says: "a namespace is a name or an absolute path",
        breaches: &[
            Breach {
                old: "namespace = \"orange-3\"",
                new: "namespace = \"netns/orange-3\"",
                told: "149:13 \"netns/orange-3\" is no network namespace: give a name as `ip netns` \
                shows it, or an absolute path",
            },
            Breach {
                old: "namespace = \"orange-3\"",
                new: "namespace = \"..\"",
                told: "149:13 \"..\" is no network namespace: give a name as `ip netns` shows it, or an \
                absolute path",
            },
            Breach {
                old: "namespace = \"orange-3\"",
                new: "namespace = \"\"",
                told: "149:13 \"\" is no network namespace: give a name as `ip netns` shows it, or an \
                absolute path",
            },
            Breach {
                old: "namespace = \"orange-3\"",
                new: "namespace = \"/run/netns/\"",
                told: "149:13 \"/run/netns/\" is no network namespace: give a name as `ip netns` shows \
                it, or an absolute path",
            },
        ],
    },
    Rule {
        says: "what exists already lies in the switch's namespace",
        breaches: &[Breach {
            old: "attach = \"tap\"",
            new: "attach = \"veth\"",
            told: "149:13 the host's end of a veth pair lies in the switch's own network namespace; \
                148:10 the interface is there already; remove `namespace`, or let the switch \
                make the interface: `attach = \"tap\"`",
        }],
    },
    Rule {
        says: "an interface has one user",
        breaches: &[
            Breach {
                old: "namespace = \"orange-3\"",
                new: "\n\
                [[vm]]\n\
                name = \"eth0\"\n\
                subnet = 8001\n\
                host = \"host-3\"\n\
                mac = \"0c:0c:00:00:00:08\"\n\
                addresses = [\"10.8.0.8\"]",
                told: "151:8 interface \"eth0\" of host \"host-3\" has two users; 147:13 the first is \
                here; give the machine an `interface` of its own, or another `namespace`",
            },
            Breach {
                old: "interface = \"veth-orange-2\"\n\
                attach = \"veth\"",
                new: "interface = \"eth0\"\n\
                namespace = \"/var/run/netns/orange-3\"",
                told: "147:13 interface \"eth0\" in network namespace /run/netns/orange-3 of host \
                \"host-3\" has two users; 137:13 the first is here; give the machine an \
                `interface` of its own, or another `namespace`",
            },
            Breach {
                old: "interface = \"veth-orange-2\"",
                new: "interface = \"eth1\"",
                told: "137:13 interface \"eth1\" of host \"host-3\" has two users; 47:51 the first is \
                here; give the machine an `interface` of its own, or another `namespace`",
            },
        ],
    },
    Rule {
        says: "the MTU of a machine fits through every physical network",
        breaches: &[
            Breach {
                old: "mtu = 1200",
                new: "mtu = 1539",
                told: "139:7 an MTU of 1539 does not fit: physical network \"site-1-ipv6\" carries 1538 \
                inside NVGRE; 22:7 the narrowest of all networks; write 1538 or less, or raise \
                the MTU of the physical network, on its links as well",
            },
            Breach {
                old: "use-vm-mac = true",
                new: "mtu = 1601",
                told: "108:7 an MTU of 1601 does not fit: physical network \"site-1\" carries 1600; \
                13:7 the narrowest of all networks; write 1600 or less, or raise the MTU of the \
                physical network, on its links as well",
            },
        ],
    },
    Rule {
        says: "the MTU of a machine is what its IP version asks for",
        breaches: &[
            Breach {
                old: "mtu = 1200",
                new: "mtu = 575",
                told: "139:7 an MTU of 575 is too small for IPv4; write 576 or more, or leave it out",
            },
            Breach {
                old: "use-vm-mac = true",
                new: "mtu = 1279",
                told: "108:7 an MTU of 1279 is too small for IPv6; write 1280 or more, or leave it out",
            },
        ],
    },
];
