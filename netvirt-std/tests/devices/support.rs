//! Namespaces to play in, the kernel's side of a device, and frames.

use std::future::Future;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use netvirt_core::MacAddress;
use netvirt_core::offload::{Offload, PartialChecksum};
use netvirt_std::device::link::Interface;
use netvirt_std::device::namespace::Namespace;
use netvirt_std::device::{Outgoing, Receiver, Sender};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::UnshareFlags;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};

/// The kernel's end of a cable, and the switch's.
pub const KERNEL: Station = Station::new(1);
pub const SWITCH: Station = Station::new(2);

/// Where the UDP header of a frame without a tag starts.
pub const UDP_START: u16 = 34;
pub const UDP_CHECKSUM: PartialChecksum = PartialChecksum {
    start: UDP_START,
    offset: 6,
};

/// Longer than anything here takes, so that only what never happens runs into it.
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
pub struct Station {
    pub mac: MacAddress,
    pub address: Ipv4Addr,
}

impl Station {
    const fn new(number: u8) -> Self {
        Self {
            mac: MacAddress([2, 0, 0, 0, 0, number]),
            address: Ipv4Addr::new(10, 9, 0, number),
        }
    }

    pub const fn port(self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, port)
    }
}

/// An empty namespace that vanishes with the last who holds it. None, with a reason printed, where the test cannot
/// run; in CI, where CI=true, that is a failure.
pub fn namespace() -> Option<Namespace> {
    let made = thread::spawn(|| {
        // SAFETY: file descriptors stay shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
        // The kernel would send frames of its own.
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
        fs::metadata("/dev/net/tun")?;
        fs::File::open("/proc/thread-self/ns/net")
    });
    match made.join().unwrap() {
        Ok(file) => {
            let namespace = Namespace::from_fd(file.into());
            // Or everything that follows would be done to this machine.
            let inside = namespace.run_inside(of_this_thread).unwrap();
            assert_ne!(inside, of_this_thread());
            Some(namespace)
        }
        Err(error) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("in CI nothing may be skipped: no network namespace and TAP to test in: {error}")
        }
        Err(error) => {
            println!("skipped: no network namespace and TAP to test in: {error}");
            None
        }
    }
}

/// What names the network namespace of the thread.
pub fn of_this_thread() -> PathBuf {
    fs::read_link("/proc/thread-self/ns/net").unwrap()
}

/// Changes the kernel's network by netlink.
pub fn configure<W: Future<Output = Result<(), rtnetlink::Error>>>(
    namespace: &Namespace,
    work: impl FnOnce(Handle) -> W + Send,
) {
    let configured = namespace.run_inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::spawn(connection);
            work(handle).await
        })
    });
    configured.unwrap().unwrap();
}

/// Gives an interface the kernel's address, and tells it the switch's.
pub fn set_addresses(interface: &Interface, namespace: &Namespace) {
    let index = interface.index();
    configure(namespace, async move |handle| {
        let address = IpAddr::V4(KERNEL.address);
        handle.address().add(index, address, 24).execute().await?;
        let neighbour = IpAddr::V4(SWITCH.address);
        handle
            .neighbours()
            .add(index, neighbour)
            .link_layer_address(&SWITCH.mac.0)
            .execute()
            .await
    });
}

/// Sets an interface down, or changes it in another way.
pub fn change_link(
    interface: &Interface,
    namespace: &Namespace,
    change: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec> + Send,
) {
    let index = interface.index();
    configure(namespace, async move |handle| {
        let message: LinkMessage = change(LinkUnspec::new_with_index(index)).build();
        handle.link().set(message).execute().await
    });
}

/// A socket of the kernel's end that gives up waiting at some time.
pub fn udp_socket(namespace: &Namespace, port: u16) -> UdpSocket {
    let socket = namespace
        .run_inside(|| UdpSocket::bind(KERNEL.port(port)))
        .unwrap()
        .unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

#[track_caller]
pub fn assert_receives(socket: &UdpSocket, payload: &[u8]) {
    let mut buffer = [0; 65536];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from.ip(), IpAddr::V4(SWITCH.address));
    assert_eq!(&buffer[..length], payload);
}

