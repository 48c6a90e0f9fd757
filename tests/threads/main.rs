//! One cipher, one session, one cache and one keyring for many threads, and one file for many readers while its header is rewrapped.
//!
//! Each runs for two seconds, and for a minute where it is asked for.

// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod files;
mod keys;
#[cfg(target_os = "linux")]
mod processes;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(60);
const THREADS: usize = 16;

/// Work that several threads do until the time is up or one of them fails.
struct Shift {
    ends: Instant,
    failed: AtomicBool,
    done: AtomicU64,
}

impl Shift {
    fn of(time: Duration) -> Self {
        Self {
            ends: Instant::now() + time,
            failed: AtomicBool::new(false),
            done: AtomicU64::new(0),
        }
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.ends && !self.failed.load(Ordering::Relaxed)
    }

    /// Does one thing after the other. Each is told its number.
    fn repeat(&self, mut work: impl FnMut(u64)) {
        let _told = TellOthers(self);
        let mut number = 0;
        while self.goes_on() {
            work(number);
            number += 1;
        }
        self.done.fetch_add(number, Ordering::Relaxed);
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// So that the others do not work on for a minute beside one that failed.
struct TellOthers<'a>(&'a Shift);

impl Drop for TellOthers<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
    }
}
