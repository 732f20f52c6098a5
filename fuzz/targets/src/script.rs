//! A script of existing automation, whatever it has become.

use netvirt_std::import::import;
use netvirt_std::policy_file::PolicyFile;

use crate::policy_file::assert_explained;

/// A script becomes a good policy file, or it is said with its place why not.
pub fn script(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    match import(text, "network.ps1") {
        Ok(imported) => {
            assert!(!imported.told.has_errors());
            let _ = imported.told.to_string();
            assert!(PolicyFile::parse(&imported.policy, "network.toml").is_ok());
        }
        Err(told) => assert_explained(&told, text, "network.ps1"),
    }
}
