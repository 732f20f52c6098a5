//! Devices: opened, given to other machines, gone and found again.

use std::thread::{self};
use std::time::Duration;

use crate::support::TWO_HOSTS;
use netvirt_std::host::Host;

use crate::running::*;

#[test]
fn a_version_whose_device_cannot_be_opened_changes_nothing() {
    let [one, mut two] = both_hosts();
    let version = two.handle.ask(|host| host.version()).unwrap();
    let refused = two.apply(&blue_1_moves("")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "machine \"blue-1\": no device named blue-1"
    );
    assert_eq!(two.handle.ask(|host| host.version()).unwrap(), version);
    let mut one = one;
    one.machine("blue-1").send(&blue_1_to_2());
    assert_eq!(two.machine("blue-2").receive(), blue_1_to_2());
}

#[test]
fn what_a_machine_sent_before_it_went_is_carried_and_its_device_removed() {
    let (mut host, mut uplink) = host_1();
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    uplink.receive();
    for _ in 0..100 {
        host.machine("blue-1").send(&blue_1_to_2());
    }
    host.apply(&without_blue_1()).unwrap();
    for _ in 0..100 {
        uplink.receive();
    }
    assert_eq!(host.drawer.asked(), ["remove blue-1"]);
}

#[test]
fn a_machine_gets_its_new_address_and_mtu_when_they_are_in_force_and_not_before() {
    let (host, _uplink) = host_1();
    let changed = file(&with(BLUE_1, "06:06:00:00:00:55").replace("mtu = 1600", "mtu = 1500"));
    for _ in 0..2 {
        let changed = changed.clone();
        host.handle
            .ask(move |host| host.prepare(&changed).map(|_| host.abort()))
            .unwrap()
            .unwrap();
        assert_eq!(host.drawer.asked(), [""; 0]);
    }
    host.handle
        .ask(move |host| host.apply(&changed))
        .unwrap()
        .unwrap();
    assert_eq!(
        host.drawer.asked(),
        [
            "fit blue-1 to 06:06:00:00:00:55, 1458",
            "fit red-1 to 08:08:00:00:00:05, 1458"
        ]
    );
}

#[test]
fn an_interface_that_another_machine_gets_is_not_removed() {
    let (mut host, mut uplink) = host_1();
    host.plug("blue-9");
    let renamed = with(
        "name = \"blue-1\"",
        "name = \"blue-9\"\ninterface = \"blue-1\"",
    );
    host.apply(&renamed).unwrap();
    assert_eq!(
        host.drawer.asked(),
        ["fit blue-9 to 06:06:00:00:00:05, 1500"]
    );
    host.machine("blue-9").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn machines_are_served_while_another_address_is_probed() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host = Running::start(&policy, "host-1", near, Duration::from_millis(3));
    host.wait_until_ready();
    let another = with("[\"192.168.4.11\"]", "[\"192.168.4.11\", \"192.168.4.99\"]");
    let renamed = "name = \"blue-9\"\ninterface = \"blue-1\"";
    host.plug("blue-9");
    host.apply(&another.replacen("name = \"blue-1\"", renamed, 1))
        .unwrap();
    assert!(host.handle.ask(|host| host.is_ready()).unwrap());
    host.machine("blue-9").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn a_device_that_goes_away_is_found_again() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&without_blue_1(), "host-1", near, Duration::ZERO);
    host.plug_fickle("blue-1", Mood::Brittle);
    host.apply(&std::fs::read_to_string(TWO_HOSTS).unwrap())
        .unwrap();
    let is_attached = |host: &mut Host| {
        let mut ports = host.policy().ports.iter();
        let blue_1 = ports.find(|port| port.name == "blue-1").unwrap();
        host.is_attached(blue_1.port)
    };
    assert!(host.handle.ask(is_attached).unwrap());
    host.machine("blue-1").send(&[0]);
    while host.handle.ask(is_attached).unwrap() {
        thread::yield_now();
    }
    host.plug("blue-1");
    while !host.handle.ask(is_attached).unwrap() {
        thread::yield_now();
    }
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn a_machine_that_never_stops_sending_can_be_removed() {
    let [near, _uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&without_blue_1(), "host-1", near, Duration::ZERO);
    host.plug_fickle("blue-1", Mood::Endless);
    host.apply(&std::fs::read_to_string(TWO_HOSTS).unwrap())
        .unwrap();
    host.drawer.asked();
    host.machine("blue-1").send(&blue_1_to_2());
    host.apply(&without_blue_1()).unwrap();
    assert_eq!(host.drawer.asked(), ["remove blue-1"]);
}
