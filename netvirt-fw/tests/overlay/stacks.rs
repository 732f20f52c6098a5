//! Two stacks of embassy-net that live in one virtual network, on two devices.

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use embassy_futures::join::join;
use embassy_net::icmp::PacketMetadata;
use embassy_net::icmp::ping::{PingManager, PingParams};
use embassy_net::tcp::TcpSocket;
use embassy_net::{
    Config, Ipv4Cidr, Ipv6Cidr, Runner, Stack, StackResources, StaticConfigV4, StaticConfigV6,
};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use netvirt_core::counters::Totals;
use netvirt_fw::nve::SharedNve;
use netvirt_fw::overlay::{Overlay, State};

use crate::bench::{LONGEST, port_of, shared};
use crate::support::network::{Network, Outer};
use crate::support::policies_of;
use crate::wire::MemoryDriver;

type Edge = &'static SharedNve<'static, NoopRawMutex>;
type Driver = Overlay<'static, NoopRawMutex, MemoryDriver>;

/// A test that nobody wakes is to fail, not to hang.
const STALLED: Duration = Duration::from_secs(30);

/// A device and its stack.
struct Station {
    stack: Stack<'static>,
    runner: Runner<'static, Driver>,
    underlay: MemoryDriver,
    edge: Edge,
}

impl Station {
    fn new(network: &Network, machine: &str) -> Self {
        let place = network.machine(machine);
        let edge = shared(policies_of(&network.changes(place.host)));
        let underlay = MemoryDriver::new(LONGEST, 4);
        let state = Box::leak(Box::new(State::<{ 128 + LONGEST }, 8>::new()));
        let port = port_of(network, machine);
        let overlay = Overlay::new(state, edge, port, underlay.clone());
        let mut config = Config::default();
        for address in &place.addresses {
            match address.parse().unwrap() {
                IpAddr::V4(address) => {
                    config.ipv4 = embassy_net::ConfigV4::Static(StaticConfigV4 {
                        address: Ipv4Cidr::new(address, 24),
                        gateway: Some([address.octets()[0], 0, address.octets()[2], 1].into()),
                        dns_servers: Default::default(),
                    });
                }
                IpAddr::V6(address) => {
                    config.ipv6 = embassy_net::ConfigV6::Static(StaticConfigV6 {
                        address: Ipv6Cidr::new(address, 64),
                        gateway: Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
                        dns_servers: Default::default(),
                    });
                }
            }
        }
        let resources = Box::leak(Box::new(StackResources::<4>::new()));
        let (stack, runner) = embassy_net::new(overlay, config, resources, 0x5eed);
        Self {
            stack,
            runner,
            underlay,
            edge,
        }
    }
}

/// Unparks the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Does something while two stations run and a wire joins them. Yields what both counted.
fn between<R>(
    mut stations: [Station; 2],
    what: impl AsyncFnOnce(Stack<'static>, Stack<'static>) -> R,
) -> (R, [Totals; 2]) {
    let [one, two] = &mut stations;
    let wire = [one.underlay.clone(), two.underlay.clone()];
    let work = what(one.stack, two.stack);
    let mut running = pin!(join(one.runner.run(), two.runner.run()));
    let mut work = pin!(work);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    let result = loop {
        assert!(running.as_mut().poll(&mut cx).is_pending());
        if let Poll::Ready(result) = work.as_mut().poll(&mut cx) {
            break result;
        }
        if wire[0].carry_to(&wire[1]) + wire[1].carry_to(&wire[0]) == 0 {
            let waited = Instant::now();
            thread::park_timeout(STALLED);
            assert!(waited.elapsed() < STALLED, "nobody is woken any more");
        }
    };
    let totals = [one.edge, two.edge].map(|edge| {
        let totals = edge.lock(|edge| *edge.borrow().worker.counters().totals());
        assert!(totals.add_up(), "{totals:?}");
        totals
    });
    (result, totals)
}

fn address(network: &Network, machine: &str, version: usize) -> IpAddr {
    network.machine(machine).addresses[version].parse().unwrap()
}

