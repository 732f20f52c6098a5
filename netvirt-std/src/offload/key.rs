//! The file that a NIC's key is kept in.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use netvirt_fw::download::Key;

/// Permissions of everybody but the owner of a file.
const OF_OTHERS: u32 = 0o077;
/// Longer than any key file.
const MOST: u64 = 4096;

/// Reads a key: 64 hexadecimal digits, in a file that nobody but its owner may read. `openssl rand -hex 32` makes such.
///
/// # Errors
/// [`InvalidKey`] says what is wrong with the file.
pub fn read_key(path: &Path) -> Result<Key, InvalidKey> {
    let invalid = |why| InvalidKey {
        path: path.to_owned(),
        why,
    };
    let mut file = File::open(path).map_err(|error| invalid(Why::Unreadable(error)))?;
    let metadata = file.metadata();
    let metadata = metadata.map_err(|error| invalid(Why::Unreadable(error)))?;
    if metadata.is_file() && metadata.permissions().mode() & OF_OTHERS != 0 {
        return Err(invalid(Why::Open));
    }
    let mut text = String::new();
    let read = file.by_ref().take(MOST).read_to_string(&mut text);
    read.map_err(|error| invalid(Why::Unreadable(error)))?;
    Key::from_hex(text.as_bytes()).ok_or_else(|| invalid(Why::Malformed))
}

/// Why there is no key in a file.
#[derive(Debug)]
pub struct InvalidKey {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Unreadable(io::Error),
    Open,
    Malformed,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Unreadable(error) => write!(f, "{path}: {error}"),
            Why::Open => write!(
                f,
                "{path}: others than its owner may read or write this key: chmod 600 it, and if they may have read it, make a new one"
            ),
            Why::Malformed => write!(
                f,
                "{path}: a key is 64 hexadecimal digits, as `openssl rand -hex 32` writes them"
            ),
        }
    }
}

impl std::error::Error for InvalidKey {}
