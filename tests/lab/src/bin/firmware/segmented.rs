//! What a host leaves to be cut: super-frames of TCP, handed to the NIC with the work beside them. What leaves into the wire is what
//! the core makes of the segments if they come one by one, as the core's own tests write them from scratch; but the outer
//! identification counts on.

use std::fs;
use std::path::Path;

use netvirt_core::MacAddress;
use netvirt_core::datapath::{DropReason, Frame, Ingress};
use netvirt_std::counters::CounterReport;
use netvirt_std::policy_file::{HostPolicy, MachineInfo, PolicyFile, PortInfo};

use crate::attached::Attached;
use crate::super_frames::{ACK, CWR, FIN, PSH, Super, tcp};
use crate::support::hosts::Nve;
use crate::{Outcome, checksum, same};

const POLICY: &str = "tests/rows/network.toml";
const HOST: &str = "host-1";
/// Who sends to whom: by NVGRE and by rewrite, within a subnet and routed.
const WALKS: [(&str, &str); 4] = [
    ("blue-a", "blue-b"),
    ("blue-a", "blue-c"),
    ("green-a", "green-b"),
    ("green-a", "green-c"),
];
const ROUTER: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
/// Two of no operation and a timestamp (RFC 7323 §3.2).
const OPTIONS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 5];

/// Compares all walks.
pub fn compare(image: &str) -> Outcome {
    let text = fs::read_to_string(POLICY)?;
    let file = PolicyFile::parse(&text, "network.toml").map_err(|errors| errors.to_string())?;
    let host = file.for_host(HOST)?;
    let mut walk = Walk {
        nic: Attached::boot(image, Path::new(POLICY), &host)?,
        whole: Nve::new(&host.changes),
        one_by_one: Nve::new(&host.changes),
    };
    let (mut count, mut segments) = (0, 0);
    for (from, to) in WALKS {
        let (from, to) = (port(&host, from)?, machine(&host, to)?);
        for version in 0..2 {
            for whole in super_frames(version, longest_payload(image)) {
                let whole = between(whole, from, to, version);
                let compared = walk.compare(from, &whole);
                segments +=
                    compared.map_err(|why| format!("from {} to {}: {why}", from.name, to.name))?;
                count += 1;
            }
        }
        walk.is_refused(from, &between(tcp(0, ACK, &[], 1000), from, to, 0))?;
    }
    walk.nic.expect_end(&CounterReport::new(
        walk.whole.worker.counters(),
        walk.whole.policies.live(),
        &host,
        None,
    ))?;
    println!(
        "  {count} super-frames: {segments} segments leave byte for byte as if they had come one by one, all counters are the same"
    );
    Ok(())
}

/// Bytes of the longest payload that a NIC has buffers for.
fn longest_payload(image: &str) -> usize {
    match image {
        "smartnic-riscv32" => 1700,
        _ => 14_000,
    }
}

fn super_frames(version: usize, longest: usize) -> [Super; 4] {
    let tcp = |flags, options: &[u8], length, size| {
        tcp(version, flags, options, length).with(|whole| whole.size = size)
    };
    [
        tcp(FIN | PSH | ACK | CWR, &OPTIONS, longest, 1400),
        // The last segment is as long as the others.
        tcp(PSH | ACK, &[], 1500, 250),
        // Odd lengths.
        tcp(ACK, &OPTIONS, 1001, 333),
        // One segment.
        tcp(PSH | ACK, &[], 100, 1400),
    ]
}

fn between(whole: Super, from: &PortInfo, to: &MachineInfo, version: usize) -> Super {
    let first_hop = if from.vsid == to.vsid { to.mac } else { ROUTER };
    whole.with(|whole| {
        whole.packet = whole.packet.clone().between(from.mac, first_hop);
        whole.packet.source = from.addresses[version].get();
        whole.packet.destination = to.addresses[version].get();
    })
}

/// A NIC, and what the core would count and send in its place.
struct Walk<'h> {
    nic: Attached<'h>,
    /// Takes the super-frames.
    whole: Nve,
    /// Takes their segments.
    one_by_one: Nve,
}

impl Walk<'_> {
    /// Yields the number of segments.
    fn compare(&mut self, from: &PortInfo, whole: &Super) -> Outcome<usize> {
        let (frame, offload) = (whole.frame(), whole.offload());
        self.nic.send(from.port, &frame, offload)?;
        self.whole.process(&Frame {
            offload,
            ..Frame::whole(Ingress::Port(from.port), &frame)
        });
        let segments = whole.expected();
        for (number, segment) in segments.iter().enumerate() {
            let (port, vsid) = (from.port.0, from.vsid.get());
            let mut expected = self.one_by_one.transmits(port, vsid, segment);
            count_on(&mut expected, number as u16);
            same(&self.nic.transmitted()?, &expected)?;
        }
        Ok(segments.len())
    }

    /// What cannot be cut goes nowhere, and is counted.
    fn is_refused(&mut self, from: &PortInfo, whole: &Super) -> Outcome {
        let frame = whole.frame();
        let mut offload = whole.offload();
        if let Some(work) = &mut offload.segmentation {
            work.header_length -= 1;
        }
        self.nic.send(from.port, &frame, offload)?;
        let frame = Frame {
            offload,
            ..Frame::whole(Ingress::Port(from.port), &frame)
        };
        let Nve {
            policies,
            worker,
            now,
            ..
        } = &mut self.whole;
        let verdict = worker.process(policies.live(), &frame, *now);
        worker
            .counters_mut()
            .lost(&frame, &verdict, DropReason::SuperFrame);
        Ok(())
    }
}

/// The outer IPv4 header of NVGRE gets this identification.
fn count_on(frame: &mut [u8], identification: u16) {
    let is_nvgre_over_ipv4 = frame[12..14] == [8, 0] && frame[23] == 47;
    if is_nvgre_over_ipv4 {
        let header = &mut frame[14..34];
        header[4..6].copy_from_slice(&identification.to_be_bytes());
        header[10..12].fill(0);
        let checksum = checksum(header);
        header[10..12].copy_from_slice(&checksum);
    }
}

fn port<'h>(host: &'h HostPolicy, name: &str) -> Outcome<&'h PortInfo> {
    let port = host.ports.iter().find(|port| port.name == name);
    Ok(port.ok_or("no such port")?)
}

fn machine<'h>(host: &'h HostPolicy, name: &str) -> Outcome<&'h MachineInfo> {
    let machine = host.machines.iter().find(|machine| machine.name == name);
    Ok(machine.ok_or("no such machine")?)
}
