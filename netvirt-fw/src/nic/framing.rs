//! How host and NIC tell each other which machine a frame belongs to.

use netvirt_core::wire::{Malformed, VlanPacket, ethertype};
use netvirt_core::{MacAddress, PortId, UplinkId, Vsid};

use crate::header::{ETHERTYPE, Kind, LINK_LEN, LinkAddresses, Packet, Repr};
use crate::rings::Buffer;

/// How host and NIC tell each other which machine a frame belongs to. Frames without either are the host's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By the [header](crate::header) in front of each frame.
    Header {
        /// The NIC's MAC address on the link to the host.
        nic: MacAddress,
    },
    /// By an IEEE 802.1Q tag whose VLAN is the number of the port, plus one, for hosts that cannot add the header. Work beside
    /// frames cannot be told, nor whether both mean the same machine by a number, and exceptions are lost.
    Tag,
}

/// Whose a frame from the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A machine's.
    Machine(PortId, Named),
    /// Decided by the host already.
    Decided(UplinkId),
    /// The host's own.
    Host,
}

/// How the host named a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// With the VSID that the port has in the host's policy.
    In(Option<Vsid>),
    /// By its number alone.
    ByNumber,
}

/// What cannot be told to this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsaid;

const TAG_LEN: usize = 4;
const ADDRESSES_LEN: usize = 12;

/// The link to the host.
#[derive(Debug)]
pub(super) struct HostLink {
    framing: Framing,
    /// As it was last seen.
    host: MacAddress,
}

impl HostLink {
    pub const fn new(framing: Framing) -> Self {
        Self {
            framing,
            host: MacAddress::BROADCAST,
        }
    }

    /// Whether a frame looks like those that only NIC and host write to each other. A host's kernel may take tags off before
    /// anybody looks.
    pub fn is_own(&self, frame: &[u8]) -> bool {
        let (_, behind) = frame.split_at_checked(ADDRESSES_LEN).unwrap_or_default();
        let (tags, _) = behind.as_chunks::<TAG_LEN>();
        let is_tag = |[e0, e1, _, _]: &&[u8; TAG_LEN]| is_tag(u16::from_be_bytes([*e0, *e1]));
        match self.framing {
            Framing::Header { .. } => {
                let first = tags.iter().find(|words| !is_tag(words));
                first.is_some_and(|[e0, e1, _, _]| u16::from_be_bytes([*e0, *e1]) == ETHERTYPE)
            }
            Framing::Tag => tags.first().is_some_and(|tag| is_tag(&tag)),
        }
    }

    /// Takes off what the host put in front of a frame, and keeps the work that it leaves to the NIC beside it.
    pub fn take(&mut self, buffer: &mut Buffer<'_>) -> Result<Origin, Malformed> {
        match (self.framing, announced(buffer.frame())) {
            (Framing::Header { .. }, Some(ETHERTYPE)) => self.take_header(buffer),
            (Framing::Tag, Some(ethertype::VLAN)) => take_tag(buffer),
            _ => Ok(Origin::Host),
        }
    }

    fn take_header(&mut self, buffer: &mut Buffer<'_>) -> Result<Origin, Malformed> {
        let link = buffer.frame().first_chunk::<LINK_LEN>();
        let [_, _, _, _, _, _, s0, s1, s2, s3, s4, s5, _, _, header @ ..] =
            link.ok_or(Malformed::Truncated)?;
        let repr = Repr::parse(&Packet::new_checked(header)?)?;
        let origin = match repr.kind {
            Kind::Sent(port) => Origin::Machine(port, Named::In(repr.vsid)),
            Kind::Decided(uplink) => Origin::Decided(uplink),
            Kind::Delivered(_) | Kind::Exception { .. } => return Err(Malformed::Value),
        };
        self.host = MacAddress([*s0, *s1, *s2, *s3, *s4, *s5]);
        buffer.pull(LINK_LEN);
        buffer.offload = repr.offload;
        Ok(origin)
    }

