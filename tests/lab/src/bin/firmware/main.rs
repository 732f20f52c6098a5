//! Boots firmware images under QEMU, exchanges frames with them, and compares what comes out byte for byte.
//!
//! ```text
//! firmware dpu-aarch64 smartnic-riscv32 mcu-cortex-m4
//! ```

mod attached;
mod device;
mod downloads;
mod management;
mod rows;
mod segmented;
mod site;
#[allow(dead_code, reason = "the core's own tests use all of it")]
#[path = "../../../../../netvirt-core/tests/offload/super_frames.rs"]
mod super_frames;
mod support;
mod tcp;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use netvirt_lab::board::{Board, Cable, Socket};

/// Boots firmware images, as netvirt-fw/images/build leaves them, and exchanges frames with them.
#[derive(Parser)]
struct Arguments {
    /// The images.
    #[arg(required = true)]
    images: Vec<String>,
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for image in Arguments::parse().images {
        println!("{image}");
        let outcome = match image.as_str() {
            "mcu-cortex-m4" => device::is_a_tenant(&image),
            _ => two_cables(&image),
        };
        if let Err(why) = outcome {
            eprintln!("{image}: FAILED: {why}");
            status = ExitCode::FAILURE;
        }
    }
    status
}

// ---- NICs, between a host and the wire ----

const NIC: Station = Station {
    mac: [2, 0, 0, 0, 0, 0x10],
    address: [192, 168, 4, 250],
};

fn two_cables(image: &str) -> Outcome {
    let socket = Socket::new(image)?;
    let (host, wire) = (socket.cable("host")?, socket.cable("wire")?);
    let start = Instant::now();
    let board = socket.boot(&[])?;
    is_ready(&board)?;
    println!("  up after {} ms", start.elapsed().as_millis());
    works_without_policy(&host, &wire, 1)?;
    link_state_follows_the_cable(&board)?;
    board.press_reset()?;
    is_ready(&board)?;
    works_without_policy(&host, &wire, 2)?;
    println!("  starts again after a reset");
    refuses_old_devices(image)?;
    downloads::change_nothing(image)?;
    rows::compare(image)?;
    segmented::compare(image)
}

fn is_ready(board: &Board) -> Outcome {
    for line in [
        "host: link up",
        "wire: link up",
        "management at 192.168.4.250/24",
        "policy version 0",
    ] {
        board.wait_for(line)?;
    }
    Ok(())
}

/// The host's own frames cross, and the NIC is managed from both sides.
fn works_without_policy(host: &Cable, wire: &Cable, seed: u64) -> Outcome {
    both_ways(host, wire, seed)?;
    let question = asks_for(NIC, host)?;
    // What asks for everyone crosses, and the NIC does not know yet on which side the one who asks is.
    same(&wire.receive()?, &question)?;
    same(&wire.receive()?, &arp_answer(NIC, PEER))?;
    answers_pings(NIC, host)?;
    // From here on the same peer is on the other side.
    let question = asks_for(NIC, wire)?;
    same(&host.receive()?, &question)?;
    answers_pings(NIC, wire)
}

/// Frames of all lengths cross unchanged, in both directions at once.
fn both_ways(host: &Cable, wire: &Cable, seed: u64) -> Outcome {
    let mut random = Random(seed);
    let mut count = 0;
    for length in (60..=1514).step_by(2) {
        let (up, down) = (random.frame(length), random.frame(length + length / 7 % 2));
        host.send(&up)?;
        wire.send(&down)?;
        same(&wire.receive()?, &up)?;
        same(&host.receive()?, &down)?;
        count += 2;
    }
    // More at once than a datagram socket holds make the board take them in batches.
    for _ in 0..200 {
        let batch: Vec<_> = (0..8).map(|_| random.frame(200)).collect();
        batch.iter().try_for_each(|frame| host.send(frame))?;
        for frame in &batch {
            same(&wire.receive()?, frame)?;
        }
        count += batch.len();
    }
    println!("  {count} frames cross unchanged");
    Ok(())
}

fn link_state_follows_the_cable(board: &Board) -> Outcome {
    board.plug("wire", false)?;
    board.wait_for("wire: link down")?;
    board.plug("wire", true)?;
    board.wait_for("wire: link up")?;
    println!("  sees its cables");
    Ok(())
}

/// Without the devices it needs an image says what is missing and starts again.
fn refuses_old_devices(image: &str) -> Outcome {
    let board =
        Socket::new(image)?.boot(&["-no-reboot", "-global", "virtio-mmio.force-legacy=true"])?;
    board.wait_for("no virtio 1 device of this kind")?;
    board.wait_for_end()?;
    println!("  resets itself without its devices");
    Ok(())
}

// ---- Who answers ----

#[derive(Clone, Copy)]
struct Station {
    mac: [u8; 6],
    address: [u8; 4],
}

const PEER: Station = Station {
    mac: [2, 0, 0, 0, 0, 9],
    address: [192, 168, 4, 1],
};

/// It answers ARP. Yields the question, which was for everyone.
fn asks_for(station: Station, cable: &Cable) -> Result<Vec<u8>, Box<dyn Error>> {
    let unknown = Station {
        mac: [0; 6],
        ..station
    };
    let question = arp(1, [0xff; 6], PEER, unknown);
    cable.send(&question)?;
    same(&cable.receive()?, &arp_answer(station, PEER))?;
    Ok(question)
}

fn arp_answer(station: Station, to: Station) -> Vec<u8> {
    arp(2, to.mac, station, to)
}

/// It answers pings of all lengths.
fn answers_pings(station: Station, cable: &Cable) -> Outcome {
    let mut random = Random(3);
    for length in (18..=1472).step_by(7) {
        let payload = random.bytes(length);
        let ping = |kind, from: Station, to: Station| {
            let packet = ipv4(from.address, to.address, 1, &icmp_echo(kind, &payload));
            ethernet(to.mac, from.mac, 0x0800, &packet)
        };
        cable.send(&ping(8, PEER, station))?;
        same(&cable.receive()?, &ping(0, station, PEER))?;
    }
    println!("  answers ARP and pings of all lengths");
    Ok(())
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

fn arp(operation: u8, to: [u8; 6], sender: Station, target: Station) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, operation];
    let [from, of] = [sender, target].map(|station| [&station.mac[..], &station.address].concat());
    ethernet(to, sender.mac, 0x0806, &[&fixed[..], &from, &of].concat())
}

fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + payload.len() as u16).to_be_bytes();
    let front = [0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    let mut header = [&front[..], &from, &to].concat();
    let checksum = checksum(&header);
    header[10..12].copy_from_slice(&checksum);
    [header.as_slice(), payload].concat()
}

fn icmp_echo(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0, 0, 7, 0, 1], payload].concat();
    let checksum = checksum(&message);
    message[2..4].copy_from_slice(&checksum);
    message
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

// ---- Frames ----

/// Numbers that are the same for the same seed (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A frame between two machines that the NIC knows nothing of, of an EtherType for experiments.
    fn frame(&mut self, length: usize) -> Vec<u8> {
        let payload = self.bytes(length - 14);
        ethernet([2, 0, 0, 0, 9, 1], [2, 0, 0, 0, 9, 2], 0x88b6, &payload)
    }
}

fn same(received: &[u8], expected: &[u8]) -> Outcome {
    if received == expected {
        return Ok(());
    }
    let place = received.iter().zip(expected).position(|(a, b)| a != b);
    let place = place.unwrap_or(received.len().min(expected.len()));
    let why = format!(
        "a frame of {} bytes came out as one of {}, different from byte {place} on",
        expected.len(),
        received.len()
    );
    Err(why.into())
}
