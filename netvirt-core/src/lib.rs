//! The network-virtualization datapath: NVGRE encapsulation and IP rewrite between customer and provider
//! addresses, for switches, SmartNICs and firmware.
//!
//! Many tenants share one physical network, and each believes that it owns it. A virtual machine keeps its customer
//! address (CA) wherever it runs; the physical network sees provider addresses (PA) only; a 24-bit virtual subnet id
//! (VSID) keeps tenants apart even where their addresses overlap. This crate decides what happens to each frame, and
//! does it. Ports, threads and clocks are the adapter's.
//!
//! # A packet's way
//!
//! ```text
//!            bytes               facts             decision                bytes
//! port ─────► wire::parse ─────► datapath ───────► Verdict { edit } ─────► Edit::apply ─────► port
//!                                   ▲   guard:   may this sender say this?
//!                                   │   proxy:   can the host answer it (ARP, ND, ICMP)?
//!                                   │   resolve: (VSID, CA) → record → local port, other host, or gateway
//!                                policy          tables, only read while packets flow
//!                                   ▲
//!                               transaction      all or nothing
//! ```
//!
//! # Quick start
//!
//! A policy in static storage, one transaction, one frame out:
//!
//! ```
//! # use std::sync::Mutex;
//! # use std::time::Duration;
//! use netvirt_core::counters::Counters;
//! use netvirt_core::datapath::{Frame, Ingress, Outcome, Worker};
//! use netvirt_core::edit::HEADROOM;
//! use netvirt_core::policy::*;
//! use netvirt_core::table::Seed;
//! use netvirt_core::*;
//!
//! // Packets read one copy while a transaction edits the other.
//! static STORAGE: Mutex<[Profile256; 2]> = Mutex::new([const { Profile256::new() }; 2]);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut storage = STORAGE.lock()?;
//! let seed = Seed::new(1, 2); // better: drawn at random
//! let [first, second] = storage.each_mut().map(|copy| copy.policy(seed));
//! let mut policies = Policies::new(first, second);
//!
//! let (vsid, domain, port, uplink) = (Vsid::new(5001)?, DomainId(0), PortId(0), UplinkId(0));
//! let (this_host, other_host) = (HostId(0), HostId(1));
//! let mac = |last| MacAddress([2, 0, 0, 0, 0, last]);
//! let pa = |last| ProviderAddress::new([192, 168, 4, last].into());
//! let record = |last, location| CustomerAddress::new([10, 0, 0, last].into()).map(|address| LookupRecord {
//!     vsid,
//!     kind: RecordKind::Static(address),
//!     mac: mac(last),
//!     location,
//!     previous: None,
//!     method: Method::Encapsulate,
//! });
//! let mut encoded = [0; 1024];
//! let mut writer = TransactionWriter::new(&mut encoded);
//! for change in [
//!     Change::SetSettings(Settings::new(this_host, mac(1))),
//!     Change::AddProviderAddress(HostAddress {
//!         address: pa(11)?, prefix_length: 24, uplink, mac: mac(11), vlan: None, mtu: 1600,
//!         state: AddressState::Preferred,
//!     }),
//!     Change::AddHost(other_host),
//!     Change::AddHostAddress(other_host, pa(22)?),
//!     Change::SetNeighbour(Neighbour { uplink, address: pa(22)?, mac: mac(22) }),
//!     Change::AddDomain(domain),
//!     Change::AddSubnet { vsid, domain },
//!     Change::AddCustomerRoute(CustomerRoute {
//!         vsid, prefix: "10.0.0.0/24".parse()?, target: RouteTarget::OnLink, metric: 0,
//!     }),
//!     Change::AddPort(Port { port, vsid: Some(vsid), mac: mac(5) }),
//!     Change::AddRecord(record(5, Location::Port(port))?),
//!     Change::AddRecord(record(7, Location::Host(other_host))?),
//! ] {
//!     writer.push(&change)?;
//! }
//! policies.apply(Transaction::new(writer.finish()))?;
//!
//! // An empty IPv4 packet from 10.0.0.5 to 10.0.0.7, behind room for what is put in front of it.
//! let received = b"\x02\0\0\0\0\x07\x02\0\0\0\0\x05\x08\0\
//!     \x45\0\0\x14\0\0\x40\0\x40\xfd\x25\xe2\x0a\0\0\x05\x0a\0\0\x07";
//! let mut buffer = [0; HEADROOM + 34];
//! buffer[HEADROOM..].copy_from_slice(received);
//!
//! let counters = Counters::new((&mut [][..]).into(), (&mut [][..]).into());
//! let mut worker = Worker::new(counters, (&mut [][..]).into());
//! let now = Duration::ZERO; // since any moment that stays the same
//! let verdict = worker.process(policies.live(), &Frame::whole(Ingress::Port(port), received), now);
//! let Outcome::Transmit { edit, .. } = verdict.outcome else { panic!("{verdict:?}") };
//! let place = edit.apply_in_place(&mut buffer, HEADROOM..HEADROOM + 34)?;
//!
//! let sent = &buffer[place];
//! assert_eq!(sent[34..41], [0x20, 0, 0x65, 0x58, 0, 0x13, 0x89]); // GRE with a key, Ethernet, VSID 5001
//! assert_eq!(sent[42..], received[..]);
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! | Module | What is in it |
//! |---|---|
//! | [`address`] | VSID, MAC address, CA, PA and the numbers of hosts and ports: validated once, at the edge |
//! | [`wire`] | bytes and their meaning, one protocol a file; a frame is read in one pass |
//! | [`checksum`] | Internet checksums, and what a change of addresses does to them |
//! | [`offload`] | work that a NIC may still have to do, carried beside each frame, and the same work in software |
//! | [`table`] | exact match and longest prefix, in storage of the caller |
//! | [`policy`] | what the operator said, and the transactions that change it |
//! | [`edit`] | what is to be done to a frame, as plain data: in place, into another buffer, or detached |
//! | [`proxy`] | answers that the host gives for the network: ARP, ND, ICMP echo |
//! | [`datapath`] | the decision about a frame, outbound and inbound, one by one or in batches |
//! | [`counters`] | every frame counted once, whatever became of it |
//! | [`limit`] | how often something may happen |
//! | [`trace`] | the observer that is told every step of a decision |
//!
//! # The laws
//!
//! 1. Pure: no allocation, no `unsafe`, no I/O, no clock, no randomness; time and seeds are arguments.
//! 2. No function that a packet meets can panic, whatever the bytes.
//! 3. What no policy allows is dropped, for exactly one [`DropReason`](datapath::DropReason), and counted.
//! 4. The VSID comes from the port, never from the packet; no frame leaves its routing domain unless a peering or a
//!    gateway carries it.
//! 5. A policy changes by whole transactions, in storage of fixed size; nothing grows with traffic.
//!
//! The feature `alloc` lets tables own their storage. Nothing else depends on it.
#![no_std]
#![forbid(unsafe_code)]

// The name under which the helpers of the integration tests know this crate.
#[cfg(test)]
extern crate self as netvirt_core;
#[cfg(test)]
extern crate std;

pub mod address;
pub mod checksum;
pub mod counters;
pub mod datapath;
pub mod edit;
pub mod limit;
pub mod offload;
pub mod policy;
pub mod proxy;
pub mod table;
pub mod trace;
pub mod wire;

pub use address::{
    AddressBits, CustomerAddress, DomainId, Family, HostId, InvalidAddress, MacAddress, PortId,
    Prefix, ProviderAddress, ProviderGroup, UplinkId, VlanId, Vsid,
};
