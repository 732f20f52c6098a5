//! Frames written independently of the core: every length and checksum is computed from scratch.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netvirt_core::MacAddress;

/// Reads hexadecimal digits; white space is ignored.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The Internet checksum of bytes, complemented.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = octets(source);
    bytes.extend(octets(destination));
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

/// Where the checksum lies that covers the addresses, or the message.
fn checksum_at(source: IpAddr, protocol: u8) -> Option<usize> {
    match protocol {
        6 => Some(16),
        17 | 33 | 136 => Some(6),
        1 => Some(2),
        58 if source.is_ipv6() => Some(2),
        _ => None,
    }
}

/// Writes the transport checksum that belongs there; 0 becomes 0xFFFF in UDP.
pub fn fill_transport(source: IpAddr, destination: IpAddr, protocol: u8, segment: &mut [u8]) {
    let Some(at) = checksum_at(source, protocol).filter(|at| at + 2 <= segment.len()) else {
        return;
    };
    segment[at..at + 2].fill(0);
    let mut covered = match protocol {
        1 => vec![],
        _ => pseudo_header(source, destination, protocol, segment.len()),
    };
    covered.extend(&*segment);
    let sum = match checksum(&covered) {
        0 if protocol == 17 || protocol == 136 => 0xffff,
        sum => sum,
    };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// An IP packet in an Ethernet frame, in the making.
#[derive(Debug, Clone)]
pub struct Packet {
    pub destination_mac: MacAddress,
    pub source_mac: MacAddress,
    /// Tags between source MAC and EtherType: TPID and TCI.
    pub tags: Vec<(u16, u16)>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    pub traffic_class: u8,
    pub identification: u16,
    /// IPv4: flags and offset word. IPv6: a fragment header if it is not 0x4000 (its offset in units of 8, 0x2000
    /// for more).
    pub fragment: u16,
    pub ipv4_options: Vec<u8>,
    /// IPv6: number and bytes of each extension header, the first byte of which is replaced.
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub protocol: u8,
    pub transport: Vec<u8>,
    /// Bytes of padding behind the packet.
    pub padding: usize,
}

const DONT_FRAGMENT: u16 = 0x4000;

impl Packet {
    /// A packet whose transport bytes stand as given.
    pub fn raw(source: &str, destination: &str, protocol: u8, transport: &[u8]) -> Self {
        Self {
            destination_mac: MacAddress([0x06; 6]),
            source_mac: MacAddress([0x04; 6]),
            tags: vec![],
            source: ip(source),
            destination: ip(destination),
            hop_limit: 64,
            traffic_class: 0,
            identification: 0x1234,
            fragment: DONT_FRAGMENT,
            ipv4_options: vec![],
            extensions: vec![],
            protocol,
            transport: transport.to_vec(),
            padding: 0,
        }
    }

    pub fn checked(mut self) -> Self {
        fill_transport(
            self.source,
            self.destination,
            self.protocol,
            &mut self.transport,
        );
        self
    }

    pub fn udp(source: &str, destination: &str, payload: &[u8]) -> Self {
        let mut segment = [1111u16.to_be_bytes(), 2222u16.to_be_bytes()].concat();
        segment.extend((8 + payload.len() as u16).to_be_bytes());
        segment.extend([0, 0]);
        segment.extend(payload);
        Self::raw(source, destination, 17, &segment).checked()
    }

    pub fn tcp(source: &str, destination: &str, payload: &[u8]) -> Self {
        let mut segment = hex("04d2 0050 00000001 00000002 5018 ffff 0000 0000");
        segment.extend(payload);
        Self::raw(source, destination, 6, &segment).checked()
    }

    /// An echo request of the addresses' version.
    pub fn echo(source: &str, destination: &str, payload: &[u8]) -> Self {
        let (protocol, kind) = if ip(source).is_ipv4() {
            (1, 8)
        } else {
            (58, 128)
        };
        Self::icmp(source, destination, protocol, kind, payload)
    }

    pub fn icmp(source: &str, destination: &str, protocol: u8, kind: u8, payload: &[u8]) -> Self {
        let mut message = vec![kind, 0, 0, 0, 0x12, 0x34, 0, 1];
        message.extend(payload);
        Self::raw(source, destination, protocol, &message).checked()
    }

    /// A UDP datagram whose IP packet is `length` bytes long.
    pub fn of_length(source: &str, destination: &str, length: usize) -> Self {
        let headers = if ip(source).is_ipv4() { 28 } else { 48 };
        Self::udp(source, destination, &vec![0x5a; length - headers])
    }

    pub fn between(mut self, source: MacAddress, destination: MacAddress) -> Self {
        (self.source_mac, self.destination_mac) = (source, destination);
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The Ethernet frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = self.destination_mac.0.to_vec();
        frame.extend(self.source_mac.0);
        for (kind, control) in &self.tags {
            frame.extend(kind.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(if self.source.is_ipv4() {
            [0x08, 0x00]
        } else {
            [0x86, 0xdd]
        });
        frame.extend(self.ip_packet());
        frame.resize(frame.len() + self.padding, 0xee);
        frame
    }

    pub fn ip_packet(&self) -> Vec<u8> {
        match self.source {
            IpAddr::V4(_) => self.ipv4_packet(),
            IpAddr::V6(_) => self.ipv6_packet(),
        }
    }

    fn ipv4_packet(&self) -> Vec<u8> {
        let header_length = 20 + self.ipv4_options.len();
        let mut packet = vec![0x40 | (header_length / 4) as u8, self.traffic_class];
        packet.extend(((header_length + self.transport.len()) as u16).to_be_bytes());
        packet.extend(self.identification.to_be_bytes());
        packet.extend(self.fragment.to_be_bytes());
        packet.extend([self.hop_limit, self.protocol, 0, 0]);
        packet.extend(octets(self.source));
        packet.extend(octets(self.destination));
        packet.extend(&self.ipv4_options);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(&self.transport);
        packet
    }

    fn ipv6_packet(&self) -> Vec<u8> {
        let mut extensions = self.extensions.clone();
        if self.fragment != DONT_FRAGMENT {
            let more = u16::from(self.fragment & 0x2000 != 0);
            let word = ((self.fragment & 0x1fff) << 3 | more).to_be_bytes();
            extensions.push((44, [&[0, 0], &word[..], &[0, 0, 0x12, 0x34]].concat()));
        }
        let length: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum();
        let class = self.traffic_class;
        let mut packet = vec![0x60 | class >> 4, class << 4, 0, 0];
        packet.extend(((length + self.transport.len()) as u16).to_be_bytes());
        let mut numbers: Vec<u8> = extensions.iter().map(|(number, _)| *number).collect();
        numbers.push(self.protocol);
        packet.extend([numbers[0], self.hop_limit]);
        packet.extend(octets(self.source));
        packet.extend(octets(self.destination));
        for ((_, bytes), next) in extensions.iter().zip(&numbers[1..]) {
            packet.push(*next);
            packet.extend(&bytes[1..]);
        }
        packet.extend(&self.transport);
        packet
    }
}

/// An NVGRE tunnel's outer headers, in the making.
#[derive(Debug, Clone)]
pub struct Tunnel {
    pub destination_mac: MacAddress,
    pub source_mac: MacAddress,
    pub tags: Vec<(u16, u16)>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    pub traffic_class: u8,
    pub flow_label: u32,
    pub ipv4_options: Vec<u8>,
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub fragment: u16,
    pub gre_flags: u16,
    pub gre_protocol: u16,
    pub vsid: u32,
    pub flow_id: u8,
    pub padding: usize,
}

impl Tunnel {
    pub fn gre(&self, inner: &[u8]) -> Vec<u8> {
        let mut gre = self.gre_flags.to_be_bytes().to_vec();
        gre.extend(self.gre_protocol.to_be_bytes());
        if self.gre_flags & 0x8000 != 0 {
            gre.extend([0; 4]);
        }
        if self.gre_flags & 0x2000 != 0 {
            gre.extend((self.vsid << 8 | u32::from(self.flow_id)).to_be_bytes());
        }
        if self.gre_flags & 0x1000 != 0 {
            gre.extend(42u32.to_be_bytes());
        }
        gre.extend(inner);
        if self.gre_flags & 0x8000 != 0 {
            let sum = checksum(&gre);
            gre[4..6].copy_from_slice(&sum.to_be_bytes());
        }
        gre
    }

    /// The outer packet around these bytes, as it is before padding and link.
    pub fn packet(&self, payload: &[u8]) -> Packet {
        Packet {
            destination_mac: self.destination_mac,
            source_mac: self.source_mac,
            tags: self.tags.clone(),
            source: self.source,
            destination: self.destination,
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            identification: 0,
            fragment: self.fragment,
            ipv4_options: self.ipv4_options.clone(),
            extensions: self.extensions.clone(),
            protocol: 47,
            transport: payload.to_vec(),
            padding: self.padding,
        }
    }

    /// The whole frame around an inner frame.
    pub fn wrap(&self, inner: &[u8]) -> Vec<u8> {
        let packet = self.packet(&self.gre(inner));
        let mut frame = packet.frame();
        if self.source.is_ipv6() {
            let at = 14 + 4 * self.tags.len();
            frame[at + 1] |= (self.flow_label >> 16) as u8 & 0x0f;
            frame[at + 2..at + 4].copy_from_slice(&(self.flow_label as u16).to_be_bytes());
        }
        frame
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// An ARP message in a frame.
pub fn arp(
    (destination, source): (MacAddress, MacAddress),
    operation: u16,
    sender: (MacAddress, &str),
    target: (MacAddress, &str),
) -> Vec<u8> {
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let mut frame = destination.0.to_vec();
    frame.extend(source.0);
    frame.extend(hex("0806 0001 0800 0604"));
    frame.extend(operation.to_be_bytes());
    frame.extend(sender.0.0);
    frame.extend(address(sender.1));
    frame.extend(target.0.0);
    frame.extend(address(target.1));
    frame
}

/// A broadcast ARP request.
pub fn arp_request(sender: (MacAddress, &str), target: &str) -> Vec<u8> {
    let links = (MacAddress::BROADCAST, sender.0);
    arp(links, 1, sender, (MacAddress::ZERO, target))
}

/// The solicited-node group of an address, and its MAC address.
pub fn solicited_node(target: &str) -> (Ipv6Addr, MacAddress) {
    let [.., a, b, c] = target.parse::<Ipv6Addr>().unwrap().octets();
    let low = u128::from(u32::from_be_bytes([0xff, a, b, c]));
    let group = Ipv6Addr::from(0xff02_0000_0000_0000_0000_0001_0000_0000 | low);
    (group, MacAddress([0x33, 0x33, 0xff, a, b, c]))
}

/// A neighbour solicitation to the solicited-node group; `::` as the source makes it a probe.
pub fn solicitation(sender: (MacAddress, &str), target: &str) -> Packet {
    let (group, group_mac) = solicited_node(target);
    let mut message = hex("8700 0000 00000000");
    message.extend(octets(ip(target)));
    if sender.1 != "::" {
        message.extend([1, 1]);
        message.extend(sender.0.0);
    }
    Packet::raw(sender.1, &group.to_string(), 58, &message)
        .with(|packet| packet.hop_limit = 255)
        .checked()
        .between(sender.0, group_mac)
}

/// A neighbour advertisement; `flags` are R 0x80, S 0x40, O 0x20.
pub fn advertisement(
    sender: (MacAddress, &str),
    receiver: (MacAddress, &str),
    flags: u8,
    target: (&str, MacAddress),
) -> Packet {
    let mut message = vec![136, 0, 0, 0, flags, 0, 0, 0];
    message.extend(octets(ip(target.0)));
    message.extend([2, 1]);
    message.extend(target.1.0);
    Packet::raw(sender.1, receiver.1, 58, &message)
        .with(|packet| packet.hop_limit = 255)
        .checked()
        .between(sender.0, receiver.0)
}
