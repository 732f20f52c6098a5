//! A policy file, whatever it has become.

use netvirt_core::policy::Transaction;
use netvirt_core::table::Seed;
use netvirt_std::memory::HostCapacity;
use netvirt_std::policy_file::{Diagnostics, PolicyFile, allocate};

/// A policy file is used, or it is explained with its place why it is not; and what its rules let pass the core takes.
pub fn policy_file(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match PolicyFile::parse(text, "network.toml") {
        Ok(file) => {
            assert!(!file.warnings().has_errors());
            let _ = file.warnings().to_string();
            for host in file.host_names() {
                let host = file.for_host(host).unwrap();
                let capacity = HostCapacity::for_changes(&host.changes);
                let mut policies = capacity.policies(Seed::new(1, 2));
                assert_eq!(policies.apply(Transaction::new(&host.encode())), Ok(()));
            }
        }
        Err(found) => assert_explained(&found, text, "network.toml"),
    }
    if let Ok((new, assigned)) = allocate(text, "network.toml") {
        assert_eq!(new == text, assigned.is_empty());
        assert!(PolicyFile::parse(&new, "network.toml").is_ok());
        assert_eq!(allocate(&new, "network.toml").unwrap(), (new, vec![]));
    }
}

/// Every finding has a place in the text, and all of them can be shown.
pub fn assert_explained(found: &Diagnostics, text: &str, file_name: &str) {
    assert!(found.has_errors());
    for one in found.iter() {
        let span = &one.place().span;
        assert!(span.start <= span.end && span.end <= text.len());
        let (line, column) = found.position(span);
        assert!(line >= 1 && column >= 1);
        assert!(!one.message().is_empty());
    }
    assert!(found.to_string().contains(&format!("{file_name}:")));
}
