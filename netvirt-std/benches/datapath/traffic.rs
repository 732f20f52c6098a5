//! Frames: who sends what to whom, written into a ring of buffers.

use netvirt_core::datapath::Ingress;
use netvirt_core::{MacAddress, PortId, UplinkId};

use crate::cache::evict;
use crate::network::{Network, OWN_ADDRESS, OWN_MAC, PROVIDER_ROUTER_MAC, Reach, SUBNETS};

/// Bytes in front of a frame in its buffer.
pub const HEADROOM: usize = 128;
/// Bytes from one buffer to the next: 2 KiB, headroom, and what a packet library keeps about it. An odd number of
/// cache lines, so that the buffers do not all fall into the same sets.
pub const STRIDE: usize = 35 * 64;
/// Buffers that one pass takes; they stay in the second cache.
pub const PASS: usize = 256;
/// Bytes in front of the customer's Ethernet frame in an NVGRE packet over IPv4.
pub const TUNNEL_LENGTH: usize = 14 + 20 + 8;
const TCP_HEADERS: usize = 14 + 20 + 20;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a virtual machine.
    Out,
    /// From the provider network.
    In,
}

/// How often each record is the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Each as often as any other.
    Uniform,
    /// The second half as often as the first, the third a third: Zipf's law.
    Skewed,
}

/// A drawn sequence of records on other hosts.
pub struct Trace {
    records: Vec<u32>,
    next: usize,
}

impl Trace {
    const LENGTH: usize = 1 << 20;

    /// Draws from a network.
    pub fn draw(network: &Network, distribution: Distribution) -> Self {
        let remote = u64::from(network.records - SUBNETS);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let records = (0..Self::LENGTH)
            .map(|_| {
                let rank = match distribution {
                    Distribution::Uniform => random.below(remote),
                    Distribution::Skewed => (remote as f64).powf(random.unit()) as u64 - 1,
                };
                // Neighbours in rank are no neighbours in number.
                SUBNETS + (rank * 2_654_435_761 % remote) as u32
            })
            .collect();
        Self { records, next: 0 }
    }

    fn next(&mut self) -> (u32, u32) {
        let at = self.next;
        self.next = (at + 1) % Self::LENGTH;
        (self.records[at], at as u32)
    }
}

/// Xorshift: fast, and the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }
}

/// A TCP segment in its Ethernet frame.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// The Ethernet destination.
    pub destination_mac: MacAddress,
    /// The Ethernet source.
    pub source_mac: MacAddress,
    /// The IPv4 source.
    pub source: u32,
    /// The IPv4 destination.
    pub destination: u32,
    /// The TCP source port.
    pub port: u16,
    /// What is wrong with the IPv4 header checksum.
    pub damage: u16,
    /// The NVGRE tunnel it comes in.
    pub tunnel: Option<Tunnel>,
    /// Where it comes in.
    pub ingress: Ingress,
}

/// The outer header of an NVGRE packet.
#[derive(Debug, Clone, Copy)]
pub struct Tunnel {
    /// The provider address of the sender's host.
    pub source: u32,
    /// The provider address it is for.
    pub destination: u32,
    /// VSID << 8 | FlowID.
    pub key: u32,
}

impl Packet {
    /// The packet between a record elsewhere and the machine of its subnet on this host.
    pub fn typical(network: &Network, direction: Direction, far: u32, number: u32) -> Self {
        let near = Network::subnet(far);
        let (from, to) = match direction {
            Direction::Out => (near, far),
            Direction::In => (far, near),
        };
        let customer = Self {
            destination_mac: Network::mac(to),
            source_mac: Network::mac(from),
            source: Network::customer_address(from),
            destination: Network::customer_address(to),
            port: 1024 + (number.wrapping_mul(0x9e37_79b1) >> 17) as u16,
            damage: 0,
            tunnel: None,
            ingress: Ingress::Port(PortId(near)),
        };
        if direction == Direction::Out {
            return customer;
        }
        let ingress = Ingress::Uplink(UplinkId(0));
        match network.reach {
            Reach::Nvgre => Self {
                tunnel: Some(Tunnel {
                    source: Network::host_address(network.host(far)),
                    destination: OWN_ADDRESS,
                    key: Network::vsid(near).get() << 8 | number & 0xff,
                }),
                ingress,
                ..customer
            },
            Reach::Rewrite => Self {
                destination_mac: OWN_MAC,
                source_mac: PROVIDER_ROUTER_MAC,
                source: Network::rewrite_address(from),
                destination: Network::rewrite_address(to),
                ingress,
                ..customer
            },
        }
    }

    /// The length of the frame around a customer's frame of that length.
    pub const fn length(&self, customer: usize) -> usize {
        match self.tunnel {
            Some(_) => TUNNEL_LENGTH + customer,
            None => customer,
        }
    }

