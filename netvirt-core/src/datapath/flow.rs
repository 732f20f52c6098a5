//! What a flow is known by on the outside: FlowID, flow label, choice of path, congestion marks.

use crate::policy::{DscpPolicy, EcnPolicy, FlowIdPolicy, Settings};
use crate::wire::{Facts, Fragment};

/// The entropy of one flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// A number that all packets of the flow share.
    pub hash: u32,
    /// The last octet of the NVGRE key (RFC 7637 §3.2).
    pub id: u8,
    /// The flow label of an outer IPv6 header, 20 bits (RFC 6438).
    pub label: u32,
}

impl Flow {
    #[inline(always)]
    pub fn of(settings: &Settings, facts: &Facts) -> Self {
        match settings.flow_id {
            FlowIdPolicy::Fixed(id) => Self {
                hash: 0,
                id,
                label: 0,
            },
            FlowIdPolicy::PerFlow { seed } => {
                let hash = hash(seed, facts);
                Self {
                    hash: (hash >> 32) as u32,
                    id: hash as u8,
                    label: (hash >> 8) as u32 & 0xf_ffff,
                }
            }
        }
    }
}

/// A keyed hash over addresses, protocol and ports. All fragments of a datagram agree: they have no ports, and a protocol
/// only the first of them may know, if extension headers stand behind the fragment header.
#[inline(always)]
fn hash(seed: u64, facts: &Facts) -> u64 {
    let source = facts.source_address;
    let destination = facts.destination_address;
    let addresses = folded_product(
        source.low ^ destination.high.rotate_left(32) ^ seed,
        destination.low ^ source.high.rotate_left(32) ^ 0xa076_1d64_78bd_642f,
    );
    let protocol = match facts.fragment {
        Fragment::Whole => facts.protocol,
        Fragment::First | Fragment::Later => 0,
    };
    let transport = u64::from(facts.ports) << 8 | u64::from(protocol);
    folded_product(
        addresses ^ 0xe703_7ed1_a0b4_28db,
        transport ^ seed.rotate_left(17) ^ 0x8ebc_6af0_9c88_c6e3,
    )
}

#[inline(always)]
fn folded_product(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    (product >> 64) as u64 ^ product as u64
}

const NOT_CAPABLE: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CONGESTED: u8 = 3;

/// DSCP and ECN of the outer header (RFC 2983, RFC 6040 §4.1).
#[inline(always)]
pub(super) fn outer_traffic_class(settings: &Settings, inner: u8) -> u8 {
    let dscp = match settings.dscp {
        DscpPolicy::Uniform => inner & !3,
        DscpPolicy::Pipe(dscp) => dscp << 2,
    };
    let ecn = match settings.ecn {
        EcnPolicy::Normal => inner & 3,
        EcnPolicy::Compatible => NOT_CAPABLE,
    };
    dscp | ecn
}

/// What the outer ECN field makes of the inner one (RFC 6040 §4.2): the field to set, if it changes.
///
/// # Errors
/// The packet must be dropped: congestion was marked on a packet that is not ECN-capable.
#[inline(always)]
pub(super) fn decapsulated_ecn(inner: u8, outer: u8) -> Result<Option<u8>, EcnNotCapable> {
    match (inner & 3, outer & 3) {
        (NOT_CAPABLE, CONGESTED) => Err(EcnNotCapable),
        (NOT_CAPABLE | CONGESTED, _) => Ok(None),
        (_, CONGESTED) => Ok(Some(CONGESTED)),
        (inner, ECT_1) if inner != ECT_1 => Ok(Some(ECT_1)),
        _ => Ok(None),
    }
}

/// Whether the outer ECN field is one that no router and no tunnel makes of the inner one (RFC 6040 §4.2, figure 4).
#[inline(always)]
pub(super) fn is_ecn_anomaly(inner: u8, outer: u8) -> bool {
    matches!(
        (inner & 3, outer & 3),
        (NOT_CAPABLE, ECT_0 | ECT_1) | (ECT_1, ECT_0) | (CONGESTED, ECT_1)
    )
}

/// Congestion was marked on a packet whose sender cannot hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EcnNotCapable;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecn_of_inner_and_outer_combine_as_rfc_6040_says() {
        let table = [
            (
                NOT_CAPABLE,
                [
                    Some(NOT_CAPABLE),
                    Some(NOT_CAPABLE),
                    Some(NOT_CAPABLE),
                    None,
                ],
            ),
            (
                ECT_0,
                [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CONGESTED)],
            ),
            (
                ECT_1,
                [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CONGESTED)],
            ),
            (CONGESTED, [Some(CONGESTED); 4]),
        ];
        for (inner, row) in table {
            for (outer, expected) in [NOT_CAPABLE, ECT_0, ECT_1, CONGESTED].into_iter().zip(row) {
                let result = decapsulated_ecn(inner, outer)
                    .ok()
                    .map(|change| change.unwrap_or(inner));
                assert_eq!(result, expected, "inner {inner:02b}, outer {outer:02b}");
            }
        }
    }
}
