//! Packet sockets: an interface that exists, taken by its own end.
//!
//! An uplink is one. So is the port of a container whose veth pair ends here, or of a hypervisor that made a TAP.
//!
//! The kernel's own network stack sees the frames as well. It must have no address on such an interface, nor forward
//! packets between it and others, or it answers and carries what is none of its business.

mod ring;
pub(crate) mod socket;

use std::array;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use libc::{c_int, packet_mreq};
use netvirt_core::offload::Offload;
use rustix::io::Errno;
use rustix::net::netdevice::index_to_name_inlined;
use rustix::net::sockopt::{
    set_socket_send_buffer_size, set_socket_send_buffer_size_force, socket_error,
};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

use self::ring::{Ring, Slot};
use super::link::Interface;
use super::namespace::Namespace;
use super::{
    BATCH, Capabilities, Outgoing, Received, Receiver, Sender, largest_frame, vnet_header,
};

/// Slots of an uplink's ring, so that a worker may sleep a tick of the kernel while 500,000 packets a second arrive.
const UPLINK_SLOTS: usize = 2048;
/// Slots of a port's ring. There are many ports, and each ring is memory that the kernel never swaps out.
const PORT_SLOTS: usize = 512;

/// Bytes of sent frames that the NIC still has: as many as wait in a queueing discipline of the usual length.
const SEND_BUFFER: usize = 4 << 20;

/// Where an Ethernet header's tag stands: behind both addresses.
const ADDRESSES: usize = 12;
const TAG: usize = 4;

/// What an interface is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It leads to other hosts. Frames that are sent must be complete.
    Uplink,
    /// A virtual machine or a container is behind it, whose kernel understands partial checksums.
    ///
    /// It must not send super-frames, for which there is no room: see [`Interface::set_transmit_offloads`] for the far
    /// end of a veth pair.
    Port,
}

/// Which interface to take, and how.
#[derive(Debug, Clone)]
pub struct PacketOptions<'o> {
    /// The name of the interface.
    pub interface: &'o str,
    /// Where it lives.
    pub namespace: &'o Namespace,
    /// What it is for.
    pub role: Role,
    /// How many queues, for as many workers; at least one. The kernel spreads flows over them.
    pub queues: usize,
    /// Whether sent frames go straight to the driver. That saves a little time, but whatever the NIC has no room for at
    /// once is lost, and neither traffic control nor packet captures on this host see it.
    pub bypass_qdisc: bool,
}

/// An interface that this switch receives all frames of, and sends through.
#[derive(Debug)]
pub struct PacketDevice {
    /// The two halves of each queue.
    pub queues: Vec<(PacketReceiver, PacketSender)>,
    /// The interface.
    pub interface: Interface,
    /// What was lost on the way in.
    pub missed: Missed,
}

impl PacketDevice {
    /// Makes sure that an interface can be taken, as far as it is its own doing.
    ///
    /// # Errors
    /// There is no such interface, or it is no Ethernet interface or down.
    pub fn check(interface: &str, namespace: &Namespace) -> io::Result<()> {
        let mut interface = Interface::open(interface, namespace)?;
        usable_mtu(&mut interface, namespace).map(|_mtu| ())
    }

    /// Takes an interface. Received frames are no longer merged on it.
    ///
    /// # Errors
    /// There is no such interface, it is no Ethernet interface or down, or this is not permitted.
    pub fn open(options: &PacketOptions<'_>) -> io::Result<Self> {
        let mut interface = Interface::open(options.interface, options.namespace)?;
        let mtu = usable_mtu(&mut interface, options.namespace)?;
        interface.disable_receive_merging()?;
        let largest_frame = largest_frame(mtu);
        let queues = options
            .namespace
            .run_inside(|| open_queues(options, interface.index(), largest_frame))?
            .map_err(|error| opening_failed(&interface, &error))?;
        let missed = Missed {
            sockets: queues
                .iter()
                .map(|(receiver, _)| Arc::downgrade(&receiver.socket))
                .collect(),
            total: 0,
        };
        Ok(Self {
            queues,
            interface,
            missed,
        })
    }
}

