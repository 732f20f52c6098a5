//! TAPs: interfaces of the kernel whose cable ends in the switch.
//!
//! A TAP can lie in the namespace of a container, where it is the container's NIC.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Weak};

use libc::{c_int, c_short};
use netvirt_core::MacAddress;
use netvirt_core::offload::Offload;
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, ioctl};

use super::link::{Interface, interface_request};
use super::namespace::Namespace;
use super::{
    BATCH, Capabilities, Outgoing, Received, Receiver, Sender, largest_frame, spread, vnet_header,
};

const CLONE_DEVICE: &str = "/dev/net/tun";

/// Several queues are asked for even where one is used, so that the next switch can attach before this one lets go.
const FLAGS: c_int = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;

/// The largest packet, in bytes: what the length field of an IPv4 header can say.
const LARGEST_MTU: u32 = u16::MAX as u32;

/// What the kernel may leave to the switch. With segmentation, frames would be as large as 64 KiB.
const OFFLOADS: libc::c_uint = libc::TUN_F_CSUM;

/// Which TAP to open, and how it is to be.
#[derive(Debug, Clone)]
pub struct TapOptions<'o> {
    /// The name of its interface, which is made if it does not exist.
    pub name: &'o str,
    /// Where the interface lives.
    pub namespace: &'o Namespace,
    /// The MAC address that its user is to have.
    pub mac: Option<MacAddress>,
    /// The largest packet, in bytes behind the Ethernet header.
    pub mtu: u32,
    /// How many queues, for as many workers; at least one.
    pub queues: usize,
}

/// A TAP that this switch is attached to. It stays when it is dropped, so that another switch can take it over.
#[derive(Debug)]
pub struct Tap {
    /// The two halves of each queue.
    pub queues: Vec<(TapReceiver, TapSender)>,
    /// Its interface. Its `tx_dropped` counts the frames that were lost because they were not fetched in time.
    pub interface: Interface,
    /// One of its queues, as long as somebody has that.
    pub anchor: Weak<File>,
}

impl Tap {
    /// Attaches to a TAP, which is made if need be, sets it up, and lets it work.
    ///
    /// # Errors
    /// This is not permitted, the name belongs to another kind of interface, or the TAP cannot be as it is to be. A
    /// TAP that did not exist before does not exist then either.
    pub fn open(options: &TapOptions<'_>) -> io::Result<Self> {
        let mut tap = Self::attach(options)?;
        Self::fit(&mut tap.interface, &tap.anchor, options.mac, options.mtu)?;
        Ok(tap)
    }

