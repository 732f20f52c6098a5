use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{SpawnError, SpawnToken, Spawner, raw};
use static_cell::StaticCell;

use crate::{clock, fail, interrupts, processor};

static IS_WOKEN: AtomicBool = AtomicBool::new(true);

#[unsafe(export_name = "__pender")]
fn wake(_context: *mut ()) {
    IS_WOKEN.store(true, Ordering::Relaxed);
}

/// Starts the board, then the tasks that `main` spawns, and runs them for ever: as long as one has something to do, else it
/// sleeps. [`entry!`](crate::entry) calls it.
pub fn run(main: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    processor::start();
    let executor = EXECUTOR.init_with(|| raw::Executor::new(ptr::null_mut()));
    begin(main, executor.spawner());
    loop {
        while IS_WOKEN.swap(false, Ordering::Relaxed) {
            // SAFETY: the executor was initialised above, and this is the only place that polls it.
            unsafe { executor.poll() };
            clock::service();
            interrupts::service();
        }
        // What was raised since the last look is still pending, and ends the sleep at once.
        processor::sleep();
        clock::service();
        interrupts::service();
    }
}

/// What `main` has on the stack is free again when the tasks run.
#[inline(never)]
fn begin(main: impl FnOnce(Spawner), spawner: Spawner) {
    main(spawner);
}

/// Starts a task. Each has room for one of its kind, so that a second one is a mistake of the image.
#[track_caller]
pub fn spawn<S>(spawner: Spawner, task: Result<SpawnToken<S>, SpawnError>) {
    match task {
        Ok(task) => spawner.spawn(task),
        Err(_) => fail("no room for another task of this kind"),
    }
}