#[track_caller]
pub fn assert_receives_nothing_more(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let received = socket.recv_from(&mut [0; 1]);
    assert_eq!(received.unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
}

/// Waits until one of the receivers has something.
#[track_caller]
pub fn wait_for<R: Receiver>(receivers: &[&R]) {
    let mut waiting: Vec<_> = receivers
        .iter()
        .map(|receiver| PollFd::from_borrowed_fd(receiver.readiness(), PollFlags::IN))
        .collect();
    let timeout = Timespec::try_from(TIMEOUT).unwrap();
    let ready = poll(&mut waiting, Some(&timeout)).unwrap();
    assert!(ready > 0, "nothing arrived");
}

/// Repeats a step, which may wait for a receiver, until it says that all is done.
#[track_caller]
pub fn until(mut is_done_after_step: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_done_after_step() {
        assert!(Instant::now() < deadline, "something never came");
    }
}

/// Whether a receiver has something now.
pub fn is_ready(receiver: &impl Receiver) -> bool {
    let mut waiting = [PollFd::from_borrowed_fd(
        receiver.readiness(),
        PollFlags::IN,
    )];
    poll(&mut waiting, Some(&Timespec::default())).unwrap() > 0
}

/// Lets the kernel cut what is sent into datagrams of this size (UDP segmentation offload).
pub fn set_segment_size(socket: &UdpSocket, size: libc::c_int) {
    // SAFETY: UDP_SEGMENT reads a C int.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const size).cast(),
            size_of_val(&size) as libc::socklen_t,
        )
    };
    assert_eq!(status, 0);
}

/// Asks ethtool about an interface: a command with a value, which the answer replaces.
pub fn ethtool(interface: &Interface, namespace: &Namespace, command: u32, value: u32) -> u32 {
    let mut request = [command, value];
    ask_ethtool(interface, namespace, &mut request);
    request[1]
}

/// Whether a feature, by the name that `ethtool -k` shows, is on.
pub fn has_feature(interface: &Interface, namespace: &Namespace, name: &str) -> bool {
    const ETHTOOL_GSTRINGS: u32 = 0x1b;
    const ETHTOOL_GFEATURES: u32 = 0x3a;
    const ETH_SS_FEATURES: u32 = 4;
    /// More than there are.
    const MOST: usize = 512;
    let mut names = vec![0; 3 + MOST * 8];
    names[..2].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES]);
    ask_ethtool(interface, namespace, &mut names);
    let mut states = vec![0; 2 + MOST / 32 * 4];
    states[..2].copy_from_slice(&[ETHTOOL_GFEATURES, MOST as u32 / 32]);
    ask_ethtool(interface, namespace, &mut states);
    let mut padded = [0; 32];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    let is_it = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).eq(padded);
    let bit = names[3..].chunks(8).position(is_it).unwrap();
    // Available, requested, active and never changed.
    states[2 + bit / 32 * 4 + 2] >> (bit % 32) & 1 == 1
}

fn ask_ethtool(interface: &Interface, namespace: &Namespace, request: &mut [u32]) {
    // SAFETY: all zero is such a structure.
    let mut interface_request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in interface_request
        .ifr_name
        .iter_mut()
        .zip(interface.name().bytes())
    {
        *place = byte as libc::c_char;
    }
    interface_request.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
    let socket = namespace.run_inside(|| UdpSocket::bind("0.0.0.0:0"));
    let socket = socket.unwrap().unwrap();
    // SAFETY: whoever asks has made the structure large enough for the answer.
    let status = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCETHTOOL as _,
            &raw mut interface_request,
        )
    };
    assert_eq!(status, 0);
}

