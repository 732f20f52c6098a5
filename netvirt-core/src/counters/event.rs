//! What is rare, and counted beside what became of a frame.

use core::fmt;

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// Something rare about a frame, counted beside what became of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[$doc])* $variant,)+
        }

        impl Event {
            /// Every event, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name of its counter.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

events! {
    /// A packet, or a copy of one for many, was cut into fragments that its path carries.
    Fragmented => "fragmented",
    /// A frame was sent on to the host that its machine moved to.
    Redirect => "redirects",
    /// The outer ECN field is one that no router makes of the inner one (RFC 6040 §4.2).
    EcnAnomaly => "ecn_anomalies",
    /// A UDP-Lite packet without a checksum, which RFC 3828 §3.1 does not allow, was rewritten and still has none.
    ChecksumAbsent => "checksums_absent",
    /// A refusal was answered with an ICMP error. Reasons are counted once for each frame that was dropped or answered so.
    ErrorSent => "errors_sent",
    /// A refusal was not answered, because the port was answered as often as its limit allows.
    ErrorSuppressed => "errors_suppressed",
    /// A machine was told an ICMP error of a router of the provider network.
    RouterError => "router_errors",
    /// A copy of a frame for many. Unlike other events it comes as often as there are copies.
    Copy => "copies",
    /// A copy of a frame for many that could not be carried: its path is missing or too small, there are more of them than one
    /// frame is copied to, or they are for machines that are reached by rewrite, which count as one.
    CopyLost => "copies_lost",
}

impl Event {
    /// The index of its counter.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The events of one frame, each at most once. Its copies are not among them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Events(u16);

const _: () = assert!(Event::COUNT <= 16);

impl Events {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether an event is among them.
    #[inline]
    pub const fn contains(self, event: Event) -> bool {
        self.0 & Self::bit(event) != 0
    }

    /// Adds an event.
    #[inline]
    pub(crate) const fn insert(&mut self, event: Event) {
        self.0 |= Self::bit(event);
    }

    /// Them all, in the order of their counters.
    pub fn iter(self) -> impl Iterator<Item = Event> {
        Event::ALL
            .iter()
            .copied()
            .filter(move |event| self.contains(*event))
    }

    const fn bit(event: Event) -> u16 {
        1 << event as u8
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
