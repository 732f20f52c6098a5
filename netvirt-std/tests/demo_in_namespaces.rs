//! The demo in network namespaces: it holds, notices what is wrong, and leaves nothing behind. Where namespaces are not
//! permitted, these tests say so and do nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use netvirt_std::capture::CaptureWriter;
use netvirt_std::demo::{self, POLICY, Stage};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const NETVIRT: &str = env!("CARGO_BIN_EXE_netvirt");
/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A demo under way, whose files are in a directory of its own.
struct Demo {
    process: Child,
    out: BufReader<ChildStdout>,
    directory: TempDir,
    interfaces: BTreeSet<String>,
}

impl Demo {
    /// Starts it, if namespaces are permitted.
    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(NETVIRT)
            .args(["demo", "--capture"])
            .arg(directory.path().join("wire.pcapng"))
            .env("TMPDIR", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let mut demo = Self {
            process,
            out,
            directory,
            interfaces: interfaces(),
        };
        let mut first = String::new();
        demo.out.read_line(&mut first).unwrap();
        if first.starts_with("The network is in memory") {
            eprintln!("not tested: {first}");
            assert!(demo.process.wait().unwrap().success());
            return None;
        }
        Some(demo)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// The switches that it has started so far.
    fn switches(&self) -> Vec<Pid> {
        let parent = self.process.id();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
        pids.filter_map(Pid::from_raw).collect()
    }

    /// Waits until both switches run.
    fn wait_for_switches(&self) -> Vec<Pid> {
        wait_for("both switches", || {
            let ready = ["host-1.sock", "host-2.sock"].map(|name| self.has_file(name));
            (ready == [true, true]).then(|| self.switches())
        })
    }

    fn has_file(&self, name: &str) -> bool {
        let directories = fs::read_dir(self.directory.path()).unwrap();
        let mut directories = directories.map(|entry| entry.unwrap().path());
        directories.any(|directory| directory.join(name).exists())
    }

    /// Waits for its end: its status, and what it said.
    fn end(&mut self) -> (Option<i32>, String, String) {
        let (mut out, mut errors) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        let mut stderr = self.process.stderr.take().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        (self.process.wait().unwrap().code(), out, errors)
    }

    fn assert_nothing_is_left_but(&self, files: &[&str]) {
        let left = fs::read_dir(self.directory.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, files);
        assert_eq!(processes_about(self.directory.path()), Vec::<u32>::new());
        assert_eq!(interfaces(), self.interfaces);
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The interfaces of this network namespace.
fn interfaces() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/net/dev").unwrap();
    let names = text.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

/// The processes that were given the name of something in a directory.
fn processes_about(directory: &Path) -> Vec<u32> {
    let directory = directory.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_about = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(directory)
    };
    pids.filter(is_about).collect()
}

#[test]
fn every_expectation_holds_and_only_the_capture_is_left() {
    let Some(mut demo) = Demo::start() else {
        return;
    };
    let (status, out, errors) = demo.end();
    assert_eq!(status, Some(0), "{out}{errors}");
    assert_eq!(errors, "");
    assert!(out.ends_with("expectations held.\n"), "{out}");
    assert!(out.contains("host-1 to host-2, NVGRE"), "{out}");
    demo.assert_nothing_is_left_but(&["wire.pcapng"]);
}

#[test]
fn the_report_fits_into_100_columns() {
    let Some(mut demo) = Demo::start() else {
        return;
    };
    let (_, out, _) = demo.end();
    let is_named = |line: &str| line.contains("wire.pcapng");
    for line in out.lines().filter(|line| !is_named(line)) {
        assert!(line.chars().count() <= 100, "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn an_interrupt_ends_everything() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let Some(mut demo) = Demo::start() else {
            return;
        };
        demo.wait_for_switches();
        demo.signal(signal);
        let (status, _, errors) = demo.end();
        assert_eq!(status, Some(2));
        assert_eq!(errors, "error: interrupted; nothing is left behind\n");
        demo.assert_nothing_is_left_but(&[]);
    }
}

#[test]
fn an_early_interrupt_ends_everything() {
    let Some(mut demo) = Demo::start() else {
        return;
    };
    wait_for("the first switch", || demo.switches().pop());
    demo.signal(Signal::INT);
    let (status, _, _) = demo.end();
    assert_eq!(status, Some(2));
    demo.assert_nothing_is_left_but(&[]);
}

#[test]
fn a_switch_that_ends_ends_everything() {
    let Some(mut demo) = Demo::start() else {
        return;
    };
    let switches = demo.wait_for_switches();
    kill_process(switches[0], Signal::KILL).unwrap();
    let (status, _, errors) = demo.end();
    assert_eq!(status, Some(2));
    let said = "error: the switch of host-1: signal: 9 (SIGKILL)";
    assert!(errors.starts_with(said), "{errors}");
    demo.assert_nothing_is_left_but(&[]);
}

#[test]
fn no_switch_outlives_the_demo() {
    let Some(mut demo) = Demo::start() else {
        return;
    };
    demo.wait_for_switches();
    demo.signal(Signal::KILL);
    demo.process.wait().unwrap();
    let directory = demo.directory.path();
    wait_for("the end of the switches", || {
        processes_about(directory).is_empty().then_some(())
    });
}

#[test]
fn a_machine_in_the_wrong_tenant_is_noticed() {
    let right = "name = \"blue-5\"\nsubnet = \"blue-web\"";
    let wrong = "name = \"blue-5\"\nsubnet = \"red-web\"";
    assert_eq!(POLICY.matches(right).count(), 1);
    let stage = match Stage::build(&POLICY.replace(right, wrong), NETVIRT.into()) {
        Ok(stage) => stage,
        Err(error) => return eprintln!("not tested: {error}"),
    };
    let capture = CaptureWriter::new("memory", Vec::new()).unwrap();
    let (report, _) = demo::in_namespaces(stage, capture).unwrap();
    let text = report.to_string();
    for (what, seen) in [
        ("red-1 pings 10.0.0.9", "it arrived at blue-5"),
        (
            "blue-1 sends 2.0 MiB to 10.0.0.9",
            "nothing arrived; host-1 refused",
        ),
        ("tenants never met", ""),
    ] {
        let failure = text.split("✗ ").find(|failure| failure.starts_with(what));
        let failure = failure.unwrap_or_else(|| panic!("{what} did not fail: {text}"));
        assert!(failure.contains(&format!("seen:     {seen}")), "{failure}");
    }
}
