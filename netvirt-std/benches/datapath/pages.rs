//! Large allocations on pages of the wanted size, and how many huge ones the kernel granted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

const HUGE_PAGE: usize = 2 << 20;

/// The size of the pages that tables and buffers lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pages {
    /// 2 MiB, as far as the kernel grants them.
    Huge,
    /// 4 KiB.
    Small,
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Huge => "huge",
            Self::Small => "4 KiB",
        })
    }
}

static HUGE: AtomicBool = AtomicBool::new(false);

/// From here on, what is allocated in large pieces lies on such pages.
pub fn allocate_on(pages: Pages) {
    HUGE.store(pages == Pages::Huge, Ordering::Relaxed);
}

/// Makes each large allocation a mapping of its own, so that none inherits another's pages.
pub fn map_large_allocations() {
    #[cfg(target_os = "linux")]
    // SAFETY: sets a parameter of the allocator, before other threads exist.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, HUGE_PAGE as libc::c_int);
    }
}

/// The bytes of this process that lie on huge pages.
pub fn huge_bytes() -> usize {
    let maps = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = maps
        .lines()
        .find_map(|line| line.strip_prefix("AnonHugePages:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// The system's allocator, with large allocations aligned to huge pages and the kernel told about them.
pub struct PagedAllocator;

fn aligned(layout: Layout) -> Layout {
    if layout.size() < HUGE_PAGE {
        return layout;
    }
    layout.align_to(HUGE_PAGE).unwrap_or(layout)
}

// SAFETY: every call goes to the system's allocator, with the same layout in `alloc` and `dealloc`; advice
// changes no content.
unsafe impl GlobalAlloc for PagedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise; alignment to a power of two that is larger keeps it.
        let start = unsafe { System.alloc(aligned(layout)) };
        #[cfg(target_os = "linux")]
        if layout.size() >= HUGE_PAGE && !start.is_null() {
            let advice = if HUGE.load(Ordering::Relaxed) {
                libc::MADV_HUGEPAGE
            } else {
                libc::MADV_NOHUGEPAGE
            };
            // SAFETY: the range was allocated just now and begins on a page.
            unsafe { libc::madvise(start.cast(), layout.size(), advice) };
        }
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, and the layout that `alloc` used.
        unsafe { System.dealloc(start, aligned(layout)) }
    }
}
