//! The text that an operator reads.

use netvirt_std::policy_file::{Diagnostics, PolicyFile, Severity};

use crate::{TWO_HOSTS, WHOLE, edited};

fn refused(text: &str) -> Diagnostics {
    PolicyFile::parse(text, "network.toml").unwrap_err()
}

#[test]
fn an_unknown_key_is_shown_with_the_one_that_was_meant() {
    let found = refused(&edited(TWO_HOSTS, "prefixes", "prefixs"));
    assert_eq!(
        found.to_string(),
        r#"error: this subnet lacks `prefixes`
  --> network.toml:23:1
   |
23 | [[routing-domain.subnet]]
   | ^^^^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: add `prefixes = …`: a list, each element a prefix such as "10.0.0.0/24"

error: `prefixs` is not a key of this subnet
  --> network.toml:25:1
   |
25 | prefixs = ["10.0.0.0/24"]
   | ^^^^^^^
   |
   = help: did you mean `prefixes`?"#
    );
}

#[test]
fn a_clash_shows_both_places() {
    let old = "prefixes = [\"10.0.0.0/24\"]";
    let new = "prefixes = [\"10.0.0.0/25\"]\n[[routing-domain.subnet]]\nvsid = 5002\n\
               prefixes = [\"10.0.0.0/24\"]";
    let found = refused(&edited(TWO_HOSTS, old, new));
    assert_eq!(
        found.to_string(),
        r#"error: 10.0.0.0/25 and 10.0.0.0/24 overlap within routing domain "blue"
  --> network.toml:28:13
   |
25 | prefixes = ["10.0.0.0/25"]
   |             ------------- overlaps this prefix of subnet 5001
...
28 | prefixes = ["10.0.0.0/24"]
   |             ^^^^^^^^^^^^^
   |
   = help: give the subnets of one routing domain disjoint prefixes"#
    );
}

#[test]
fn a_value_that_the_core_refuses_is_refused_in_its_words() {
    let found = refused(&edited(
        TWO_HOSTS,
        "mac = \"08:08:00:00:00:07\"",
        "mac = \"ff:ff:ff:ff:ff:ff\"",
    ));
    assert_eq!(
        found.to_string(),
        r#"error: ff:ff:ff:ff:ff:ff is not the address of one station: use a unicast MAC address
  --> network.toml:60:7
   |
60 | mac = "ff:ff:ff:ff:ff:ff"
   |       ^^^^^^^^^^^^^^^^^^^"#
    );
}

#[test]
fn a_rewrite_address_without_provider_address_names_the_command() {
    let found = refused(&edited(
        WHOLE,
        "provider-addresses = [\"192.168.4.207\"]\n",
        "",
    ));
    assert_eq!(
        found.to_string(),
        r#"error: 10.0.0.7 of virtual machine "green-2" has no provider address, and its subnet uses rewrite
   --> network.toml:116:14
    |
116 | addresses = ["10.0.0.7"]
    |              ^^^^^^^^^^
    |
    = help: run `netvirt allocate network.toml`"#
    );
}

#[test]
fn all_errors_are_told_in_one_run_in_the_order_of_the_file() {
    let text = edited(TWO_HOSTS, "192.168.4.22", "192.168.5.22");
    let text = edited(&text, "vsid = 6001", "vsid = 99");
    let text = edited(&text, "10.0.0.5", "10.0.0.1");
    let text = edited(&text, "host = \"host-2\"", "host = \"host-3\"");
    let found = refused(&text);
    assert_eq!(
        found.to_string(),
        r#"error: provider address 192.168.5.22 of host "host-2" lies in no physical network
  --> network.toml:17:14
   |
17 | addresses = ["192.168.5.22"]
   |              ^^^^^^^^^^^^^^
   |
   = help: add a [[physical-network]] for it, or use an address in one of: 192.168.4.0/24

error: VSID 99 is outside 4096..=16777214: choose one inside, the others are reserved
  --> network.toml:32:8
   |
32 | vsid = 99
   |        ^^

error: 10.0.0.1 is the gateway address of 10.0.0.0/24
  --> network.toml:40:14
   |
25 | prefixes = ["10.0.0.0/24"]
   |             ------------- the subnet's prefix
...
40 | addresses = ["10.0.0.1"]
   |              ^^^^^^^^^^
   |
   = help: give the machine another address of the prefix

error: there is no host named "host-3"
  --> network.toml:45:8
   |
45 | host = "host-3"
   |        ^^^^^^^^
   |
   = help: did you mean `host-2`?"#
    );
}

#[test]
fn one_mistake_is_told_once() {
    let domain_and_machine = &TWO_HOSTS[TWO_HOSTS.find("[[routing-domain]]").unwrap()..];
    let found = refused(&format!("host = \"host-1\"\n{domain_and_machine}"));
    assert_eq!(
        found.to_string(),
        r#"error: expected a list of tables, each begun by [[host]], found a string
 --> network.toml:1:8
  |
1 | host = "host-1"
  |        ^^^^^^^^"#
    );
}

#[test]
fn what_is_not_toml_is_shown_too() {
    let found = refused(&edited(TWO_HOSTS, "name = \"site-1\"", "name = site-1"));
    assert_eq!(
        found.to_string(),
        r#"error: this is not TOML: string values must be quoted, expected literal string
 --> network.toml:5:8
  |
5 | name = site-1
  |        ^^^^^^"#
    );
}

#[test]
fn colour_is_given_only_when_asked_for() {
    let found = refused(&edited(TWO_HOSTS, "vsid = 6001", "vsid = 5001"));
    assert!(!found.render(false).contains('\u{1b}'));
    assert!(found.render(true).contains('\u{1b}'));
}

#[test]
fn columns_count_characters() {
    let text = edited(
        TWO_HOSTS,
        "uplink = { mac",
        "uplink = { \"ä\" = 1, mac = \"\", \"mäc\"",
    );
    let found = refused(&text);
    let places: Vec<_> = found
        .iter()
        .map(|one| found.position(&one.place().span))
        .collect();
    assert_eq!(places, [(11, 12), (11, 27), (11, 31)]);
    assert!(
        found
            .iter()
            .all(|found| found.severity() == Severity::Error)
    );
}

#[test]
fn lines_that_end_as_on_windows_are_shown_like_others() {
    let wrong = edited(
        TWO_HOSTS,
        "prefixes = [\"10.0.0.0/24\"]",
        "prefixes = [\"10.0.0.0/25\"]\n[[routing-domain.subnet]]\nvsid = 5002\nprefixes = [\"10.0.0.0/24\"]",
    );
    let as_on_windows = wrong.replace('\n', "\r\n");
    assert_eq!(
        refused(&as_on_windows).to_string(),
        refused(&wrong).to_string()
    );
    // The last line may lack its end, or have half of one.
    let cut = refused("colour = 1\r").to_string();
    assert!(!cut.contains(['\r', '␍']), "{cut}");
}

#[test]
fn errors_stand_last_and_very_many_are_counted() {
    let warned = edited(TWO_HOSTS, "mtu = 1600", "mtu = 1600\ncolour = 1");
    let found = refused(&(warned + &"\n[[vm]]".repeat(2000)));
    let text = found.to_string();
    assert_eq!(text.matches("error: ").count(), 100);
    assert!(
        text.ends_with("\n\nand 7901 more"),
        "{}",
        &text[text.len() - 40..]
    );
}
