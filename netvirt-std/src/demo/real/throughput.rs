//! How fast TCP is from one namespace to another.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use netvirt_core::Prefix;

use super::links::{self, End};
use super::namespace::{Ipv6, Space};
use super::pause::Pauses;
use super::site::NIC;
use crate::demo::DemoError;

/// Every way is measured so often, in turn, for what else the computer does should strike all of them alike.
const ROUNDS: u32 = 3;
const ROUND: Duration = Duration::from_millis(300);
/// A way that carries nothing for so long carries nothing at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are handed to the kernel, or taken from it, at once.
const CHUNK: usize = 128 << 10;
/// Where the receiver is, wherever that is.
const RECEIVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
const PORT: u16 = 5001;

/// Two namespaces with nothing but a pair of interfaces between them.
pub struct Pair {
    /// One of them.
    pub from: Space,
    /// The other.
    pub to: Space,
}

impl Pair {
    /// Makes them. The addresses are those of machines in the demo's network.
    ///
    /// # Errors
    /// It is not permitted.
    pub fn new() -> io::Result<Self> {
        let pair = Self {
            from: Space::new(Ipv6::Off)?,
            to: Space::new(Ipv6::Off)?,
        };
        let end = |space| End {
            space,
            name: NIC,
            mac: None,
        };
        links::add_pair(end(&pair.from), end(&pair.to), 1500)?;
        let subnet = Prefix::new([10, 0, 0, 0].into(), 24).expect("10.0.0.0/24 is a prefix");
        links::add_address(&pair.from, NIC, [10, 0, 0, 5].into(), subnet)?;
        links::add_address(&pair.to, NIC, RECEIVER, subnet)?;
        Ok(pair)
    }

    /// Has the kernel cut what it sends into packets before it sends them.
    ///
    /// # Errors
    /// It is not permitted.
    pub fn disable_segmentation_offload(&self) -> io::Result<()> {
        for space in [&self.from, &self.to] {
            links::disable_segmentation_offload(space, NIC)?;
        }
        Ok(())
    }
}

/// A way for TCP.
pub struct Way<'w> {
    /// What it is called.
    pub name: &'static str,
    /// Where the sender is.
    pub from: &'w Space,
    /// Where the receiver is.
    pub to: &'w Space,
}

/// How fast a way is.
#[derive(Debug, Clone, PartialEq)]
pub struct Throughput {
    /// What it is called.
    pub way: &'static str,
    /// Bits per second.
    pub bits_per_second: f64,
}

/// Measures several ways.
///
/// # Errors
/// Nothing comes through, or somebody interrupts.
pub fn measure(ways: &[Way<'_>], pauses: &mut Pauses) -> Result<Vec<Throughput>, DemoError> {
    let mut carried = vec![Carried::default(); ways.len()];
    for _ in 0..ROUNDS {
        for (way, carried) in ways.iter().zip(&mut carried) {
            pauses.pause(Duration::ZERO)?;
            let round = carry(way).map_err(|error| DemoError::Throughput(way.name, error))?;
            carried.bytes += round.bytes;
            carried.time += round.time;
        }
    }
    let throughputs = ways.iter().zip(carried);
    Ok(throughputs
        .map(|(way, carried)| Throughput {
            way: way.name,
            bits_per_second: carried.bytes as f64 * 8.0 / carried.time.as_secs_f64(),
        })
        .collect())
}

#[derive(Debug, Clone, Copy, Default)]
struct Carried {
    bytes: usize,
    time: Duration,
}

fn carry(way: &Way<'_>) -> io::Result<Carried> {
    let place = SocketAddr::new(RECEIVER, PORT);
    let server = way.to.run_inside(|| TcpListener::bind(place))??;
    thread::scope(|scope| {
        let connect = || TcpStream::connect_timeout(&place, PATIENCE);
        let sender = way.from.run_inside(connect)??;
        let (receiver, _) = server.accept()?;
        let sending = scope.spawn(move || send(sender));
        let received = receive(receiver);
        sending
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        received
    })
}

fn send(mut stream: TcpStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let chunk = vec![0x5a; CHUNK];
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        stream.write_all(&chunk)?;
    }
    Ok(())
}

/// Receives to the end. The time begins with the first bytes.
fn receive(mut stream: TcpStream) -> io::Result<Carried> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    let _ = stream.read(&mut chunk)?;
    let start = Instant::now();
    loop {
        match stream.read(&mut chunk)? {
            0 => break,
            length => bytes += length,
        }
    }
    Ok(Carried {
        bytes,
        time: start.elapsed(),
    })
}
