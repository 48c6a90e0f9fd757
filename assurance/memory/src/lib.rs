//! An allocator that counts, and refuses what goes beyond a bound.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Everything that is allocated, by the system's allocator as long as it is within the bound.
#[derive(Debug)]
pub struct Bounded {
    live: AtomicUsize,
    peak: AtomicUsize,
    bound: AtomicUsize,
}

impl Bounded {
    /// Without a bound yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            live: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            bound: AtomicUsize::new(usize::MAX),
        }
    }

    /// Does `work` with `bytes` more than what is allocated now, and says what it used at most. A request beyond that is refused,
    /// which ends the process: Rust has no other answer to memory that is not there.
    pub fn within<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> (T, usize) {
        let before = self.live.load(SeqCst);
        self.peak.store(before, SeqCst);
        self.bound.store(before + bytes, SeqCst);
        let out = work();
        self.bound.store(usize::MAX, SeqCst);
        (out, self.peak.load(SeqCst) - before)
    }

    fn take(&self, bytes: usize) -> bool {
        let live = self.live.fetch_add(bytes, SeqCst).saturating_add(bytes);
        if live > self.bound.load(SeqCst) {
            self.live.fetch_sub(bytes, SeqCst);
            return false;
        }
        self.peak.fetch_max(live, SeqCst);
        true
    }
}

impl Default for Bounded {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: every block comes from the system's allocator and goes back to it with the layout that it was asked for; a refusal is
// the null pointer that the trait provides for.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.take(layout.size()) {
            // SAFETY: the caller's promises are the system's.
            unsafe { System.alloc(layout) }
        } else {
            std::ptr::null_mut()
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.take(layout.size()) {
            // SAFETY: the caller's promises are the system's.
            unsafe { System.alloc_zeroed(layout) }
        } else {
            std::ptr::null_mut()
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) };
        self.live.fetch_sub(layout.size(), SeqCst);
    }

    // The trait's own `realloc` takes the new block before it gives the old one back: a move is counted at its worst.
}