async fn ping(stack: Stack<'static>, target: IpAddr) {
    // A stack does not choose the source of an IPv6 echo itself.
    let source = stack.config_v6().map(|config| config.address.address());
    let (mut rx, mut tx) = ([0; 256], [0; 256]);
    let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY], [PacketMetadata::EMPTY]);
    let mut pings = PingManager::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
    let mut once = PingParams::new(target);
    once.set_count(1)
        .set_rate_limit(embassy_time::Duration::MIN);
    if target.is_ipv6() {
        once.set_source(source.unwrap());
    }
    pings.ping(&once).await.unwrap();
}

/// Both at once: a stack answers no echo before it has asked for its own next hop.
#[track_caller]
fn ping_each_other(network: &Network, from: &str, to: &str, version: usize) -> [Totals; 2] {
    let targets = [to, from].map(|machine| address(network, machine, version));
    let stations = [from, to].map(|machine| Station::new(network, machine));
    let (_, totals) = between(stations, async |one, two| {
        join(ping(one, targets[0]), ping(two, targets[1])).await
    });
    totals
}

#[test]
fn stations_ping_each_other_within_a_subnet_and_across() {
    for outer in [Outer::V4, Outer::V6] {
        for is_resolved in [true, false] {
            let network = Network::standard().with(|network| {
                (network.outer, network.is_resolved) = (outer, is_resolved);
            });
            for (from, to) in [
                ("blue a", "blue b"),
                ("blue a", "blue c"),
                ("green a", "green c"),
            ] {
                for version in [0, 1] {
                    for totals in ping_each_other(&network, from, to, version) {
                        assert!(totals.transmitted > 0 && totals.delivered > 0, "{totals:?}");
                        assert_eq!(totals.held > 0, !is_resolved, "{totals:?}");
                    }
                }
            }
        }
    }
}

/// Bytes that are carried each way.
const BULK: usize = 200_000;

/// Sends bytes and expects them back.
async fn exchange(stack: Stack<'static>, target: IpAddr) -> usize {
    let (mut rx, mut tx) = (vec![0; 8192], vec![0; 8192]);
    let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
    socket.connect((target, 7)).await.unwrap();
    let (mut reader, mut writer) = socket.split();
    let bytes: Vec<u8> = (0..BULK).map(|number| (number % 251) as u8).collect();
    let send = async {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = writer.write(rest).await.unwrap();
            rest = &rest[written..];
        }
    };
    let receive = async {
        let mut received = Vec::new();
        let mut room = vec![0; 4096];
        while received.len() < BULK {
            let length = reader.read(&mut room).await.unwrap();
            received.extend_from_slice(&room[..length]);
        }
        received
    };
    let ((), received) = join(send, receive).await;
    assert!(received == bytes);
    received.len()
}

/// Sends back what it receives.
async fn echo(stack: Stack<'static>) {
    let (mut rx, mut tx) = (vec![0; 8192], vec![0; 8192]);
    let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
    socket.accept(7).await.unwrap();
    let mut room = vec![0; 4096];
    let mut left = BULK;
    while left > 0 {
        let length = socket.read(&mut room).await.unwrap();
        let mut rest = &room[..length];
        left -= length;
        while !rest.is_empty() {
            let written = socket.write(rest).await.unwrap();
            rest = &rest[written..];
        }
    }
    socket.flush().await.unwrap();
}

#[test]
fn a_connection_carries_bytes_both_ways_without_a_loss() {
    for (from, to) in [("blue a", "blue c"), ("green a", "green b")] {
        let network = Network::standard().with(|network| network.is_resolved = false);
        let target = address(&network, to, 0);
        let stations = [from, to].map(|machine| Station::new(&network, machine));
        let (carried, totals) = between(stations, async |one, two| {
            join(exchange(one, target), echo(two)).await.0
        });
        assert_eq!(carried, BULK);
        for totals in totals {
            assert_eq!(totals.dropped, 0, "{totals:?}");
            assert!(totals.transmitted > 100 && totals.delivered > 100);
        }
    }
}