    /// Writes the headers; the payload is zero.
    #[inline]
    pub fn write(&self, frame: &mut [u8]) {
        match &self.tunnel {
            None => self.write_customer(frame),
            Some(tunnel) => {
                let (outer, customer) = frame.split_at_mut(TUNNEL_LENGTH);
                write_ethernet(outer, OWN_MAC, PROVIDER_ROUTER_MAC);
                let length = 20 + 8 + customer.len();
                write_ipv4(
                    &mut outer[14..34],
                    length,
                    47,
                    tunnel.source,
                    tunnel.destination,
                );
                outer[34..38].copy_from_slice(&[0x20, 0, 0x65, 0x58]);
                outer[38..42].copy_from_slice(&tunnel.key.to_be_bytes());
                self.write_customer(customer);
            }
        }
    }

    fn write_customer(&self, frame: &mut [u8]) {
        write_ethernet(frame, self.destination_mac, self.source_mac);
        let length = frame.len() - 14;
        write_ipv4(&mut frame[14..34], length, 6, self.source, self.destination);
        let [a, b] = self.damage.to_be_bytes();
        frame[24] ^= a;
        frame[25] ^= b;
        let tcp: &mut [u8; 20] = (&mut frame[34..54]).try_into().expect("20 bytes");
        *tcp = [
            0, 0, 1, 187, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 16, 0, 0, 0, 0, 0,
        ];
        tcp[..2].copy_from_slice(&self.port.to_be_bytes());
        let pseudo = sum(&self.source.to_be_bytes())
            + sum(&self.destination.to_be_bytes())
            + 6
            + (length - 20) as u32;
        let checksum = !fold(pseudo + sum(tcp));
        tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
        // Where another frame's headers may have been before.
        let end = frame.len().min(TCP_HEADERS + TUNNEL_LENGTH);
        frame[TCP_HEADERS..end].fill(0);
    }
}

fn write_ethernet(frame: &mut [u8], destination: MacAddress, source: MacAddress) {
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
    frame[12..14].copy_from_slice(&[8, 0]);
}

fn write_ipv4(header: &mut [u8], length: usize, protocol: u8, source: u32, destination: u32) {
    let header: &mut [u8; 20] = header.try_into().expect("20 bytes");
    *header = [
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    header[12..16].copy_from_slice(&source.to_be_bytes());
    header[16..20].copy_from_slice(&destination.to_be_bytes());
    let checksum = !fold(sum(header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks_exact(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum()
}

const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Buffers, and what the adapter knows of each: where its frame came in.
pub struct Ring {
    buffers: Vec<u8>,
    ingress: Vec<Ingress>,
    /// The first buffer of the next pass.
    next: usize,
}

/// The frames that are given to one pass.
pub struct Pass<'r> {
    /// Their buffers, one after another.
    pub buffers: &'r mut [u8],
    /// Where they came in.
    pub ingress: &'r [Ingress],
}

impl Ring {
    /// So many buffers, a multiple of those of a pass.
    pub fn new(buffers: usize) -> Self {
        Self {
            buffers: vec![0; buffers * STRIDE],
            ingress: vec![Ingress::Uplink(UplinkId(0)); buffers],
            next: 0,
        }
    }

    /// The first buffers, filled with frames that the caches still hold.
    pub fn hot(&mut self, length: usize, mut packet: impl FnMut() -> Packet) -> Pass<'_> {
        self.fill(0..PASS, length, &mut packet);
        self.pass(0)
    }

    /// The next buffers of the ring, filled long ago and in no cache.
    pub fn cold(&mut self, length: usize, mut packet: impl FnMut() -> Packet) -> Pass<'_> {
        if self.next == 0 {
            self.fill(0..self.ingress.len(), length, &mut packet);
            for buffer in self.buffers.chunks(STRIDE) {
                evict(&buffer[..2 * HEADROOM]);
            }
        }
        let first = self.next;
        self.next = (first + PASS) % self.ingress.len();
        self.pass(first)
    }

    /// The bytes of all buffers.
    pub fn buffers(&self) -> &[u8] {
        &self.buffers
    }

    /// Fills the ring anew before the next cold pass.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    fn pass(&mut self, first: usize) -> Pass<'_> {
        Pass {
            buffers: &mut self.buffers[first * STRIDE..(first + PASS) * STRIDE],
            ingress: &self.ingress[first..first + PASS],
        }
    }

    fn fill(
        &mut self,
        range: std::ops::Range<usize>,
        length: usize,
        packet: &mut impl FnMut() -> Packet,
    ) {
        let buffers = self.buffers.chunks_mut(STRIDE).zip(&mut self.ingress);
        for (buffer, ingress) in buffers.skip(range.start).take(range.len()) {
            let packet = packet();
            *ingress = packet.ingress;
            packet.write(&mut buffer[HEADROOM..HEADROOM + packet.length(length)]);
        }
    }
}

impl Trace {
    /// The next typical packet.
    pub fn packet(&mut self, network: &Network, direction: Direction) -> Packet {
        let (far, number) = self.next();
        Packet::typical(network, direction, far, number)
    }
}

const _: () = assert!(TCP_HEADERS <= 64 && HEADROOM >= netvirt_core::edit::HEADROOM);
