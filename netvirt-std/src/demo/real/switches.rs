//! The hosts' switches: one process each, which ends with this one.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use netvirt_core::datapath::DropReason;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::namespace::Space;
use crate::capture::CaptureReader;
use crate::control::Client;
use crate::counters::CounterReport;
use crate::demo::DemoError;

/// What a switch says when it carries frames.
const READY: &str = "ready";
/// How long a switch may take to end.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a switch looks whether somebody has its addresses, in milliseconds. The wire is short.
const DUPLICATE_DETECTION: &str = "50";

/// A running switch.
pub struct SwitchProcess {
    host: String,
    child: Child,
    log: PathBuf,
    said: Receiver<String>,
    refusals: Receiver<Refused>,
    client: Client,
}

/// A frame that a switch has refused.
#[derive(Debug)]
pub struct Refused {
    /// The machine it came from, or the uplink.
    pub port: String,
    /// Why.
    pub reason: DropReason,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// Whether a switch tells which frames it refuses. That costs it time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It tells.
    Refusals,
    /// It only counts.
    Nothing,
}

impl SwitchProcess {
    /// Starts the switch of a host. Its files are beside the policy file.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        program: &Path,
        space: &Space,
        host: &str,
        policy: &Path,
        telling: Telling,
    ) -> io::Result<Self> {
        let place = |ending| policy.with_file_name(format!("{host}.{ending}"));
        let (socket, log) = (place("sock"), place("log"));
        let mut command = Command::new(program);
        command.args(["switch", "--host", host, "--policy"]);
        command.arg(policy).arg("--control").arg(&socket);
        command.args(["--duplicate-detection", DUPLICATE_DETECTION]);
        let refusals = match telling {
            Telling::Refusals => {
                let capture = place("pcapng");
                mkfifoat(CWD, &capture, Mode::RUSR | Mode::WUSR)?;
                command.arg("--capture").arg(&capture);
                read_refusals(capture)
            }
            Telling::Nothing => mpsc::channel().1,
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(File::create(&log)?);
        let mut child = spawn_in(space, command)?;
        let said = read_lines(child.stdout.take());
        Ok(Self {
            host: host.to_owned(),
            child,
            log,
            said,
            refusals,
            client: Client::new(&socket)?,
        })
    }

    /// Whether it has said that it carries frames, since this was asked last.
    pub fn has_become_ready(&self) -> bool {
        self.said.try_iter().any(|line| line == READY)
    }

    /// Looks whether it still runs.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failed(&status.to_string())),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// The frames that it has refused since this was asked last.
    pub fn refusals(&self) -> impl Iterator<Item = Refused> {
        self.refusals.try_iter()
    }

    /// What it has counted.
    ///
    /// # Errors
    /// It does not say.
    pub fn counters(&self) -> Result<CounterReport, DemoError> {
        let counters = self.client.counters(&[]);
        counters.map_err(|error| self.failed(&error.to_string()))
    }

    /// Ends it.
    ///
    /// # Errors
    /// It does not end as it should.
    pub fn stop(mut self) -> Result<(), DemoError> {
        match self.end() {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(self.failed(&status.to_string())),
            Ok(None) => Err(self.failed("it does not end when it is told to")),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    fn end(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(None)
    }

    /// Why the demo cannot go on with it.
    pub fn failed(&self, why: &str) -> DemoError {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        DemoError::Switch(self.host.clone(), format!("{why}\n{}", log.trim_end()))
    }
}

impl Drop for SwitchProcess {
    fn drop(&mut self) {
        // Whatever goes wrong here, the kernel ends it with this process.
        let _ = self.end();
    }
}

/// Starts a process in a network namespace. It ends when the calling thread does, if not before; and it is not
/// interrupted from the terminal, for whoever is ends it.
fn spawn_in(space: &Space, mut command: Command) -> io::Result<Child> {
    let namespace = space.as_fd().try_clone_to_owned()?;
    command.process_group(0);
    let enter = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    };
    // SAFETY: between fork and exec there are only these two system calls.
    unsafe { command.pre_exec(enter) };
    command.spawn()
}

fn read_lines(output: Option<ChildStdout>) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let output = output
            .into_iter()
            .flat_map(|output| BufReader::new(output).lines());
        for line in output.map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

/// Follows the capture that a switch writes.
fn read_refusals(capture: PathBuf) -> Receiver<Refused> {
    let (sender, refusals) = mpsc::channel();
    thread::spawn(move || -> Option<()> {
        let mut capture = CaptureReader::open(&capture).ok()?;
        while let Some(Ok(frame)) = capture.next() {
            let is_reason = |reason: &&DropReason| Some(reason.name()) == frame.comment.as_deref();
            if let Some(reason) = DropReason::ALL.iter().find(is_reason) {
                let port = capture.interface_name(frame.interface).unwrap_or_default();
                let refused = Refused {
                    port: port.to_owned(),
                    reason: *reason,
                    bytes: frame.bytes,
                };
                sender.send(refused).ok()?;
            }
        }
        None
    });
    refusals
}
