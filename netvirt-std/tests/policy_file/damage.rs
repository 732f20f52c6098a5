//! Whatever a file has become, it is read to the end, and what is said about it can be shown.

use netvirt_std::policy_file::{PolicyFile, allocate};
use proptest::prelude::*;

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

fn damaged() -> impl Strategy<Value = String> {
    let edit = (
        any::<prop::sample::Index>(),
        0..24usize,
        prop::sample::select(PASSAGES),
    );
    let edits = prop::collection::vec(edit, 1..4);
    (prop::sample::select(&[WHOLE, THREE_TENANTS][..]), edits).prop_map(|(text, edits)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (place, removed, passage) in edits {
            let start = place.index(letters.len());
            let end = letters.len().min(start + removed);
            letters.splice(start..end, passage.chars());
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn a_damaged_file_is_used_or_explained(text in damaged()) {
        match PolicyFile::parse(&text, "network.toml") {
            Ok(file) => {
                prop_assert!(!file.warnings().has_errors());
                for host in file.host_names() {
                    prop_assert!(!file.for_host(host).unwrap().encode().is_empty());
                }
            }
            Err(found) => {
                prop_assert!(found.has_errors());
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