    /// Puts in front of a frame what the host is to know of it.
    pub fn put(&self, buffer: &mut Buffer<'_>, repr: &Repr) -> Result<(), Unsaid> {
        match (self.framing, repr.kind) {
            (Framing::Header { nic }, _) => {
                let link = LinkAddresses {
                    destination: self.host,
                    source: nic,
                };
                let room = buffer.push(LINK_LEN).map_err(|_| Unsaid)?;
                link.emit(repr, room.first_chunk_mut().ok_or(Unsaid)?);
                Ok(())
            }
            (Framing::Tag, Kind::Delivered(port)) => put_tag(buffer, port),
            (Framing::Tag, _) => Err(Unsaid),
        }
    }
}

const fn is_tag(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_SERVICE_VLAN
    )
}

/// The EtherType that a frame begins with.
fn announced(frame: &[u8]) -> Option<u16> {
    let bytes = frame.get(ADDRESSES_LEN..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

fn take_tag(buffer: &mut Buffer<'_>) -> Result<Origin, Malformed> {
    let frame = buffer.frame_mut();
    let tag = frame.get(ADDRESSES_LEN + 2..).unwrap_or_default();
    let vlan = VlanPacket::new_checked(tag)?.vlan();
    let Some(port) = vlan.checked_sub(1) else {
        return Ok(Origin::Host);
    };
    if let Some(addresses) = frame.first_chunk::<ADDRESSES_LEN>().copied()
        && let Some(untagged) = frame.get_mut(TAG_LEN..)
        && let Some(place) = untagged.first_chunk_mut()
    {
        *place = addresses;
    }
    buffer.pull(TAG_LEN);
    Ok(Origin::Machine(PortId(port.into()), Named::ByNumber))
}

fn put_tag(buffer: &mut Buffer<'_>, port: PortId) -> Result<(), Unsaid> {
    // 4095 is reserved.
    let vlan = u16::try_from(port.0).ok().filter(|port| *port < 4094);
    let vlan = vlan.ok_or(Unsaid)?.wrapping_add(1);
    buffer.push(TAG_LEN).map_err(|_| Unsaid)?;
    let frame = buffer.frame_mut();
    let front: &mut [u8; ADDRESSES_LEN + TAG_LEN] = frame.first_chunk_mut().ok_or(Unsaid)?;
    front.copy_within(TAG_LEN.., 0);
    let [.., e0, e1, v0, v1] = front;
    [*e0, *e1] = ethertype::VLAN.to_be_bytes();
    [*v0, *v1] = vlan.to_be_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use netvirt_core::datapath::{DropReason, Ingress};
    use netvirt_core::offload::{Offload, PartialChecksum};

    use super::*;
    use crate::header::HEADER_LEN;
    use crate::rings::BufferMemory;

    const NIC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x11]);
    const HOST: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x22]);
    const FRAME: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0, 13, 14];
    const WORK: Offload = Offload {
        checksum: Some(PartialChecksum {
            start: 34,
            offset: 6,
        }),
        ..Offload::NONE
    };

    fn with_header(kind: Kind) -> Vec<u8> {
        let repr = Repr {
            offload: WORK,
            ..Repr::new(kind)
        };
        let link = LinkAddresses {
            destination: NIC,
            source: HOST,
        };
        let mut front = [0; LINK_LEN];
        link.emit(&repr, &mut front);
        [&front[..], &FRAME].concat()
    }

    /// What comes out of a frame that the host sent.
    fn taken(link: &mut HostLink, sent: &[u8]) -> (Result<Origin, Malformed>, Vec<u8>, Offload) {
        let mut memory = BufferMemory::<[u8; 512]>::new();
        let mut buffer = Buffer::new(&mut memory);
        buffer.fill(sent).unwrap();
        let origin = link.take(&mut buffer);
        (origin, buffer.frame().to_vec(), buffer.offload)
    }

    fn put(link: &HostLink, kind: Kind) -> Result<Vec<u8>, Unsaid> {
        let mut memory = BufferMemory::<[u8; 512]>::new();
        let mut buffer = Buffer::new(&mut memory);
        buffer.fill(&FRAME).unwrap();
        link.put(&mut buffer, &Repr::new(kind))?;
        Ok(buffer.frame().to_vec())
    }

    #[test]
    fn the_header_says_whose_a_frame_is_and_what_is_left_to_do() {
        let mut link = HostLink::new(Framing::Header { nic: NIC });
        for (kind, origin) in [
            (
                Kind::Sent(PortId(7)),
                Origin::Machine(PortId(7), Named::In(None)),
            ),
            (Kind::Decided(UplinkId(0)), Origin::Decided(UplinkId(0))),
        ] {
            let (taken, frame, work) = taken(&mut link, &with_header(kind));
            assert_eq!((taken, work), (Ok(origin), WORK));
            assert_eq!(frame, FRAME);
        }
        let (own, frame, _) = taken(&mut link, &FRAME);
        assert_eq!((own, &frame[..]), (Ok(Origin::Host), &FRAME[..]));
    }

    #[test]
    fn a_header_that_only_the_nic_writes_or_that_is_cut_is_malformed() {
        let mut link = HostLink::new(Framing::Header { nic: NIC });
        let delivered = with_header(Kind::Delivered(PortId(7)));
        assert_eq!(taken(&mut link, &delivered).0, Err(Malformed::Value));
        let sent = with_header(Kind::Sent(PortId(7)));
        for length in 14..LINK_LEN {
            let (taken, frame, _) = taken(&mut link, &sent[..length]);
            assert_eq!(taken, Err(Malformed::Truncated), "{length}");
            assert_eq!(frame, sent[..length], "as it was");
        }
    }

    #[test]
    fn what_goes_to_the_host_goes_to_where_it_was_last_seen() {
        let mut link = HostLink::new(Framing::Header { nic: NIC });
        let to_all = put(&link, Kind::Delivered(PortId(7))).unwrap();
        assert_eq!(to_all[..6], [0xff; 6]);
        taken(&mut link, &with_header(Kind::Sent(PortId(7))))
            .0
            .unwrap();
        let exception = Kind::Exception {
            ingress: Ingress::Uplink(UplinkId(0)),
            reason: Some(DropReason::VsidUnknown),
        };
        let to_host = put(&link, exception).unwrap();
        assert_eq!((&to_host[..6], &to_host[6..12]), (&HOST.0[..], &NIC.0[..]));
        let header = &to_host[14..14 + HEADER_LEN];
        let repr = Repr::parse(&Packet::new_unchecked(header)).unwrap();
        assert_eq!(repr.kind, exception);
        assert_eq!(to_host[LINK_LEN..], FRAME);
    }

    #[test]
    fn a_tag_names_the_port_and_says_no_more() {
        let mut link = HostLink::new(Framing::Tag);
        let tagged = put(&link, Kind::Delivered(PortId(0x122))).unwrap();
        assert_eq!(tagged[..12], FRAME[..12]);
        assert_eq!(tagged[12..16], [0x81, 0, 0x01, 0x23]);
        assert_eq!(tagged[16..], FRAME[12..]);
        let (origin, frame, _) = taken(&mut link, &tagged);
        assert_eq!(origin, Ok(Origin::Machine(PortId(0x122), Named::ByNumber)));
        assert_eq!(frame, FRAME);
        for vlan in [[0, 0], [0xe0, 0]] {
            let priority = [&FRAME[..12], &[0x81, 0], &vlan, &FRAME[12..]].concat();
            assert_eq!(taken(&mut link, &priority).0, Ok(Origin::Host));
        }
        let own = taken(&mut link, &FRAME).0;
        assert_eq!(own, Ok(Origin::Host));
        let cut = taken(&mut link, &tagged[..17]).0;
        assert_eq!(cut, Err(Malformed::Truncated));
    }

    #[test]
    fn what_a_tag_has_no_room_for_is_not_said() {
        let link = HostLink::new(Framing::Tag);
        assert!(put(&link, Kind::Delivered(PortId(4093))).is_ok());
        assert_eq!(put(&link, Kind::Delivered(PortId(4094))), Err(Unsaid));
        assert_eq!(put(&link, Kind::Delivered(PortId(70_000))), Err(Unsaid));
        let exception = Kind::Exception {
            ingress: Ingress::Port(PortId(1)),
            reason: None,
        };
        assert_eq!(put(&link, exception), Err(Unsaid));
    }
}
