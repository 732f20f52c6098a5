//! One switch an uplink: two would both answer for what they carry.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::Failure;

/// Keeps other switches from an interface, for as long as this lives. Names of this kind are known in one network
/// namespace only, as the interface is, and go with the process, however it ends.
#[derive(Debug)]
pub struct UplinkClaim {
    _name: UnixListener,
}

impl UplinkClaim {
    pub fn new(interface: &str) -> Result<Self, Failure> {
        let name = format!("netvirt/uplink/{interface}");
        let claimed = SocketAddr::from_abstract_name(&name)
            .and_then(|address| UnixListener::bind_addr(&address));
        match claimed {
            Ok(name) => Ok(Self { _name: name }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(Failure::Impossible(format!(
                    "another switch runs on the uplink {interface}: stop it first; two on one uplink would carry every \
                     frame twice"
                )))
            }
            Err(error) => Err(Failure::Impossible(format!(
                "the uplink {interface} cannot be claimed: {error}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uplink_has_one_switch_at_a_time() {
        let interface = format!("of-test-{}", std::process::id());
        let first = UplinkClaim::new(&interface);
        let Err(Failure::Impossible(message)) = UplinkClaim::new(&interface) else {
            panic!("claimed twice");
        };
        let expected = format!("another switch runs on the uplink {interface}: stop it first");
        assert!(message.starts_with(&expected), "{message}");
        drop(first);
        assert!(UplinkClaim::new(&interface).is_ok());
    }
}
