//! Which threads the kernel runs first: frames cannot wait, everything else can.

use std::io;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// Runs the calling thread before all that are not real-time, and takes turns with those that are.
///
/// # Errors
/// The process may not do that.
pub(crate) fn run_in_real_time() -> io::Result<()> {
    // The lowest of these priorities is above all ordinary ones.
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel only reads the parameter, and only during the call.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const lowest) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets workers go first where both want the same processor.
pub(crate) fn yield_to_workers() {
    const NICER: i32 = 10;
    // On Linux a priority belongs to a thread. Without it all is right still, only less smooth.
    let _ = setpriority_process(Some(gettid()), NICER);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What the kernel says of the calling thread, `proc_pid_stat(5)`, counted from its third field.
    fn stat(field: usize) -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let field = fields.split_whitespace().nth(field - 3).unwrap();
        field.parse().unwrap()
    }

    #[test]
    fn a_thread_runs_in_real_time_if_it_may() {
        const POLICY: usize = 41;
        assert_eq!(stat(POLICY), libc::SCHED_OTHER);
        match run_in_real_time() {
            Ok(()) => assert_eq!(stat(POLICY), libc::SCHED_RR),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied),
        }
    }

    #[test]
    fn a_thread_that_yields_is_nicer_than_it_was() {
        const NICE: usize = 19;
        yield_to_workers();
        assert!(stat(NICE) >= 10);
    }
}