/// Waits for frames that satisfy a condition, as many as asked for, and hands them to `each` in their order. Others are
/// passed over.
#[track_caller]
pub fn receive(
    receiver: &mut impl Receiver,
    count: usize,
    mut is_wanted: impl FnMut(&[u8]) -> bool,
    mut each: impl FnMut(&[u8], Offload),
) {
    let mut missing = count;
    until(|| {
        wait_for(&[receiver]);
        for number in 0..receiver.fetch().unwrap() {
            let frame = receiver.frame(number);
            if is_wanted(frame.bytes) {
                missing = missing.checked_sub(1).expect("more frames than were sent");
                each(frame.bytes, frame.offload);
            }
        }
        receiver.release();
        missing == 0
    });
}

/// The next UDP datagram that comes out of a device.
#[track_caller]
pub fn receive_datagram(receiver: &mut impl Receiver) -> (Vec<u8>, Offload) {
    let mut received = None;
    receive(receiver, 1, is_udp, |frame, offload| {
        received = Some((frame.to_vec(), offload));
    });
    received.unwrap()
}

/// Sends one frame, cut in two at `cut`, and says whether it was lost.
pub fn send(sender: &mut impl Sender, frame: &[u8], cut: usize, offload: Offload) -> bool {
    let (front, rest) = frame.split_at(cut);
    let mut frames = [Outgoing {
        front,
        rest,
        offload,
        is_lost: false,
    }];
    sender.send(&mut frames);
    frames[0].is_lost
}

/// A UDP datagram between the two stations as a frame, complete.
pub fn datagram(from: Station, to: Station, port: u16, payload: &[u8]) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let udp = UdpRepr {
        src_port: port,
        dst_port: port,
    };
    let ip = Ipv4Repr {
        src_addr: from.address,
        dst_addr: to.address,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(from.mac.0),
        dst_addr: EthernetAddress(to.mac.0),
        ethertype: EthernetProtocol::Ipv4,
    };
    let length = ethernet.buffer_len() + ip.buffer_len() + ip.payload_len;
    let mut frame = EthernetFrame::new_unchecked(vec![0; length]);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    udp.emit(
        &mut datagram,
        &ip.src_addr.into(),
        &ip.dst_addr.into(),
        payload.len(),
        |place| place.copy_from_slice(payload),
        &checksums,
    );
    frame.into_inner()
}

/// The same datagram with nothing but the pseudo-header's sum in its checksum.
pub fn unfinished(mut frame: Vec<u8>) -> Vec<u8> {
    let addresses = &frame[26..34];
    let length = &frame[38..40];
    let pseudo_header = [addresses, &[0, 17], length].concat();
    let sum = internet_sum(&pseudo_header);
    frame[40..42].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Does the work that a partial checksum asks for.
pub fn finish(frame: &mut [u8], checksum: PartialChecksum) {
    let start = usize::from(checksum.start);
    let field = start + usize::from(checksum.offset);
    let sum = !internet_sum(&frame[start..]);
    frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Frames to be sent, each in two pieces, of which the first has so many bytes.
pub fn outgoing(frames: &[Vec<u8>], front: usize) -> Vec<Outgoing<'_>> {
    let frames = frames.iter().map(|frame| Outgoing {
        front: &frame[..front],
        rest: &frame[front..],
        offload: Offload::NONE,
        is_lost: false,
    });
    frames.collect()
}

pub fn internet_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match *word {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => unreachable!(),
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

pub fn is_udp(frame: &[u8]) -> bool {
    frame.len() >= 42 && frame[12..14] == [8, 0] && frame[23] == 17
}

/// Checks addresses, ports and checksum of a datagram that the kernel sent, and yields its payload.
#[track_caller]
pub fn payload_from_kernel(frame: &[u8]) -> &[u8] {
    let frame = EthernetFrame::new_checked(frame).unwrap();
    assert_eq!(frame.dst_addr().0, SWITCH.mac.0);
    assert_eq!(frame.src_addr().0, KERNEL.mac.0);
    let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
    assert!(packet.verify_checksum());
    let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
    assert_eq!(destination, IpAddr::V4(SWITCH.address).into());
    let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
    assert!(datagram.verify_checksum(&source, &destination));
    datagram.payload()
}
