//! What a NIC does to frames by itself, which it is told by ethtool's requests.
//!
//! Features go by the names that `ethtool -k` shows: the older requests have no word for some of them.

use std::io;

use rustix::ioctl::{Opcode, Updater, ioctl};

use super::Capabilities;
use super::link::{Interface, interface_request};

const SIOCETHTOOL: Opcode = libc::SIOCETHTOOL as Opcode;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETH_SS_FEATURES: u32 = 4;
/// Bytes of a feature's name.
const ETH_GSTRING_LEN: usize = 32;

/// Words of the kernel's state of 32 features: available, requested, active and never changed.
const STATE_WORDS: usize = 4;

/// All that merges received frames into larger ones.
const MERGING: [&str; 5] = [
    "rx-gro",
    "rx-gro-hw",
    "rx-gro-list",
    "rx-lro",
    "rx-udp-gro-forwarding",
];

/// A CRC that is no sum of 16-bit words like the other checksums.
const SCTP_CRC: &str = "tx-checksum-sctp";

struct Feature {
    name: String,
    is_changeable: bool,
    is_active: bool,
}

impl Interface {
    /// Lets frames arrive as they were on the wire: nothing merges them (GRO, LRO).
    ///
    /// # Errors
    /// Not permitted, or the driver cannot do without.
    pub fn disable_receive_merging(&self) -> io::Result<()> {
        self.switch_features(false, |name| MERGING.contains(&name))
    }

    /// Says what whoever sends through the interface may leave undone. What lies behind the far end of a veth pair
    /// receives just that: super-frames, and unfinished checksums. What is to be on is switched on as far as the driver
    /// knows it. The CRC of SCTP is never left undone: it is not one of the checksums that [`Capabilities`] mean.
    ///
    /// # Errors
    /// Not permitted, or the driver cannot do without.
    pub fn set_transmit_offloads(&self, offloads: Capabilities) -> io::Result<()> {
        self.switch_features(offloads.checksum, |name| {
            name.starts_with("tx-checksum-") && name != SCTP_CRC
        })?;
        self.switch_features(false, |name| name == SCTP_CRC)?;
        self.switch_features(offloads.segmentation, |name| {
            name.starts_with("tx-") && name.ends_with("-segmentation")
        })
    }

    fn switch_features(&self, is_on: bool, is_meant: impl Fn(&str) -> bool) -> io::Result<()> {
        let features = self.features()?;
        let is_changed = |feature: &Feature| {
            feature.is_changeable && feature.is_active != is_on && is_meant(&feature.name)
        };
        let changed: Vec<_> = features.iter().map(is_changed).collect();
        if changed.contains(&true) {
            self.request_features(&changed, is_on)?;
        }
        let still_on = |feature: &Feature| feature.is_active && is_meant(&feature.name);
        match self.features()?.into_iter().find(still_on) {
            Some(Feature { name, .. }) if !is_on => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{self} cannot do without {name}"),
            )),
            _ => Ok(()),
        }
    }

    /// All features, in the order of their bits.
    fn features(&self) -> io::Result<Vec<Feature>> {
        let count = self.count_features()?;
        let names = self.feature_names(count)?;
        let words = count.div_ceil(32);
        let mut request = vec![0; 2 + words * STATE_WORDS];
        request[..2].copy_from_slice(&[ETHTOOL_GFEATURES, words as u32]);
        self.ethtool(&mut request)?;
        let states = request[2..].chunks_exact(STATE_WORDS);
        let bits = states.flat_map(|state| {
            let [available, active] = [state[0], state[2]];
            (0..32).map(move |bit| (available >> bit & 1 == 1, active >> bit & 1 == 1))
        });
        let feature = |(name, (is_changeable, is_active))| Feature {
            name,
            is_changeable,
            is_active,
        };
        Ok(names.into_iter().zip(bits).map(feature).collect())
    }

    fn count_features(&self) -> io::Result<usize> {
        // A 64-bit set of those wanted stands between the reserved word and the numbers.
        let mut request = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
        let wanted = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
        for (word, bytes) in request[2..4].iter_mut().zip(wanted.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        self.ethtool(&mut request)?;
        Ok(request[4] as usize)
    }

    fn feature_names(&self, count: usize) -> io::Result<Vec<String>> {
        let mut request = vec![0; 3 + count * ETH_GSTRING_LEN / 4];
        request[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count as u32]);
        self.ethtool(&mut request)?;
        let names = request[3..].chunks_exact(ETH_GSTRING_LEN / 4).map(|name| {
            let bytes = name.iter().flat_map(|word| word.to_ne_bytes());
            let text = bytes.take_while(|&byte| byte != 0).map(char::from);
            text.collect()
        });
        Ok(names.collect())
    }

    fn request_features(&self, changed: &[bool], is_on: bool) -> io::Result<()> {
        let words: Vec<_> = changed
            .chunks(32)
            .flat_map(|bits| {
                let valid = bits
                    .iter()
                    .rev()
                    .fold(0, |word, &bit| word << 1 | u32::from(bit));
                [valid, if is_on { valid } else { 0 }]
            })
            .collect();
        let mut request = vec![ETHTOOL_SFEATURES, words.len() as u32 / 2];
        request.extend(words);
        self.ethtool(&mut request)
    }

    /// One request. `words` are its structure, which has room for the answer.
    fn ethtool(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = interface_request(self.name())?;
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        // SAFETY: SIOCETHTOOL takes a `struct ifreq` that points at a structure of words. Each caller above has sized its
        // own for what the kernel writes: one number for one set (GSSET_INFO), as many words of state as it was told
        // to (GFEATURES), no answer (SFEATURES), and every name of the set whatever it was told (GSTRINGS). Of these it
        // has just said how many there are, which is the same for each interface as long as a kernel runs.
        unsafe { ioctl(self.socket(), Updater::<SIOCETHTOOL, _>::new(&mut request)) }.map_err(
            |error| {
                let error = io::Error::from(error);
                let reason = match error.kind() {
                    io::ErrorKind::PermissionDenied => format!(
                        "the offloads of {self} may not be changed; run as root, or with CAP_NET_ADMIN"
                    ),
                    _ => format!("the offloads of {self} cannot be changed: {error}"),
                };
                io::Error::new(error.kind(), reason)
            },
        )
    }
}
