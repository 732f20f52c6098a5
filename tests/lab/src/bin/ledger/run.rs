//! The run: sends by the clock, receives, obeys.

use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use netvirt_lab::inbox::{self, Inbox};
use netvirt_lab::namespace;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::Arguments;
use crate::book::Book;
use crate::command::{Command, Commands};
use crate::plan::{Endpoint, Plan};

/// Rounds that are made up for at once; of what is due beyond, the ledger says that it was left out.
const CATCH_UP: u64 = 4;
/// Bytes that wait for the ledger in the kernel, so that nothing is lost while it does not run.
const RECEIVE_BUFFER: usize = 16 << 20;
/// The same for what waits in the kernel of the sender.
const SEND_BUFFER: i32 = 16 << 20;
/// How long second copies are waited for, once everything has arrived.
const SETTLE: Duration = Duration::from_millis(100);

/// A running ledger.
pub struct Run {
    book: Book,
    sockets: Vec<UdpSocket>,
    /// When each flow was started or resumed, in nanoseconds since 1970; none while it is paused.
    started: Vec<Option<u64>>,
    clock: OwnedFd,
    commands: Commands,
    /// The line that is answered after so many more rounds.
    waiting: Option<(String, u64)>,
    rounds_left: Option<u64>,
    inbox: Inbox,
    datagram: Vec<u8>,
}

impl Run {
    /// Opens the sockets of all endpoints.
    pub fn new(plan: Plan, arguments: &Arguments) -> io::Result<Self> {
        let sockets = plan
            .endpoints
            .iter()
            .map(|endpoint| open(endpoint, arguments.port));
        let sockets = sockets.collect::<io::Result<_>>()?;
        let length = usize::from(arguments.size);
        Ok(Self {
            started: vec![None; plan.flows.len()],
            book: Book::new(plan, now(), length),
            sockets,
            clock: clock(arguments.rate)?,
            commands: Commands::default(),
            waiting: None,
            rounds_left: arguments
                .seconds
                .map(|seconds| u64::from(seconds) * u64::from(arguments.rate)),
            inbox: Inbox::default(),
            datagram: vec![0; length],
        })
    }

    /// Sends and receives until told to stop, then waits for what is under way.
    pub fn finish(mut self, drain: Duration) -> io::Result<Book> {
        say("ready")?;
        self.started.fill(Some(now()));
        while !self.is_over() {
            self.wait(None)?;
            self.send_what_is_due()?;
            self.receive()?;
            self.obey()?;
        }
        self.drain(drain)?;
        self.book.close();
        Ok(self.book)
    }

    fn is_over(&self) -> bool {
        self.rounds_left == Some(0)
    }

