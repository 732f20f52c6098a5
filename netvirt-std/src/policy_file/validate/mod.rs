//! Whether a whole policy file can work: every rule is checked, and every breach is noted.

mod attachment;
mod customer;
mod groups;
mod machine;
mod provider;

use std::collections::BTreeMap;
use std::net::IpAddr;

use netvirt_core::Prefix;

use super::diagnostic::{Diagnostic, Log, Span};
use super::model::Model;
use super::reader::Located;
use super::values::SubnetMethod;

/// Checks everything but whether all provider addresses for rewrite have been allocated.
pub(super) fn check(model: &Model, log: &Log) {
    provider::check(model, log);
    customer::check(model, log);
    groups::check(model, log);
    machine::check(model, log);
    attachment::check(model, log);
}

/// Checks that every address that can be rewritten has its provider address.
pub(super) fn check_allocated(model: &Model, file_name: &str, log: &Log) {
    for machine in &model.machines {
        let because = match model.subnet_of(machine).method {
            SubnetMethod::Encapsulate => continue,
            SubnetMethod::Rewrite => "uses rewrite",
            SubnetMethod::Transition => "is in transition",
        };
        if let Some(address) = machine.addresses().get(machine.provider_addresses().len()) {
            let message = format!(
                "{} of virtual machine {} has no provider address, and its subnet {because}",
                address.value, machine.name.value
            );
            log.note(
                Diagnostic::error(&address.span, message)
                    .remedy(format!("run `netvirt allocate {file_name}`")),
            );
        }
    }
}

/// Remembers where each value was first seen.
struct Unique<'m, K> {
    first: BTreeMap<K, &'m Span>,
}

impl<'m, K: Ord> Unique<'m, K> {
    fn new() -> Self {
        Self {
            first: BTreeMap::new(),
        }
    }

    /// The place of a value, if it was seen.
    fn place(&self, key: &K) -> Option<&'m Span> {
        self.first.get(key).copied()
    }

    /// The place of the earlier one, if this is not the first.
    fn see(&mut self, key: K, span: &'m Span) -> Option<&'m Span> {
        match self.first.get(&key) {
            Some(first) => Some(first),
            None => {
                self.first.insert(key, span);
                None
            }
        }
    }
}

/// The prefixes that lie in another, each with the widest of those.
fn overlaps<T: Copy>(mut prefixes: Vec<(&Located<Prefix>, T)>) -> Vec<Overlap<'_, T>> {
    // Two prefixes are disjoint or one lies in the other; sorted, the wider one comes first.
    prefixes.sort_by_key(|(prefix, _)| (prefix.value, prefix.span.start));
    let mut widest: Option<(&Located<Prefix>, T)> = None;
    let mut found = Vec::new();
    for (prefix, owner) in prefixes {
        match widest {
            Some(wide) if wide.0.value.contains(prefix.value.address()) => {
                let mut pair = [wide, (prefix, owner)];
                pair.sort_by_key(|(prefix, _)| prefix.span.start);
                let [first, second] = pair;
                found.push(Overlap { first, second });
            }
            _ => widest = Some((prefix, owner)),
        }
    }
    found
}

/// Two prefixes that share addresses, in the order of the file.
struct Overlap<'m, T> {
    first: (&'m Located<Prefix>, T),
    second: (&'m Located<Prefix>, T),
}

/// Why no machine may own `address` although it lies in `prefix`.
fn reserved(prefix: Prefix, address: IpAddr) -> Option<&'static str> {
    let roomy = match prefix.address() {
        IpAddr::V4(_) => prefix.length() <= 30,
        IpAddr::V6(_) => prefix.length() <= 126,
    };
    match address {
        _ if !roomy => None,
        IpAddr::V4(_) if address == prefix.address() => Some("the network's own address"),
        IpAddr::V4(_) if address == prefix.last() => Some("the broadcast address"),
        // RFC 4291 §2.6.1.
        IpAddr::V6(_) if address == prefix.address() => Some("the anycast address of all routers"),
        _ => None,
    }
}

fn list<T: std::fmt::Display>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    if items.is_empty() {
        "none".into()
    } else {
        items.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Located<Prefix>> {
        let located = |(position, text): (usize, &&str)| Located {
            value: text.parse().unwrap(),
            span: position..position + 1,
        };
        texts.iter().enumerate().map(located).collect()
    }

    #[test]
    fn a_prefix_overlaps_the_widest_that_holds_it() {
        let given = prefixes(&[
            "10.0.0.0/25",
            "10.0.1.0/24",
            "10.0.0.0/24",
            "fd00::/64",
            "10.0.0.128/26",
            "10.0.2.0/24",
            "10.0.2.0/24",
        ]);
        let found: Vec<(usize, usize)> =
            overlaps(given.iter().map(|prefix| (prefix, ())).collect())
                .iter()
                .map(|overlap| (overlap.first.0.span.start, overlap.second.0.span.start))
                .collect();
        assert_eq!(found, [(0, 2), (2, 4), (5, 6)]);
    }

    #[test]
    fn the_ends_of_a_prefix_are_reserved_where_it_has_room() {
        let role = |prefix: &str, address: &str| {
            reserved(prefix.parse().unwrap(), address.parse().unwrap()).is_some()
        };
        assert!(role("10.0.0.0/24", "10.0.0.0"));
        assert!(role("10.0.0.0/24", "10.0.0.255"));
        assert!(!role("10.0.0.0/24", "10.0.0.254"));
        assert!(!role("10.0.0.0/31", "10.0.0.0"));
        assert!(role("fd00::/64", "fd00::"));
        assert!(!role("fd00::/64", "fd00::ffff:ffff:ffff:ffff"));
    }
}
