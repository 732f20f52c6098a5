//! Whatever a file has become, it is read to the end, and what is said about it can be shown.

use netvirt_core::policy::Transaction;
use netvirt_core::table::Seed;
use netvirt_std::memory::HostCapacity;
use netvirt_std::policy_file::{PolicyFile, allocate};
use proptest::prelude::*;

use crate::network::any_plan;
use crate::{THREE_TENANTS, WHOLE};

/// Passages that mean something somewhere in a policy file.
const PASSAGES: &[&str] = &[
    "",
    "\"",
    "[",
    "]]",
    "{",
    "}",
    "=",
    "\n",
    "\r\n",
    "ä",
    "0",
    "5001",
    "-1",
    "\"10.0.0.0/24\"",
    "\"::/0\"",
    "\"192.168.4.11\"",
    "[[vm]]\n",
    "[[host]]\n",
    "[[routing-domain.subnet]]\n",
    "\"rewrite\"",
    "\"host-1\"",
    "\"fd00:5001::5\"",
    "provider-addresses = []\n",
    "gateway = true\n",
];

/// Replaces letters of the text.
fn cut(text: &str, edits: &[(prop::sample::Index, usize, &str)]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for (place, removed, passage) in edits {
        let start = place.index(letters.len());
        let end = letters.len().min(start + removed);
        letters.splice(start..end, passage.chars());
    }
    letters.into_iter().collect()
}

/// Lets quoted values change places.
fn exchanged(text: &str, pairs: &[[prop::sample::Index; 2]]) -> String {
    let mut parts: Vec<&str> = text.split('"').collect();
    for pair in pairs {
        // Every other part is a value.
        let [first, second] = pair
            .each_ref()
            .map(|place| 2 * place.index(parts.len() / 2) + 1);
        parts.swap(first, second);
    }
    parts.join("\"")
}

fn damaged() -> impl Strategy<Value = String> {
    let good = prop_oneof![
        prop::sample::select(&[WHOLE, THREE_TENANTS][..]).prop_map(str::to_owned),
        any_plan().prop_map(|plan| plan.render()),
    ];
    let edit = (
        any::<prop::sample::Index>(),
        0..24usize,
        prop::sample::select(PASSAGES),
    );
    let edits = prop::collection::vec(edit, 1..4);
    let pairs = prop::collection::vec(any::<[prop::sample::Index; 2]>(), 1..4);
    prop_oneof![
        (good.clone(), edits).prop_map(|(text, edits)| cut(&text, &edits)),
        (good, pairs).prop_map(|(text, pairs)| exchanged(&text, &pairs)),
    ]
}

proptest! {
    #[test]
    fn a_damaged_file_is_used_or_explained(text in damaged()) {
        match PolicyFile::parse(&text, "network.toml") {
            Ok(file) => {
                prop_assert!(!file.warnings().has_errors());
                for host in file.host_names() {
                    let host = file.for_host(host).unwrap();
                    let mut policies = HostCapacity::for_changes(&host.changes).policies(Seed::new(1, 2));
                    // What the file's rules let pass, the core takes.
                    prop_assert_eq!(policies.apply(Transaction::new(&host.encode())), Ok(()));
                }
            }
            Err(found) => {
                prop_assert!(found.has_errors());
                for one in found.iter() {
                    let says_what_to_do = one.remedy_text().is_some()
                        || [": ", "such as "].iter().any(|words| one.message().contains(words))
                        || one.message().starts_with("expected ");
                    prop_assert!(says_what_to_do, "{}", one.message());
                }
                prop_assert!(found.to_string().contains("network.toml:"));
            }
        }
    }

    #[test]
    fn what_allocate_writes_is_good_and_final(text in damaged()) {
        if let Ok((new, assigned)) = allocate(&text, "network.toml") {
            prop_assert_eq!(new == text, assigned.is_empty());
            prop_assert!(PolicyFile::parse(&new, "network.toml").is_ok());
            prop_assert_eq!(allocate(&new, "network.toml").unwrap(), (new, vec![]));
        }
    }
}
