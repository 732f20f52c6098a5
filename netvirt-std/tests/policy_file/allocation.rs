//! Provider addresses for rewrite, and what becomes of the file.

use netvirt_std::policy_file::{PolicyFile, allocate};

use crate::{THREE_TENANTS, WHOLE, edited, in_short};

/// The examples' three tenants before `netvirt allocate` ran.
fn unallocated() -> String {
    let given = ["192.168.4.100", "192.168.4.101", "192.168.4.102"];
    given
        .iter()
        .fold(THREE_TENANTS.to_owned(), |text, address| {
            edited(
                &text,
                &format!("provider-addresses = [\"{address}\"]\n"),
                "",
            )
        })
}

fn allocated(text: &str) -> String {
    allocate(text, "network.toml").unwrap().0
}

#[test]
fn the_example_was_made_by_it() {
    assert!(PolicyFile::parse(&unallocated(), "network.toml").is_err());
    let (text, assigned) = allocate(&unallocated(), "network.toml").unwrap();
    assert_eq!(text, THREE_TENANTS);
    let told: Vec<String> = assigned
        .iter()
        .map(|a| format!("{} {} {}", a.machine, a.address, a.provider_address))
        .collect();
    assert_eq!(
        told,
        [
            "green-1 10.0.0.5 192.168.4.100",
            "green-2 10.0.0.7 192.168.4.101",
            "green-3 10.0.0.6 192.168.4.102"
        ]
    );
}

#[test]
fn a_second_run_changes_nothing() {
    for text in [THREE_TENANTS, WHOLE] {
        assert_eq!(
            allocate(text, "network.toml").unwrap(),
            (text.into(), vec![])
        );
    }
}

#[test]
fn the_lowest_free_address_is_given_and_none_in_use() {
    let text = edited(
        &unallocated(),
        "\"192.168.4.11\"",
        "\"192.168.4.11\", \"192.168.4.100\"",
    );
    let text = edited(
        &text,
        "addresses = [\"10.0.0.7\"]\n",
        "addresses = [\"10.0.0.7\"]\nprovider-addresses = [\"192.168.4.101\"]\n",
    );
    // The passage was found first in a machine on NVGRE: move it to the last one.
    let text = edited(&text, "provider-addresses = [\"192.168.4.101\"]\n", "");
    let text = text + "provider-addresses = [\"192.168.4.101\"]\n";
    let (_, assigned) = allocate(&text, "network.toml").unwrap();
    let given: Vec<String> = assigned
        .iter()
        .map(|a| a.provider_address.to_string())
        .collect();
    assert_eq!(given, ["192.168.4.102", "192.168.4.103"]);
}

#[test]
fn comments_indentation_and_line_endings_stay() {
    let text = unallocated();
    let text = edited(
        &text,
        "subnet = \"green-web\"\n",
        "subnet = \"green-web\"   # rewrite\n\n",
    );
    let text = edited(
        &text,
        "mac = \"0a:0a:00:00:00:05\"\naddresses = [\"10.0.0.5\"]\n",
        "mac = \"0a:0a:00:00:00:05\"\n\taddresses = [ # one\n\t  \"10.0.0.5\",\n\t] # end\n# after\n",
    );
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let new = allocated(&text);
        let added = |line: &&str| line.contains("provider-addresses");
        let lines: Vec<&str> = new.split_inclusive('\n').filter(added).collect();
        let ending = if text.contains('\r') { "\r\n" } else { "\n" };
        assert_eq!(
            lines,
            [
                format!("\tprovider-addresses = [\"192.168.4.100\"]{ending}"),
                format!("provider-addresses = [\"192.168.4.101\"]{ending}"),
                format!("provider-addresses = [\"192.168.4.102\"]{ending}"),
            ]
        );
        let rest: String = new
            .split_inclusive('\n')
            .filter(|line| !added(line))
            .collect();
        assert_eq!(rest, text);
        assert!(new.contains(&format!("] # end{ending}\tprovider-addresses")));
        assert_eq!(allocated(&new), new);
    }
}

#[test]
fn a_file_without_a_last_newline_gets_a_line() {
    let text = unallocated();
    let new = allocated(text.trim_end());
    assert!(new.ends_with("addresses = [\"10.0.0.6\"]\nprovider-addresses = [\"192.168.4.102\"]"));
}

#[test]
fn a_machine_on_one_line_stays_on_it() {
    let text = unallocated();
    let text = &text[..text.find("[[vm]]\nname = \"blue-1\"").unwrap()];
    let domains = &THREE_TENANTS[THREE_TENANTS
        .find("[[routing-domain]]\nname = \"green\"")
        .unwrap()..];
    let domains = &domains[..domains.find("[[vm]]").unwrap()];
    let before = "vm = [\n  { name = \"g\", subnet = 7001, host = \"host-1\", mac = \"0a0a00000005\", \
                  addresses = [\"10.0.0.5\"] },  # g\n]\n";
    let after = before.replace(
        "[\"10.0.0.5\"]",
        "[\"10.0.0.5\"], provider-addresses = [\"192.168.4.100\"]",
    );
    let rest = format!("{text}{domains}");
    assert_eq!(
        allocated(&format!("{before}{rest}")),
        format!("{after}{rest}")
    );
}

#[test]
fn a_list_that_is_too_short_is_continued() {
    let text = edited(
        WHOLE,
        "[\"192.168.4.105\", \"2001:db8:4::105\"]",
        "[\n  \"192.168.4.105\", # the first\n]",
    );
    let expected = edited(
        &text,
        "\"192.168.4.105\"",
        "\"192.168.4.105\", \"2001:db8:4::100\"",
    );
    assert_eq!(allocated(&text), expected);

    let text = edited(WHOLE, "[\"192.168.4.207\"]", "[]");
    assert_eq!(allocated(&text), edited(&text, "[]", "[\"192.168.4.100\"]"));
}

#[test]
fn an_exhausted_pool_is_an_error_at_the_pool() {
    let text = edited(
        &unallocated(),
        "192.168.4.100-192.168.4.199",
        "192.168.4.100",
    );
    let found = allocate(&text, "network.toml").unwrap_err();
    assert_eq!(
        in_short(&found),
        "13:9 the pool of physical network \"site-1\" is exhausted; 132:14 needs a provider address; \
         add another range to `pool`"
    );
}

#[test]
fn a_physical_network_without_a_pool_is_an_error() {
    let pool = "pool = [\"192.168.4.100-192.168.4.199\"]";
    let found = allocate(&edited(&unallocated(), pool, ""), "network.toml").unwrap_err();
    assert_eq!(
        in_short(&found),
        "10:8 physical network \"site-1\" has no pool; 125:14 needs a provider address; add \
         `pool = [\"first-last\"]` with free addresses of 192.168.4.0/24"
    );
}

#[test]
fn a_file_with_errors_is_not_touched() {
    let text = edited(&unallocated(), "vsid = 6001", "vsid = 5001");
    let found = allocate(&text, "network.toml").unwrap_err();
    assert!(found.has_errors());
}
