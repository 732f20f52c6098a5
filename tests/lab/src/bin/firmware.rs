//! Boots firmware images under QEMU, exchanges frames with them, and compares what comes out byte for byte.
//!
//! ```text
//! firmware dpu-aarch64 smartnic-riscv32 mcu-cortex-m4
//! ```

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

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for image in Arguments::parse().images {
        println!("{image}");
        let outcome = match image.as_str() {
            "mcu-cortex-m4" => one_cable(&image),
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

fn two_cables(image: &str) -> Outcome {
    let socket = Socket::new(image)?;
    let (host, wire) = (socket.cable("host")?, socket.cable("wire")?);
    let start = Instant::now();
    let board = socket.boot(&[])?;
    board.wait_for("links up: true true")?;
    println!("  up after {} ms", start.elapsed().as_millis());
    both_ways(&host, &wire, 1)?;
    link_state_follows_the_cable(&board)?;
    board.press_reset()?;
    board.wait_for("links up: true true")?;
    both_ways(&host, &wire, 2)?;
    println!("  starts again after a reset");
    refuses_old_devices(image)
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
    board.wait_for("links up: true false")?;
    board.plug("wire", true)?;
    board.wait_for("links up: true true")?;
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

// ---- The small device, at the end of a cable ----

fn one_cable(image: &str) -> Outcome {
    let socket = Socket::new(image)?;
    let wire = socket.cable("wire")?;
    let start = Instant::now();
    let board = socket.boot(&[])?;
    board.wait_for("link up")?;
    println!("  up after {} ms", start.elapsed().as_millis());
    answers(&wire)?;
    board.plug("wire", false)?;
    board.wait_for("link down")?;
    board.plug("wire", true)?;
    board.wait_for("link up")?;
    board.press_reset()?;
    board.wait_for("link up")?;
    answers(&wire)?;
    println!("  starts again after a reset");
    Ok(())
}

const DEVICE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
const DEVICE: [u8; 4] = [192, 168, 4, 50];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const PEER: [u8; 4] = [192, 168, 4, 1];

/// It answers ARP and pings of all lengths.
fn answers(wire: &Cable) -> Outcome {
    let arp = |operation, to, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4])| {
        let addresses = [&sender.0[..], &sender.1, &target.0, &target.1].concat();
        let fixed = [0, 1, 8, 0, 6, 4, 0, operation];
        ethernet(to, sender.0, 0x0806, &[&fixed[..], &addresses].concat())
    };
    wire.send(&arp(1, [0xff; 6], (PEER_MAC, PEER), ([0; 6], DEVICE)))?;
    let answer = arp(2, PEER_MAC, (DEVICE_MAC, DEVICE), (PEER_MAC, PEER));
    same(&wire.receive()?, &answer)?;
    let mut random = Random(3);
    for length in (18..=1472).step_by(7) {
        let payload = random.bytes(length);
        let ping = |kind, from, to| ipv4(from, to, 1, &icmp_echo(kind, &payload));
        wire.send(&ethernet(
            DEVICE_MAC,
            PEER_MAC,
            0x0800,
            &ping(8, PEER, DEVICE),
        ))?;
        let answer = ethernet(PEER_MAC, DEVICE_MAC, 0x0800, &ping(0, DEVICE, PEER));
        same(&wire.receive()?, &answer)?;
    }
    println!("  answers ARP and pings of all lengths");
    Ok(())
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
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
