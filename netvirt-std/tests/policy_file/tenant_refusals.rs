//! What is refused about routing domains, subnets, virtual machines and peerings.

use crate::{Case, check_all};

const CASES: &[Case] = &[
    // routing domains and subnets
    Case {
        old: "name = \"orange\"",
        new: "name = \"blue\"",
        told: "73:8 the routing domain name \"blue\" is given twice; 51:8 the first is here; give each a \
         name of its own\n\
         128:6 there is no routing domain named \"orange\"; choose one of: blue, green",
    },
    Case {
        old: "-000000007001}",
        new: "-000000005001}",
        told: "66:6 two routing domains have the id {11111111-2222-3333-4444-000000005001}; 52:6 the \
         first is here; give each routing domain a GUID of its own",
    },
    Case {
        old: "{11111111-2222-3333-4444-000000007001}",
        new: "7001",
        told: "66:6 \"7001\" is no GUID: write it like \
         {11111111-2222-3333-4444-000000005001}",
    },
    Case {
        old: "{11111111-2222-3333-4444-000000005001}",
        new: "5001",
        told: "52:6 \"5001\" is no GUID: write it like \
         {11111111-2222-3333-4444-000000005001}",
    },
    Case {
        old: "vsid = 8001",
        new: "vsid = 4095",
        told: "75:8 VSID 4095 is outside 4096..=16777214: choose one inside, the others are reserved",
    },
    Case {
        old: "vsid = 8001",
        new: "vsid = 16777215",
        told: "75:8 VSID 16777215 is outside 4096..=16777214: choose one inside, the others are reserved",
    },
    Case {
        old: "vsid = 8001",
        new: "vsid = 5_000_000_000",
        told: "75:8 5000000000 is outside 4096..=16777214",
    },
    Case {
        old: "vsid = 5002",
        new: "vsid = 5001",
        told: "58:8 two subnets have VSID 5001; 55:8 the first is here; give each subnet of the file a \
         VSID of its own\n\
         95:10 no routing domain has a subnet with VSID 5002; did you mean `5001`?",
    },
    Case {
        old: "vsid = 7001",
        new: "vsid = 5001",
        told: "68:8 VSID 5001 is in two routing domains, \"blue\" and \"green\"; 55:8 the first is here; \
         give each subnet of the file a VSID of its own\n\
         103:10 no routing domain has a subnet with VSID 7001; did you mean `8001`?\n\
         112:10 no routing domain has a subnet with VSID 7001; did you mean `8001`?",
    },
    Case {
        old: "prefixes = [\"10.0.1.0/24\"]",
        new: "prefixes = [\"10.0.0.0/23\"]",
        told: "59:13 10.0.0.0/24 and 10.0.0.0/23 overlap within routing domain \"blue\"; 56:13 overlaps \
         this prefix of subnet 5001; give the subnets of one routing domain disjoint prefixes",
    },
    Case {
        old: "prefixes = [\"10.8.0.0/16\"]",
        new: "prefixes = [\"10.8.0.1/16\"]",
        told: "76:13 10.8.0.1/16 has bits behind its length: write 10.8.0.0/16",
    },
    Case {
        old: "prefixes = [\"10.8.0.0/16\"]",
        new: "prefixes = [\"10.8.0.0/33\"]",
        told: "76:13 /33 is longer than the address: at most /32 for IPv4, /128 for IPv6",
    },
    Case {
        old: "prefixes = [\"10.8.0.0/16\"]",
        new: "prefixes = [\"10.8.0.4/31\", \"10.8.0.0/30\"]",
        told: "76:13 10.8.0.4/31 has no room for a gateway and a machine: choose /30 or shorter",
    },
    Case {
        old: "prefixes = [\"10.8.0.0/16\"]",
        new: "prefixes = [\"10.8.0.0/16\", \"224.0.0.0/8\"]",
        told: "76:28 224.0.0.0/8 is multicast: choose a unicast prefix, such as 10.0.0.0/24 or \
         fd00:1::/64",
    },
    Case {
        old: "prefixes = [\"10.8.0.0/16\"]",
        new: "prefixes = [\"10.8.0.0/16\", \"::/0\"]",
        told: "76:28 ::/0 is the whole address space: choose a unicast prefix, such as 10.0.0.0/24 or \
         fd00:1::/64",
    },
    Case {
        old: "prefixes = [\"10.8.0.0/16\"]",
        new: "prefixes = []",
        told: "76:12 `prefixes` of this subnet is empty; add a prefix such as \"10.0.0.0/24\"",
    },
    Case {
        old: "method = \"rewrite\"",
        new: "method = \"nat\"",
        told: "70:10 \"nat\" means nothing here: choose \"encapsulate\" or \"rewrite\" or \"transition\"",
    },
    Case {
        old: "prefixes = [\"10.0.0.0/24\", \"fd00:7001::/64\"]\n",
        new: "",
        told: "67:1 this subnet lacks `prefixes`; add `prefixes = …`: a list, each element a \
         prefix such as \"10.0.0.0/24\"",
    },
    // customer routes
    Case {
        old: "prefix = \"0.0.0.0/0\"",
        new: "prefix = \"::/0\"",
        told: "62:12 the route to ::/0 has a next hop of the other IP version; 61:10 the destinations; \
         give a machine of the same IP version as the destinations",
    },
    Case {
        old: "prefix = \"0.0.0.0/0\"",
        new: "prefix = \"10.0.0.0/24\"",
        told: "61:10 10.0.0.0/24 is a subnet of this routing domain; 56:13 on-link already; remove the \
         route, or give destinations outside the routing domain",
    },
    Case {
        old: "next-hop = \"10.0.1.2\"",
        new: "next-hop = \"10.8.0.5\"",
        told: "62:12 the next hop 10.8.0.5 is in no subnet of routing domain \"blue\"; give the address \
         of a gateway machine of the same routing domain",
    },
    Case {
        old: "next-hop = \"10.0.1.2\"",
        new: "next-hop = \"10.0.1.1\"",
        told: "62:12 the next hop 10.0.1.1 is the distributed router itself; give the address of the \
         machine behind which the destinations lie",
    },
    // virtual machines
    Case {
        old: "name = \"blue-2\"",
        new: "name = \"blue-1\"",
        told: "87:8 the virtual machine name \"blue-1\" is given twice; 79:8 the first is here; give \
         each a name of its own",
    },
    Case {
        old: "name = \"blue-2\"",
        new: "name = \"uplink\"",
        told: "87:8 \"uplink\" names the host's uplink; give the virtual machine another name",
    },
    Case {
        old: "subnet = \"blue-web\"",
        new: "subnet = \"blue-wab\"",
        told: "80:10 there is no subnet named \"blue-wab\"; did you mean `blue-web`?",
    },
    Case {
        old: "subnet = 8001",
        new: "subnet = 8002",
        told: "121:10 no routing domain has a subnet with VSID 8002; did you mean `8001`?",
    },
    Case {
        old: "host = \"host-3\"",
        new: "host = \"hots-3\"",
        told: "122:8 there is no host named \"hots-3\"; did you mean `host-3`?",
    },
    Case {
        old: "mac = \"06:06:00:00:00:07\"",
        new: "mac = \"06:06:00:00:00:05\"",
        told: "90:7 two machines of VSID 5001 have MAC address 06:06:00:00:00:05; 82:7 the first is \
         here; give each machine of a subnet a MAC address of its own",
    },
    Case {
        old: "mac = \"06:06:00:00:00:07\"",
        new: "mac = \"02:15:5d:00:00:01\"",
        told: "90:7 02:15:5d:00:00:01 is the MAC address of the distributed router; give the machine \
         another one, or change `router-mac` in [settings]",
    },
    Case {
        old: "mac = \"06:06:00:00:00:07\"",
        new: "mac = \"06:06:00:00:07\"",
        told: "90:7 a MAC address is six octets in hexadecimal, such as 06:06:00:00:00:05",
    },
    Case {
        old: "addresses = [\"10.8.0.5\"]",
        new: "addresses = []",
        told: "124:13 virtual machine \"orange-1\" has no address; add `addresses = [\"…\"]` with its \
         customer addresses",
    },
    Case {
        old: "addresses = [\"10.8.0.5\"]",
        new: "addresses = [\"10.9.0.5\"]",
        told: "124:14 10.9.0.5 is in no prefix of subnet 8001; give an address in one of: 10.8.0.0/16",
    },
    Case {
        old: "addresses = [\"10.8.0.5\"]",
        new: "addresses = [\"10.8.0.1\"]",
        told: "124:14 10.8.0.1 is the gateway address of 10.8.0.0/16; 76:13 \
         the subnet's prefix; give the machine another address of the prefix",
    },
    Case {
        old: "addresses = [\"10.8.0.5\"]",
        new: "addresses = [\"10.8.0.0\"]",
        told: "124:14 10.8.0.0 is the network's own address of 10.8.0.0/16; 76:13 the subnet's prefix; \
         give the machine another address of the prefix",
    },
    Case {
        old: "addresses = [\"10.8.0.5\"]",
        new: "addresses = [\"10.8.255.255\"]",
        told: "124:14 10.8.255.255 is the broadcast address of 10.8.0.0/16; 76:13 the subnet's prefix; \
         give the machine another address of the prefix",
    },
    Case {
        old: "\"fd00:5001::5\"",
        new: "\"fd00:5001::\"",
        told: "83:26 fd00:5001:: is the anycast address of all routers of fd00:5001::/64; 56:28 the \
         subnet's prefix; give the machine another address of the prefix",
    },
    Case {
        old: "addresses = [\"10.8.0.5\"]",
        new: "addresses = [\"10.8.0\"]",
        told: "124:14 \"10.8.0\" is not an IP address: write it like 10.0.0.5 or 2001:db8::5",
    },
    Case {
        old: "addresses = [\"10.0.0.7\"]\n\n[[vm]]",
        new: "addresses = [\"10.0.0.5\"]\n\n[[vm]]",
        told: "91:14 10.0.0.5 is given twice in VSID 5001; 83:14 the first is here; a customer address \
         has one owner in its subnet: give another one here",
    },
    Case {
        old: "gateway = true",
        new: "provider-addresses = [\"192.168.4.106\"]\ngateway = true",
        told: "99:22 subnet 5002 uses NVGRE, where only hosts have provider addresses; remove \
         `provider-addresses`, or write `method = \"rewrite\"` in the subnet",
    },
    Case {
        old: "gateway = true",
        new: "use-vm-mac = true\ngateway = true",
        told: "99:14 subnet 5002 uses NVGRE, whose outer source is always the uplink; remove \
         `use-vm-mac`: it is a choice of rewrite subnets",
    },
    Case {
        old: "use-vm-mac = true",
        new: "gateway = true",
        told: "108:11 a gateway carries addresses that have no provider address of their own, so it \
         cannot be in a rewrite subnet; put it into a subnet of the same routing domain with \
         `method = \"encapsulate\"`",
    },
    Case {
        old: "migrating-from = \"host-3\"",
        new: "migrating-from = \"host-2\"",
        told: "114:18 the machine migrates from the host it runs on; 113:8 the host it runs on; let \
         `host` name the new host, or remove `migrating-from`",
    },
    Case {
        old: "migrating-from = \"host-3\"",
        new: "migrating-from = \"host-4\"",
        told: "114:18 there is no host named \"host-4\"; did you mean `host-3`?",
    },
    // addresses for rewrite
    Case {
        old: "provider-addresses = [\"192.168.4.207\"]\n",
        new: "",
        told: "116:14 10.0.0.7 of virtual machine \"green-2\" has no provider address, and its subnet \
         uses rewrite; run `netvirt allocate network.toml`",
    },
    Case {
        old: "\"192.168.4.105\", \"2001:db8:4::105\"",
        new: "\"192.168.4.105\"",
        told: "106:26 fd00:7001::5 of virtual machine \"green-1\" has no provider address, and its \
         subnet uses rewrite; run `netvirt allocate network.toml`",
    },
    Case {
        old: "\"192.168.4.105\", \"2001:db8:4::105\"",
        new: "\"2001:db8:4::105\", \"192.168.4.105\"",
        told: "107:23 2001:db8:4::105 cannot stand for 10.0.0.5: rewrite does not change the IP version; \
         106:14 the customer address; give one provider address for each of `addresses`, in the \
         same order\n\
         107:42 192.168.4.105 cannot stand for fd00:7001::5: rewrite does not change the IP \
         version; 106:26 the customer address; give one provider address for each of `addresses`, \
         in the same order",
    },
    Case {
        old: "\"192.168.4.207\"",
        new: "\"192.168.4.207\", \"192.168.4.208\"",
        told: "117:40 192.168.4.208 belongs to no address of the machine; give one provider address for \
         each of `addresses`, in the same order",
    },
    Case {
        old: "\"192.168.4.207\"",
        new: "\"192.168.5.207\"",
        told: "117:23 192.168.5.207 is on no physical network of host \"host-2\"; 113:8 the host; use an \
         address in one of: 192.168.4.0/24, 2001:db8:4::/64; or remove it and run `netvirt \
         allocate`",
    },
    Case {
        old: "\"192.168.4.207\"",
        new: "\"192.168.4.22\"",
        told: "117:23 provider address 192.168.4.22 is given twice; 43:14 the first is here; a provider \
         address has one owner: give another one here",
    },
    Case {
        old: "\"192.168.4.207\"",
        new: "\"192.168.4.105\"",
        told: "117:23 provider address 192.168.4.105 is given twice; 107:23 the first is here; a \
         provider address has one owner: give another one here",
    },
    Case {
        old: "\"192.168.4.207\"",
        new: "\"192.168.4.255\"",
        told: "117:23 192.168.4.255 is the broadcast address of physical network \"site-1\"; 11:10 the \
         physical network; use another address of the prefix",
    },
    Case {
        old: ", \"2001:db8:4::11\"]",
        new: "]",
        told: "106:26 fd00:7001::5 cannot be rewritten: host \"host-1\" is on no physical network of its \
         IP version; 104:8 the host; give the host an address of that version, or use NVGRE\n\
         107:40 2001:db8:4::105 is on no physical network of host \"host-1\"; 104:8 the host; use \
         an address in one of: 192.168.4.0/24; or remove it and run `netvirt allocate`",
    },
    Case {
        old: "method = \"rewrite\"",
        new: "method = \"encapsulate\"",
        told: "107:22 subnet 7001 uses NVGRE, where only hosts have provider addresses; remove \
         `provider-addresses`, or write `method = \"rewrite\"` in the subnet\n\
         108:14 subnet 7001 uses NVGRE, whose outer source is always the uplink; remove \
         `use-vm-mac`: it is a choice of rewrite subnets\n\
         117:22 subnet 7001 uses NVGRE, where only hosts have provider addresses; remove \
         `provider-addresses`, or write `method = \"rewrite\"` in the subnet",
    },
    Case {
        old: "vsid = 8001",
        new: "vsid = 8001\nmethod = \"transition\"",
        told: "125:14 10.8.0.5 of virtual machine \"orange-1\" has no provider address, and its subnet \
         is in transition; run `netvirt allocate network.toml`\n\
         137:14 10.8.0.6 of virtual machine \"orange-2\" has no provider address, and its subnet \
         is in transition; run `netvirt allocate network.toml`\n\
         147:14 10.8.0.7 of virtual machine \"orange-3\" has no provider address, and its subnet \
         is in transition; run `netvirt allocate network.toml`",
    },
    // peerings
    Case {
        old: "to = \"orange\"",
        new: "to = \"blue\"",
        told: "126:1 routing domain \"blue\" cannot be peered with itself; remove the rule: its subnets \
         reach each other anyway",
    },
    Case {
        old: "to = \"orange\"",
        new: "to = \"purple\"",
        told: "128:6 there is no routing domain named \"purple\"; choose one of: blue, green, orange",
    },
    Case {
        old: "to = \"orange\"",
        new: "to = \"green\"",
        told: "126:1 peering makes 10.0.0.0/24 ambiguous for routing domain \"blue\": it is in \"blue\" \
         and in \"green\"; 56:13 overlaps; 69:13 overlaps; peer only routing domains whose \
         prefixes are disjoint",
    },
    Case {
        old: "both-ways = true",
        new: "both-ways = true\n[[peering]]\nfrom = \"orange\"\nto = \"blue\"",
        told: "130:1 the peering from \"orange\" to \"blue\" is given twice; 126:1 the first is here; \
         remove one of them",
    },
    Case {
        old: "both-ways = true",
        new: "both-ways = true\n[[peering]]\nfrom = \"green\"\nto = \"orange\"",
        told: "130:1 peering makes 10.0.0.0/24 ambiguous for routing domain \"orange\": it is in \
         \"blue\" and in \"green\"; 56:13 overlaps; 69:13 overlaps; peer only routing domains \
         whose prefixes are disjoint",
    },
];

#[test]
fn each_breach_is_told_with_its_place_and_remedy() {
    check_all(CASES);
}
