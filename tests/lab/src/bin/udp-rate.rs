//! How many small packets a second: one thread sends UDP datagrams as fast as it can, or at a steady rate, another
//! counts what arrives. Both use batches, so that they cost little beside what they measure.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use netvirt_lab::inbox::Inbox;
use netvirt_lab::namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};

/// Sends UDP datagrams between two network namespaces and prints how many a second were sent and arrived.
#[derive(Parser)]
struct Arguments {
    /// Where they are sent.
    #[arg(long, value_name = "NAMESPACE,ADDRESS", value_parser = place)]
    from: Place,
    /// Where they are to arrive.
    #[arg(long, value_name = "NAMESPACE,ADDRESS", value_parser = place)]
    to: Place,
    /// How long.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Bytes of a datagram; 18 make the smallest Ethernet frame.
    #[arg(long, default_value_t = 18)]
    size: usize,
    /// Datagrams a second; otherwise as many as go.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// A network namespace and an address in it.
type Place = (String, IpAddr);

const PORT: u16 = 5478;
const BATCH: usize = 64;
/// Before the count begins: neighbours are found, queues fill.
const WARM_UP: Duration = Duration::from_millis(300);
const RECEIVE_BUFFER: usize = 16 << 20;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("udp-rate: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let sender = open(&arguments.from)?;
    let receiver = open(&arguments.to)?;
    set_socket_recv_buffer_size_force(&receiver, RECEIVE_BUFFER)?;
    sender.connect(SocketAddr::new(arguments.to.1, PORT))?;

    let (is_over, sent, received) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (sent_rate, received_rate) = thread::scope(|scope| {
        let counting = scope.spawn(|| count(&receiver, &received, &is_over));
        let sending = scope.spawn(|| send(&sender, arguments, &sent, &is_over));
        thread::sleep(WARM_UP);
        let begin = (
            Instant::now(),
            sent.load(Ordering::Relaxed),
            received.load(Ordering::Relaxed),
        );
        thread::sleep(Duration::from_secs(arguments.seconds));
        let elapsed = begin.0.elapsed().as_secs_f64();
        let sent = (sent.load(Ordering::Relaxed) - begin.1) as f64 / elapsed;
        let received = (received.load(Ordering::Relaxed) - begin.2) as f64 / elapsed;
        is_over.store(true, Ordering::Relaxed);
        let finished = [counting.join(), sending.join()];
        for result in finished {
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        io::Result::Ok((sent, received))
    })?;
    if arguments.json {
        let object = serde_json::json!({ "sent_per_second": sent_rate, "received_per_second": received_rate });
        println!("{object}");
    } else {
        println!("{sent_rate:.0} sent, {received_rate:.0} received a second");
    }
    Ok(())
}

fn open(place: &Place) -> io::Result<UdpSocket> {
    namespace::inside(&place.0, || UdpSocket::bind((place.1, PORT))).map_err(|error| {
        io::Error::new(error.kind(), format!("{} in {}: {error}", place.1, place.0))
    })
}

fn send(
    socket: &UdpSocket,
    arguments: &Arguments,
    sent: &AtomicU64,
    is_over: &AtomicBool,
) -> io::Result<()> {
    let payload = vec![0x55; arguments.size];
    let payload = [IoSlice::new(&payload)];
    let begin = Instant::now();
    let mut total = 0;
    while !is_over.load(Ordering::Relaxed) {
        let batch = match arguments.rate {
            None => BATCH,
            Some(rate) => {
                let due = (begin.elapsed().as_secs_f64() * rate as f64) as u64 - total;
                if due == 0 {
                    thread::sleep(Duration::from_micros(200));
                    continue;
                }
                BATCH.min(due as usize)
            }
        };
        let mut control: [_; BATCH] = std::array::from_fn(|_| SendAncillaryBuffer::default());
        let mut messages: Vec<_> = control
            .iter_mut()
            .take(batch)
            .map(|control| MMsgHdr::new(&payload, control))
            .collect();
        match sendmmsg(socket, &mut messages, SendFlags::empty()) {
            Ok(count) => total += count as u64,
            Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::CONNREFUSED) => {}
            Err(error) => return Err(error.into()),
        }
        sent.store(total, Ordering::Relaxed);
    }
    Ok(())
}

fn count(socket: &UdpSocket, received: &AtomicU64, is_over: &AtomicBool) -> io::Result<()> {
    let mut inbox = Inbox::default();
    let limit = Timespec::try_from(Duration::from_millis(100)).expect("a short time");
    while !is_over.load(Ordering::Relaxed) {
        poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&limit))?;
        received.fetch_add(inbox.receive(socket)?.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

fn place(text: &str) -> Result<Place, String> {
    let (namespace, address) = text.split_once(',').ok_or("expected NAMESPACE,ADDRESS")?;
    let address = address
        .parse()
        .map_err(|error| format!("{address}: {error}"))?;
    Ok((namespace.into(), address))
}