fn usable_mtu(interface: &mut Interface, namespace: &Namespace) -> io::Result<u32> {
    let link = interface.link()?;
    if link.mac.is_none() {
        let message = format!("{interface} is no Ethernet interface");
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    if !link.is_up {
        let message = format!(
            "{interface} is down; set it up with `{} link set {} up`",
            namespace.ip(),
            interface.name()
        );
        return Err(io::Error::new(io::ErrorKind::NetworkDown, message));
    }
    Ok(link.mtu)
}

fn open_queues(
    options: &PacketOptions<'_>,
    index: u32,
    largest_frame: usize,
) -> io::Result<Vec<(PacketReceiver, PacketSender)>> {
    let open_queue = |_| {
        let receiver = PacketReceiver::open(options.role, index, largest_frame)?;
        Ok((receiver, PacketSender::open(options, index)?))
    };
    let queues = (0..options.queues.max(1))
        .map(open_queue)
        .collect::<io::Result<Vec<_>>>()?;
    let sockets = || queues.iter().map(|(receiver, _)| &receiver.socket);
    // A queue takes every frame of the interface until it shares with the others, and the frames of its own flows from
    // then on. Nobody could tell those apart, so all begin when all share.
    let mut group = None;
    for socket in sockets() {
        socket::take_nothing(socket)?;
        socket::attach(socket, socket::EVERY_PROTOCOL, index)?;
        if queues.len() > 1 {
            group = Some(socket::share(socket, group)?);
        }
    }
    for socket in sockets() {
        socket::take_everything(socket)?;
    }
    Ok(queues)
}

fn opening_failed(interface: &Interface, error: &io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let rights = "CAP_NET_RAW and CAP_NET_ADMIN";
            format!("packets of {interface} may not be taken; run as root, or with {rights}")
        }
        _ => format!("packets of {interface} cannot be taken: {error}"),
    };
    io::Error::new(error.kind(), reason)
}

/// Counts the frames that were lost on the way in.
#[derive(Debug)]
pub struct Missed {
    sockets: Vec<Weak<OwnedFd>>,
    total: u64,
}

impl Missed {
    /// Frames that were lost since the device was opened because they were not fetched in time.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn total(&mut self) -> io::Result<u64> {
        for socket in self.sockets.iter().filter_map(Weak::upgrade) {
            self.total += u64::from(socket::take_drops(&*socket)?);
        }
        Ok(self.total)
    }
}

