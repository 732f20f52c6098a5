//! The virtual network of a small device, seen from its other host, which is a switch of netvirt on this side of the cable. What
//! the device sends must be what netvirt makes of the same frame of its stack.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::IpAddr;

use netvirt_core::datapath::Ingress;
use netvirt_core::policy::{Change, Method, Neighbour, RecordKind, Transaction};
use netvirt_core::table::Seed;
use netvirt_core::{MacAddress, PortId, ProviderAddress, UplinkId};
use netvirt_lab::board::Cable;
use netvirt_std::policy_file::PolicyFile;
use netvirt_std::switch::{Egress, Sent, Switch};

use crate::{Outcome, Station, same};

const POLICY: &str = "netvirt-fw/images/mcu-cortex-m4/network.toml";
/// The machine that the device knows besides.
const BLUE_3: &str = r#"
[[vm]]
name = "blue-3"
subnet = 5001
host = "host-2"
mac = "06:06:00:00:00:08"
addresses = ["10.0.0.8"]
"#;
/// Who is reached by IP rewrite: last byte of its address, and of its provider address.
const REWRITTEN: [(u8, u8); 2] = [(50, 150), (8, 208)];

/// The device in the provider network, and the other host.
pub const DEVICE: Station = Station {
    mac: [2, 0, 0, 0, 0, 3],
    address: [192, 168, 4, 50],
};
pub const HOST: Station = Station {
    mac: [2, 0, 0, 0, 0, 0x16],
    address: [192, 168, 4, 22],
};

const UPLINK: UplinkId = UplinkId(0);
/// From the EtherType to the operation.
const ARP_REQUEST: [u8; 10] = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
/// Nothing waits long enough to be forgotten.
const NOW: u64 = 0;

/// The other host, at its end of the cable.
pub struct Site {
    pub wire: Cable,
    host: Switch,
    /// What the device is to be.
    twin: Switch,
    /// What the twin says when it gets its policy.
    pub announcements: Vec<Vec<u8>>,
    /// What came for the machines of the host.
    inbox: VecDeque<Vec<u8>>,
}

impl Site {
    pub fn new(wire: Cable) -> Outcome<Self> {
        let text = network()?;
        let (host, _) = switch(&text, "host-2", None)?;
        let (twin, announcements) = switch(&text, "device", Some(HOST))?;
        Ok(Self {
            wire,
            host,
            twin,
            announcements,
            inbox: VecDeque::new(),
        })
    }

    /// A machine of the host sends a frame.
    pub fn send(&mut self, port: PortId, frame: &[u8]) -> Outcome {
        let mut sent = vec![];
        self.host
            .receive(NOW, Ingress::Port(port), frame, &mut sent);
        self.carry(sent)
    }

    /// The next frame for a machine of the host.
    pub fn receive(&mut self) -> Outcome<Vec<u8>> {
        loop {
            if let Some(frame) = self.inbox.pop_front() {
                return Ok(frame);
            }
            self.hear()?;
        }
    }

    /// What has come for a machine of the host already.
    pub fn try_receive(&mut self) -> Option<Vec<u8>> {
        self.inbox.pop_front()
    }

    pub fn has_received(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The device's next frame is to be this one, unless it asks whether the host is still there.
    pub fn expect(&mut self, expected: &[u8]) -> Outcome {
        let mut frame = self.wire.receive()?;
        while frame.starts_with(&HOST.mac) && frame.get(12..22) == Some(&ARP_REQUEST[..]) {
            self.take(&frame)?;
            frame = self.wire.receive()?;
        }
        same(&frame, expected)?;
        self.take(&frame)
    }

    /// Waits for the device's next frame.
    pub fn hear(&mut self) -> Outcome {
        let frame = self.wire.receive()?;
        if self.announcements.contains(&frame) {
            return Err("the device has started again".into());
        }
        let before = self.inbox.len();
        self.take(&frame)?;
        if frame.get(12..14) == Some(&ARP_REQUEST[..2]) {
            return Ok(());
        }
        if self.inbox.len() != before + 1 {
            return Err("the device sent a frame that is for no machine".into());
        }
        let mut sent = vec![];
        let port = Ingress::Port(PortId(0));
        self.twin.receive(NOW, port, &self.inbox[before], &mut sent);
        match &sent[..] {
            [sent] => same(&frame, &sent.bytes),
            _ => Err("the device sent what netvirt does not".into()),
        }
    }

    /// The host takes a frame of the device.
    fn take(&mut self, frame: &[u8]) -> Outcome {
        let mut sent = vec![];
        self.host
            .receive(NOW, Ingress::Uplink(UPLINK), frame, &mut sent);
        self.carry(sent)
    }

    fn carry(&mut self, sent: Vec<Sent>) -> Outcome {
        for Sent { egress, bytes, .. } in sent {
            match egress {
                Egress::Uplink(_) => self.wire.send(&bytes)?,
                Egress::Port(_) => self.inbox.push_back(bytes),
            }
        }
        Ok(())
    }
}

/// What leaves on the wire if a machine of the host sends a frame to the device in a network that is changed so.
pub fn forged(from: &str, to: &str, port: PortId, frame: &[u8]) -> Outcome<Vec<u8>> {
    let text = network()?.replace(from, to);
    let (mut host, _) = switch(&text, "host-2", Some(DEVICE))?;
    let mut sent = vec![];
    host.receive(NOW, Ingress::Port(port), frame, &mut sent);
    match &sent[..] {
        [sent] if sent.egress == Egress::Uplink(UPLINK) => Ok(sent.bytes.clone()),
        _ => Err(format!("nothing is sent with {to} instead of {from}").into()),
    }
}

fn network() -> io::Result<String> {
    Ok(fs::read_to_string(POLICY)? + BLUE_3)
}

/// A host of the network, which may know the MAC address of another, and what it announces.
fn switch(text: &str, name: &str, known: Option<Station>) -> Outcome<(Switch, Vec<Vec<u8>>)> {
    let file = PolicyFile::parse(text, "network.toml").map_err(|errors| errors.to_string())?;
    let mut host = file.for_host(name)?;
    host.changes.iter_mut().for_each(rewrite);
    if let Some(station) = known {
        host.changes.push(Change::SetNeighbour(Neighbour {
            uplink: UPLINK,
            address: ProviderAddress::new(station.address.into())?,
            mac: MacAddress(station.mac),
        }));
    }
    let mut switch = Switch::with_room_for(&host.changes, Seed::new(0, 0));
    let mut announced = vec![];
    switch.apply(Transaction::new(&host.encode()), &mut announced)?;
    let announced = announced.into_iter().map(|sent| sent.bytes);
    Ok((switch, announced.collect()))
}

/// Two machines are reached by rewrite beside others of their subnet, which a policy file cannot say.
fn rewrite(change: &mut Change) {
    for (customer, provider) in REWRITTEN {
        if let Change::AddRecord(record) = change
            && let RecordKind::Static(address) = record.kind
            && address.get() == IpAddr::from([10, 0, 0, customer])
        {
            record.method = Method::Rewrite {
                provider_address: ProviderAddress::new(IpAddr::from([192, 168, 4, provider]))
                    .expect("it is unicast"),
                use_vm_mac: false,
            };
        }
    }
}