    /// Waits for the clock, a datagram or a command; without the first and last if there is a time limit.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let mut awaited: Vec<_> = self.sockets.iter().map(readable).collect();
        let stdin = io::stdin();
        if limit.is_none() {
            awaited.push(readable(&self.clock));
            if !self.commands.is_closed() {
                awaited.push(readable(&stdin));
            }
        }
        let limit = limit.map(|limit| Timespec::try_from(limit).expect("a few seconds"));
        rustix::event::poll(&mut awaited, limit.as_ref())?;
        let asked = awaited
            .get(self.sockets.len() + 1)
            .is_some_and(|stdin| !stdin.revents().is_empty());
        if asked {
            self.commands.fetch()?;
        }
        Ok(())
    }

    fn send_what_is_due(&mut self) -> io::Result<()> {
        let mut ticks = [0; 8];
        let due = match rustix::io::read(&self.clock, &mut ticks) {
            Ok(_) => u64::from_ne_bytes(ticks),
            Err(rustix::io::Errno::AGAIN) => 0,
            Err(error) => return Err(error.into()),
        };
        let due = due.min(self.rounds_left.unwrap_or(due));
        self.rounds_left = self.rounds_left.map(|left| left - due);
        for _ in 0..due.min(CATCH_UP) {
            self.send_round();
        }
        let phase = self.book.current();
        phase.rounds += due;
        phase.skipped += due.saturating_sub(CATCH_UP);
        if let Some((_, rounds)) = &mut self.waiting {
            *rounds = rounds.saturating_sub(due);
        }
        Ok(())
    }

    fn send_round(&mut self) {
        for flow in 0..self.started.len() {
            let Some(started) = self.started[flow] else {
                continue;
            };
            let header = self.book.next(flow, started, now());
            header.write(&mut self.datagram);
            let plan = &self.book.plan().flows[flow];
            match self.sockets[plan.from].send_to(&self.datagram, plan.destination) {
                Ok(_) => self.book.sent(&header),
                Err(why) => self.book.refused(flow, &why),
            }
        }
    }

    /// Takes what has arrived, and says whether that is anything.
    fn receive(&mut self) -> io::Result<bool> {
        let mut any = false;
        for (endpoint, socket) in self.sockets.iter().enumerate() {
            for datagram in self.inbox.receive(socket)? {
                any = true;
                self.book
                    .arrived(endpoint, datagram.source, datagram.bytes, datagram.arrival);
            }
        }
        Ok(any)
    }

    fn obey(&mut self) -> io::Result<()> {
        if let Some((line, _)) = self.waiting.take_if(|(_, rounds)| *rounds == 0) {
            say(&format!("ok {line}"))?;
        }
        while self.waiting.is_none()
            && let Some((line, command)) = self.commands.next()
        {
            match command.and_then(|command| self.carry_out(command)) {
                Ok(0) => say(&format!("ok {line}"))?,
                Ok(rounds) => self.waiting = Some((line, rounds)),
                Err(why) => say(&format!("error {line}: {why}"))?,
            }
        }
        if self.commands.is_closed() && self.waiting.is_none() && self.rounds_left.is_none() {
            self.rounds_left = Some(0);
        }
        Ok(())
    }

    /// After how many rounds the command is to be answered.
    fn carry_out(&mut self, command: Command) -> Result<u64, String> {
        match command {
            Command::Mark { name, may_lose } => self.book.begin(&name, may_lose),
            Command::Run(rounds) => return Ok(rounds),
            Command::Pause(flow) => self.set_started(&flow, None)?,
            Command::Resume(flow) => self.set_started(&flow, Some(now()))?,
            Command::Stop => self.rounds_left = Some(0),
        }
        Ok(0)
    }

    fn set_started(&mut self, name: &str, started: Option<u64>) -> Result<(), String> {
        let plan = self.book.plan();
        let of_endpoint = plan
            .endpoints
            .iter()
            .position(|endpoint| endpoint.name == name);
        let mut found = false;
        for (flow, place) in plan.flows.iter().zip(&mut self.started) {
            if name == "all" || flow.name == name || Some(flow.from) == of_endpoint {
                *place = started;
                found = true;
            }
        }
        found
            .then_some(())
            .ok_or_else(|| format!("no flow is called {name}, or sent by {name}"))
    }

    fn drain(&mut self, limit: Duration) -> io::Result<()> {
        let mut last_arrival = Instant::now();
        loop {
            let limit = if self.book.is_settled() {
                SETTLE
            } else {
                limit
            };
            let Some(left) = limit.checked_sub(last_arrival.elapsed()) else {
                return Ok(());
            };
            self.wait(Some(left))?;
            if self.receive()? {
                last_arrival = Instant::now();
            }
        }
    }
}

fn readable(descriptor: &impl AsFd) -> PollFd<'_> {
    PollFd::new(descriptor, PollFlags::IN)
}

fn open(endpoint: &Endpoint, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(endpoint.address, port);
    let open = || {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)?;
        inbox::enlarge_send_buffer(&socket, SEND_BUFFER)?;
        inbox::stamp(&socket)?;
        Ok(socket)
    };
    namespace::inside(&endpoint.namespace, open).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{} at {address}: {error}", endpoint.name),
        )
    })
}

/// A descriptor that counts the rounds that are due. Its period is absolute, so the rate does not drift.
fn clock(rate: u32) -> io::Result<OwnedFd> {
    let period = Timespec::try_from(Duration::from_secs(1) / rate).expect("a second at most");
    let clock = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
    let each = Itimerspec {
        it_interval: period,
        it_value: period,
    };
    timerfd_settime(&clock, TimerfdTimerFlags::empty(), &each)?;
    Ok(clock)
}

/// Nanoseconds since 1970: the clock of the kernel's stamps on what arrives.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