    /// The first half of [`open`](Self::open): attaches to a TAP, and leaves one that is there as it is. One that is not
    /// is made and set up, and vanishes when it is dropped.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn attach(options: &TapOptions<'_>) -> io::Result<Self> {
        let (name, namespace) = (options.name, options.namespace);
        let is_there = Interface::open(name, namespace).is_ok();
        let files = attach(name, namespace, options.queues.max(1))?;
        let mut interface = Interface::open(name, namespace)?;
        for file in &files {
            agree_on_format(file).map_err(|error| setting_up_failed(&interface, error))?;
        }
        if !is_there {
            set_up(&mut interface, options.mac, options.mtu)?;
        }
        let files: Vec<_> = files.into_iter().map(Arc::new).collect();
        Ok(Self {
            anchor: files.first().map(Arc::downgrade).unwrap_or_default(),
            queues: files.into_iter().map(halves_of).collect(),
            interface,
        })
    }

    /// The second half: gives the interface the MAC address and the MTU that its user is to have, sets it up, and sees to
    /// it that it stays.
    ///
    /// # Errors
    /// The interface is gone, or cannot be so.
    pub fn fit(
        interface: &mut Interface,
        anchor: &Weak<File>,
        mac: Option<MacAddress>,
        mtu: u32,
    ) -> io::Result<()> {
        set_up(interface, mac, mtu)?;
        match anchor.upgrade() {
            // Comes last, so that a TAP that cannot be set up vanishes.
            Some(file) => {
                set_persistent(&file, true).map_err(|error| setting_up_failed(interface, error))
            }
            None => Ok(()),
        }
    }

    /// Makes sure that a TAP can be opened. One that is there is left alone; one that is not is made, and vanishes again.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), but for what only shows when a TAP is attached to that somebody has already.
    pub fn check(options: &TapOptions<'_>) -> io::Result<()> {
        let (name, namespace) = (options.name, options.namespace);
        let there = Interface::open(name, namespace).and_then(|mut interface| interface.link());
        match there {
            Ok(link) if link.kind.as_deref() == Some("tun") => Ok(()),
            Ok(_) => Err(attaching_failed(name, namespace, Errno::INVAL.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::attach(options).map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the kernel remove a TAP as soon as no switch is attached to it any more.
    ///
    /// # Errors
    /// There is no such interface ([`io::ErrorKind::NotFound`]), it is not a switch's TAP, or this is not permitted.
    pub fn remove(name: &str, namespace: &Namespace) -> io::Result<()> {
        let interface = Interface::open(name, namespace)?;
        for file in attach(name, namespace, 1)? {
            set_persistent(&file, false).map_err(|error| setting_up_failed(&interface, error))?;
        }
        Ok(())
    }
}

/// Opens queues of a TAP. They belong to the namespace of the thread that opens them.
fn attach(name: &str, namespace: &Namespace, queues: usize) -> io::Result<Vec<File>> {
    namespace
        .run_inside(|| {
            (0..queues)
                .map(|_| attach_queue(name))
                .collect::<io::Result<_>>()
        })?
        .map_err(|error| attaching_failed(name, namespace, error))
}

fn attach_queue(name: &str) -> io::Result<File> {
    let mut request = interface_request(name)?;
    request.ifr_ifru.ifru_flags = FLAGS as c_short;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(CLONE_DEVICE)?;
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`.
    unsafe {
        ioctl(
            &file,
            Updater::<{ libc::TUNSETIFF as Opcode }, _>::new(&mut request),
        )?;
    }
    Ok(file)
}

fn agree_on_format(file: &File) -> io::Result<()> {
    const LENGTH: c_int = vnet_header::LENGTH_WITH_BUFFERS as c_int;
    // SAFETY: TUNSETVNETHDRSZ reads a C int, TUNSETOFFLOAD takes a number.
    unsafe {
        ioctl(
            file,
            Setter::<{ libc::TUNSETVNETHDRSZ as Opcode }, c_int>::new(LENGTH),
        )?;
        ioctl(
            file,
            IntegerSetter::<{ libc::TUNSETOFFLOAD as Opcode }>::new_usize(OFFLOADS as usize),
        )?;
    }
    Ok(())
}

fn set_persistent(file: &File, is_persistent: bool) -> io::Result<()> {
    // SAFETY: TUNSETPERSIST takes a number.
    unsafe {
        ioctl(
            file,
            IntegerSetter::<{ libc::TUNSETPERSIST as Opcode }>::new_usize(is_persistent.into()),
        )?;
    }
    Ok(())
}

fn set_up(interface: &mut Interface, mac: Option<MacAddress>, mtu: u32) -> io::Result<()> {
    let link = interface.link()?;
    if let Some(mac) = mac.filter(|&mac| link.mac != Some(mac)) {
        interface.set_mac(mac)?;
    }
    if link.mtu != mtu {
        interface.set_mtu(mtu)?;
    }
    interface.set_up()
}

fn attaching_failed(name: &str, namespace: &Namespace, error: io::Error) -> io::Error {
    let Some(errno) = Errno::from_io_error(&error) else {
        return error;
    };
    let reason = match errno {
        Errno::NOENT => format!(
            "{CLONE_DEVICE} does not exist; load the kernel's module with `modprobe tun`, or let the container have it"
        ),
        Errno::PERM | Errno::ACCESS => format!(
            "TAP {name} in {namespace} may not be opened; run as root, or with CAP_NET_ADMIN"
        ),
        Errno::BUSY => {
            format!("TAP {name} in {namespace} is in use; stop the program that is attached to it")
        }
        Errno::TOOBIG => format!("TAP {name} in {namespace} has no more queues; ask for fewer"),
        Errno::INVAL => format!(
            "interface {name} in {namespace} {}; choose another name, or delete it with `{} link delete {name}`",
            what_is_no_tap(name, namespace),
            namespace.ip()
        ),
        _ => format!("TAP {name} in {namespace} cannot be opened: {error}"),
    };
    io::Error::new(error.kind(), reason)
}

fn what_is_no_tap(name: &str, namespace: &Namespace) -> String {
    let link = Interface::open(name, namespace).and_then(|mut interface| interface.link());
    match link.ok().map(|link| link.kind) {
        Some(Some(kind)) if kind == "tun" => {
            "is a TUN, or a TAP made without `multi_queue`, which no switch can hand over"
                .to_owned()
        }
        Some(Some(kind)) => format!("is no TAP but of the kind {kind}"),
        _ => "is no TAP".to_owned(),
    }
}

fn setting_up_failed(interface: &Interface, error: io::Error) -> io::Error {
    let reason = format!("{interface} cannot be set up as a TAP: {error}");
    io::Error::new(error.kind(), reason)
}

fn halves_of(file: Arc<File>) -> (TapReceiver, TapSender) {
    let sender = TapSender {
        file: Arc::clone(&file),
    };
    (TapReceiver::new(file), sender)
}

/// The half of a TAP's queue that frames from its user come out of.
///
/// There is room for any MTU, so that it can change. A frame whose header contradicts it comes out empty.
#[derive(Debug)]
pub struct TapReceiver {
    file: Arc<File>,
    /// A place for each frame of a batch, its virtio-net header in front.
    places: Box<[u8]>,
    /// Bytes from one place to the next.
    spacing: usize,
    /// Bytes of a place that are read into: one more than may be, which tells a frame that was cut.
    room: usize,
    frames: [Arrived; BATCH],
}

#[derive(Debug, Clone, Copy, Default)]
struct Arrived {
    length: usize,
    offload: Offload,
}

impl TapReceiver {
    fn new(file: Arc<File>) -> Self {
        // Memory that no frame is ever read into is not taken.
        let room = vnet_header::LENGTH_WITH_BUFFERS + largest_frame(LARGEST_MTU) + 1;
        let spacing = spread(room);
        Self {
            file,
            places: vec![0; BATCH * spacing].into_boxed_slice(),
            spacing,
            room,
            frames: [Arrived::default(); BATCH],
        }
    }
}

impl Receiver for TapReceiver {
    fn readiness(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn fetch(&mut self) -> io::Result<usize> {
        let places = self.places.chunks_exact_mut(self.spacing);
        for (number, (place, frame)) in places.zip(&mut self.frames).enumerate() {
            let place = &mut place[..self.room];
            match rustix::io::read(&self.file, &mut *place) {
                Ok(length) if length < place.len() => *frame = Arrived::read(&place[..length]),
                Ok(_) => *frame = Arrived::default(),
                // What was fetched before an error is handed out first; the error comes again.
                Err(Errno::AGAIN) => return Ok(number),
                Err(_) if number > 0 => return Ok(number),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(BATCH)
    }

    fn frame(&self, number: usize) -> Received<'_> {
        let Arrived { length, offload } = self.frames[number];
        let start = number * self.spacing + vnet_header::LENGTH_WITH_BUFFERS;
        Received {
            bytes: &self.places[start..start + length],
            offload,
        }
    }
}

impl Arrived {
    fn read(place: &[u8]) -> Self {
        place
            .split_at_checked(vnet_header::LENGTH_WITH_BUFFERS)
            .and_then(|(header, frame)| {
                let offload = vnet_header::read(header.first_chunk()?, frame)?;
                Some(Self {
                    length: frame.len(),
                    offload,
                })
            })
            .unwrap_or_default()
    }
}

/// The half of a TAP's queue that frames to its user go into.
#[derive(Debug)]
pub struct TapSender {
    file: Arc<File>,
}

impl Sender for TapSender {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            checksum: true,
            segmentation: false,
        }
    }

    fn send(&mut self, frames: &mut [Outgoing<'_>]) {
        for frame in frames {
            let header = vnet_header::write(&frame.offload);
            let pieces = [&header[..], frame.front, frame.rest].map(IoSlice::new);
            frame.is_lost = rustix::io::writev(&self.file, &pieces).is_err();
        }
    }
}
