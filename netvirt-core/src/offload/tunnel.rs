//! The frame inside an NVGRE frame, as a NIC finds it that classifies before anything is decided.

use crate::wire::{self, Facts, Fragment, ethertype, protocol};

/// An Ethernet frame inside GRE with a key.
pub(super) struct Inner {
    /// VSID << 8 | FlowID.
    pub key: u32,
    /// Where the frame begins.
    pub offset: usize,
}

/// What the packet of `outer` carries, if that is an Ethernet frame with a key.
pub(super) fn inner_frame(window: &[u8], outer: &Facts) -> Option<Inner> {
    let is_gre = outer.protocol == protocol::GRE && outer.fragment == Fragment::Whole;
    if !is_gre || !outer.has_transport() {
        return None;
    }
    let gre = wire::read_gre(window, usize::from(outer.transport_offset)).ok()?;
    let key = gre.key?;
    (gre.protocol == ethertype::TRANSPARENT_ETHERNET).then_some(Inner {
        key,
        offset: gre.payload_offset,
    })
}
