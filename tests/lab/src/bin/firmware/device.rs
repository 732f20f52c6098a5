//! A small device that is a tenant by itself, at the end of a cable.

use std::time::{Duration, Instant};

use netvirt_core::PortId;
use netvirt_lab::board::{Board, Socket};

use crate::site::{DEVICE, HOST, Site, forged};
use crate::{Outcome, Random, Station, arp, arp_answer, ethernet, icmp_echo, ipv4, same, tcp};

/// The device in its virtual network.
pub const INSIDE: Station = Station {
    mac: [6, 6, 0, 0, 0, 0x50],
    address: [10, 0, 0, 50],
};

/// A machine of the other host.
#[derive(Clone, Copy)]
pub struct Machine {
    pub port: PortId,
    pub station: Station,
}

/// It is reached by NVGRE.
pub const BLUE_2: Machine = Machine {
    port: PortId(0),
    station: Station {
        mac: [6, 6, 0, 0, 0, 7],
        address: [10, 0, 0, 7],
    },
};
/// It is reached by IP rewrite.
const BLUE_3: Machine = Machine {
    port: PortId(1),
    station: Station {
        mac: [6, 6, 0, 0, 0, 8],
        address: [10, 0, 0, 8],
    },
};

/// Bytes of the longest echo that fits into a packet of 1,500 bytes with NVGRE around it.
const LONGEST_ECHO: usize = 1430;
/// It only bounds how long a failure takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn is_a_tenant(image: &str) -> Outcome {
    let socket = Socket::new(image)?;
    let wire = socket.cable("wire")?;
    let start = Instant::now();
    let board = socket.boot(&[])?;
    let mut site = Site::new(wire)?;
    begins(&mut site, &board)?;
    println!("  up after {} ms", start.elapsed().as_millis());
    // Neither knows the other's MAC address yet.
    site.send(BLUE_2.port, &ping(BLUE_2, 18))?;
    site.expect(&arp_answer(DEVICE, HOST))?;
    answers_after_asking(&mut site)?;
    answers_pings(&mut site)?;
    is_told_what_is_too_long(&mut site)?;
    tcp::echoes(&mut site, 64 << 10)?;
    board.wait_for("65536 bytes sent back")?;
    hears_nobody_else(&mut site)?;

    board.plug("wire", false)?;
    board.wait_for("link down")?;
    board.plug("wire", true)?;
    board.wait_for("link up")?;
    println!("  sees its cable");

    board.press_reset()?;
    begins(&mut site, &board)?;
    site.send(BLUE_2.port, &ping(BLUE_2, 18))?;
    answers_after_asking(&mut site)?;
    answers_pings(&mut site)?;
    println!("  starts again after a reset");
    Ok(())
}

/// It has its policy, and announces its addresses.
fn begins(site: &mut Site, board: &Board) -> Outcome {
    board.wait_for("policy version 1")?;
    for announcement in site.announcements.clone() {
        site.expect(&announcement)?;
    }
    Ok(board.wait_for("link up").map(drop)?)
}

/// The stack asks who the sender is before it answers, and forgets the echo that made it ask. Then the device asks for its next
/// hop, and keeps what waits for that.
fn answers_after_asking(site: &mut Site) -> Outcome {
    let nobody = Station {
        mac: [0; 6],
        ..HOST
    };
    site.send(BLUE_2.port, &ping(BLUE_2, 18))?;
    site.expect(&arp(1, [0xff; 6], DEVICE, nobody))?;
    same(&site.receive()?, &pong(BLUE_2, 18))?;
    // The stack does not ask more than once a second. Answers to another tell which echoes it has forgotten.
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        site.send(BLUE_3.port, &ping(BLUE_3, 18))?;
        site.send(BLUE_2.port, &ping(BLUE_2, 18))?;
        let is_answered = site.receive()? == pong(BLUE_3, 18);
        if is_answered {
            return same(&site.receive()?, &pong(BLUE_2, 18));
        }
    }
    Err("a machine that is reached by rewrite is not answered".into())
}

/// Of all lengths, by NVGRE and by rewrite.
fn answers_pings(site: &mut Site) -> Outcome {
    for machine in [BLUE_2, BLUE_3] {
        for length in (18..=LONGEST_ECHO).step_by(7).chain([LONGEST_ECHO]) {
            answers_ping(site, machine, length)?;
        }
    }
    println!("  answers pings of all lengths, by NVGRE and by rewrite");
    Ok(())
}

fn answers_ping(site: &mut Site, machine: Machine, length: usize) -> Outcome {
    site.send(machine.port, &ping(machine, length))?;
    same(&site.receive()?, &pong(machine, length))
}

/// Who sends the device a longer packet, not to be cut, hears of that from the gateway.
fn is_told_what_is_too_long(site: &mut Site) -> Outcome {
    site.send(BLUE_2.port, &ping(BLUE_2, LONGEST_ECHO + 1))?;
    let error = site.receive()?;
    // Fragmentation needed, and the MTU (RFC 1191 §4).
    let said = (error.get(34..36), error.get(40..42));
    if said != (Some(&[3, 4]), Some(&1458_u16.to_be_bytes())) {
        return Err(format!("a packet that is too long is answered by {error:02x?}").into());
    }
    answers_ping(site, BLUE_2, LONGEST_ECHO)
}

/// What is of another virtual subnet, of a host that the policy does not know, or of no virtual network at all is not answered.
fn hears_nobody_else(site: &mut Site) -> Outcome {
    let ping_inside = ping(BLUE_2, 100);
    for (from, to) in [("5001", "5002"), ("192.168.4.22", "192.168.4.23")] {
        let frame = forged(from, to, BLUE_2.port, &ping_inside)?;
        is_not_answered(site, &frame).map_err(|why| format!("{to} for {from}: {why}"))?;
    }
    let plain = echo(8, HOST, DEVICE, 100);
    is_not_answered(site, &plain).map_err(|why| format!("a ping of the host: {why}"))?;
    println!("  hears nobody else");
    Ok(())
}

fn is_not_answered(site: &mut Site, frame: &[u8]) -> Outcome {
    site.wire.send(frame)?;
    answers_ping(site, BLUE_2, 50)
}

fn ping(from: Machine, length: usize) -> Vec<u8> {
    echo(8, from.station, INSIDE, length)
}

fn pong(to: Machine, length: usize) -> Vec<u8> {
    echo(0, INSIDE, to.station, length)
}

fn echo(kind: u8, from: Station, to: Station, length: usize) -> Vec<u8> {
    let payload = Random(length as u64).bytes(length);
    let packet = ipv4(from.address, to.address, 1, &icmp_echo(kind, &payload));
    ethernet(to.mac, from.mac, 0x0800, &packet)
}
