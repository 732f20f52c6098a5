use core::panic::{Location, PanicInfo};

use crate::processor;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let (file, line) = match info.location() {
        Some(location) => (location.file(), location.line()),
        None => ("nowhere", 0),
    };
    defmt::error!("panic at {=str}:{=u32}; reset", file, line);
    processor::reset()
}

/// Says what is wrong with the board, and starts it again: it cannot do its work.
#[track_caller]
pub fn fail(why: &str) -> ! {
    let place = Location::caller();
    defmt::error!(
        "{=str} ({=str}:{=u32}); reset",
        why,
        place.file(),
        place.line()
    );
    processor::reset()
}

/// The processor met what it cannot do at this address.
pub(crate) fn fault(address: usize, cause: usize) -> ! {
    let (address, cause) = (address as u64, cause as u64);
    defmt::error!("fault at {=u64:#x}, cause {=u64:#x}; reset", address, cause);
    processor::reset()
}
