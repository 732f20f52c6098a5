//! What the kernel makes of a router advertisement.

use std::fs;

use netvirt_core::PortId;
use netvirt_core::offload::Offload;
use netvirt_core::proxy::LONGEST_MESSAGE;
use netvirt_core::table::Seed;
use netvirt_core::wire::multicast_mac;
use netvirt_std::device::namespace::Namespace;
use netvirt_std::device::tap::{Tap, TapOptions};
use netvirt_std::live::PolicyWriter;
use netvirt_std::memory::HostCapacity;
use netvirt_std::policy_file::PolicyFile;

use crate::support::*;

const POLICY: &str = r#"
[[physical-network]]
name = "site"
prefix = "192.168.4.0/24"
mtu = 1480

[[host]]
name = "host"
uplink = { mac = "02:00:00:00:00:0b" }
addresses = ["192.168.4.11"]

[[routing-domain]]
name = "blue"
[[routing-domain.subnet]]
vsid = 5001
prefixes = ["fd00:1::/64"]

[[vm]]
name = "blue-1"
subnet = 5001
host = "host"
mac = "02:00:00:00:00:01"
addresses = ["fd00:1::5"]
"#;

/// What the switch says to the only machine of the policy.
fn advertisement() -> Vec<u8> {
    let file = PolicyFile::parse(POLICY, "policy.toml").unwrap();
    let changes = file.for_host("host").unwrap().changes;
    let mut writer = PolicyWriter::new(&HostCapacity::for_changes(&changes), Seed::new(1, 2));
    writer.prepare(&changes).unwrap();
    assert!(writer.commit());
    let message = writer.policies().read().router_advertisement(PortId(0));
    let message = message.unwrap();
    let mut frame = vec![0; LONGEST_MESSAGE];
    let length = message.emit(multicast_mac(message.destination), &mut frame);
    frame.truncate(length.unwrap());
    frame
}

fn read_inside(namespace: &Namespace, path: &str) -> String {
    let read = namespace.run_inside(|| fs::read_to_string(path));
    read.unwrap().unwrap()
}

#[test]
fn the_kernel_takes_route_prefix_and_mtu_and_makes_itself_no_address() {
    let Some(namespace) = namespace() else { return };
    let allow = || fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0");
    namespace.run_inside(allow).unwrap().unwrap();
    let options = TapOptions {
        name: "eth0",
        namespace: &namespace,
        mac: Some(KERNEL.mac),
        mtu: 1450,
        queues: 1,
    };
    let mut tap = Tap::open(&options).unwrap();
    let (_receiver, mut sender) = tap.queues.pop().unwrap();
    assert!(!send(&mut sender, &advertisement(), 0, Offload::NONE));

    let nowhere = "0".repeat(32);
    let router = "fe800000000000000000000000000001";
    let default_route = format!("{nowhere} 00 {nowhere} 00 {router} ");
    let on_link = format!("fd000001000000000000000000000000 40 {nowhere} 00 {nowhere} ");
    until(|| {
        let routes = read_inside(&namespace, "/proc/thread-self/net/ipv6_route");
        let has = |route: &str| routes.lines().any(|line| line.starts_with(route));
        has(&default_route) && has(&on_link)
    });
    let mtu = read_inside(&namespace, "/proc/sys/net/ipv6/conf/eth0/mtu");
    assert_eq!(mtu.trim(), "1438");
    let addresses = read_inside(&namespace, "/proc/thread-self/net/if_inet6");
    assert!(!addresses.contains("fd000001"), "{addresses}");
}