/// The half of a queue that received frames come out of. They lie where the kernel has put them.
///
/// A frame that is larger than the MTU was when the device was opened, or whose virtio-net header contradicts it, comes
/// out empty.
#[derive(Debug)]
pub struct PacketReceiver {
    socket: Arc<OwnedFd>,
    index: u32,
    ring: Ring,
    frames: [Arrived; BATCH],
    /// How many of the frames are kept.
    count: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Arrived {
    slot: Slot,
    /// Where in the slot the frame starts.
    start: usize,
    length: usize,
    offload: Offload,
}

impl PacketReceiver {
    /// A receiver that is not attached to its interface yet.
    fn open(role: Role, index: u32, largest_frame: usize) -> io::Result<Self> {
        const ON: c_int = 1;
        let socket = socket::open()?;
        // An uplink needs it too: a peer on this host, or whatever the kernel sends through a tunnel over a veth pair,
        // leaves checksums partial, and nothing else says where.
        socket::set(&socket, libc::PACKET_VNET_HDR, ON)?;
        socket::set(&socket, libc::PACKET_IGNORE_OUTGOING, ON)?;
        let ring = Ring::new(&socket, slots_for(role), largest_frame)?;
        let everything = packet_mreq {
            mr_ifindex: index as c_int,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        socket::set(&socket, libc::PACKET_ADD_MEMBERSHIP, everything)?;
        Ok(Self {
            socket: Arc::new(socket),
            index,
            ring,
            frames: [Arrived::default(); BATCH],
            count: 0,
        })
    }

    /// Looks why there are no frames. An interface that was set down makes its socket readable until it is asked.
    fn check(&self) -> io::Result<()> {
        match socket_error(&self.socket)? {
            Err(Errno::NETDOWN) => {
                // It may come up again. What is removed afterwards shows in `is_gone` only.
                index_to_name_inlined(&self.socket, self.index)?;
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }
}

impl Receiver for PacketReceiver {
    fn readiness(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn fetch(&mut self) -> io::Result<usize> {
        self.release();
        for frame in &mut self.frames {
            let Some(slot) = self.ring.take() else { break };
            *frame = Arrived::read(&mut self.ring, slot).unwrap_or_default();
            self.count += 1;
        }
        if self.count == 0 {
            self.check()?;
        }
        Ok(self.count)
    }

    fn frame(&self, number: usize) -> Received<'_> {
        let frame = &self.frames[..self.count][number];
        Received {
            bytes: self.ring.bytes(frame.slot, frame.start, frame.length),
            offload: frame.offload,
        }
    }

    /// An interface that is down when it is removed says nothing of it.
    fn is_gone(&self) -> bool {
        index_to_name_inlined(&self.socket, self.index).is_err()
    }

    fn release(&mut self) {
        self.count = 0;
        self.ring.release();
    }
}

impl Arrived {
    /// The frame in a slot, if it is whole and its headers are right.
    fn read(ring: &mut Ring, slot: Slot) -> Option<Self> {
        let header = ring.header(slot);
        let start = usize::from(header.tp_mac);
        let length = header.tp_snaplen as usize;
        if header.tp_snaplen < header.tp_len {
            return None;
        }
        let bytes = ring.slot_mut(slot);
        let (headers, frame) = bytes
            .get_mut(..start + length)?
            .split_at_mut_checked(start)?;
        let offload = vnet_header::receive(headers.last_chunk()?, frame)?;
        let arrived = Self {
            slot,
            start,
            length,
            offload,
        };
        match tag_of(&header) {
            Some(tag) => arrived.with_tag(bytes, tag),
            None => Some(arrived),
        }
    }

    /// Puts a tag back that the kernel has taken out. The frame grows over the virtio-net header, which has been read.
    fn with_tag(self, slot: &mut [u8], tag: [u8; TAG]) -> Option<Self> {
        let start = self.start.checked_sub(TAG)?;
        let front = slot.get_mut(start..self.start + ADDRESSES)?;
        front.copy_within(TAG.., 0);
        *front.last_chunk_mut()? = tag;
        Some(Self {
            start,
            length: self.length + TAG,
            offload: behind_tag(self.offload)?,
            ..self
        })
    }
}

const fn slots_for(role: Role) -> usize {
    match role {
        Role::Uplink => UPLINK_SLOTS,
        Role::Port => PORT_SLOTS,
    }
}

fn tag_of(header: &libc::tpacket2_hdr) -> Option<[u8; TAG]> {
    if header.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let [e0, e1] = header.tp_vlan_tpid.to_be_bytes();
    let [c0, c1] = header.tp_vlan_tci.to_be_bytes();
    Some([e0, e1, c0, c1])
}

/// The same work in a frame that has a tag more.
fn behind_tag(offload: Offload) -> Option<Offload> {
    let shift = |position: u16| position.checked_add(TAG as u16);
    let mut shifted = offload;
    if let Some(checksum) = &mut shifted.checksum {
        checksum.start = shift(checksum.start)?;
    }
    if let Some(segmentation) = &mut shifted.segmentation {
        segmentation.header_length = shift(segmentation.header_length)?;
    }
    Some(shifted)
}

/// The half of a queue that frames are sent through.
#[derive(Debug)]
pub struct PacketSender {
    socket: OwnedFd,
    role: Role,
}

impl PacketSender {
    fn open(options: &PacketOptions<'_>, index: u32) -> io::Result<Self> {
        let socket = socket::open()?;
        let has_headers = options.role == Role::Port;
        socket::set(&socket, libc::PACKET_VNET_HDR, c_int::from(has_headers))?;
        let bypasses = c_int::from(options.bypass_qdisc);
        socket::set(&socket, libc::PACKET_QDISC_BYPASS, bypasses)?;
        // In a user namespace of its own, a process has what the system gives everybody.
        set_socket_send_buffer_size_force(&socket, SEND_BUFFER)
            .or_else(|_| set_socket_send_buffer_size(&socket, SEND_BUFFER))?;
        socket::attach(&socket, socket::NO_PROTOCOL, index)?;
        Ok(Self {
            socket,
            role: options.role,
        })
    }

    fn header_length(&self) -> usize {
        match self.role {
            Role::Uplink => 0,
            Role::Port => vnet_header::LENGTH,
        }
    }

    fn send_batch(&self, frames: &mut [Outgoing<'_>]) {
        let mut headers = [[0; vnet_header::LENGTH_WITH_BUFFERS]; BATCH];
        let mut parts: [_; BATCH] = array::from_fn(|_| {
            let nothing = IoSlice::new(&[]);
            ([nothing; 3], SendAncillaryBuffer::default())
        });
        for ((frame, header), (pieces, _)) in frames.iter().zip(&mut headers).zip(&mut parts) {
            *header = vnet_header::write(&frame.offload);
            let header = &header[..self.header_length()];
            *pieces = [header, frame.front, frame.rest].map(IoSlice::new);
        }
        let mut messages = parts
            .each_mut()
            .map(|(pieces, no_control)| MMsgHdr::new(pieces, no_control));
        let messages = &mut messages[..frames.len()];
        let mut is_lost = [false; BATCH];
        let mut first = 0;
        while let Some(rest @ [_, ..]) = messages.get_mut(first..) {
            // An error is about the first frame of those that are left. If a later one fails, those before it are sent.
            match sendmmsg(&self.socket, rest, SendFlags::empty()) {
                Ok(sent) if sent > 0 => first += sent,
                _ => {
                    is_lost[first] = true;
                    first += 1;
                }
            }
        }
        for (frame, is_lost) in frames.iter_mut().zip(is_lost) {
            frame.is_lost = is_lost;
        }
    }
}

impl Sender for PacketSender {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checksum: self.role == Role::Port,
            segmentation: false,
        }
    }

    fn send(&mut self, frames: &mut [Outgoing<'_>]) {
        for batch in frames.chunks_mut(BATCH) {
            self.send_batch(batch);
        }
    }
}
