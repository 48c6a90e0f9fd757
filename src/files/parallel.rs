//! Disjoint runs of segments, each read, worked on and written by one thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zeroize::Zeroizing;

use super::FileOptions;
use crate::error::{Error, Result};
use crate::floe::{Layout, SegmentLength};
use crate::memory::zeros;

/// Bytes of a run, about: two buffers of it stay in a core's own cache.
const RUN: usize = 1 << 19;
/// Bytes of the runs, sealed and opened, that all threads hold together, unless one thread alone holds more.
const BOUND: usize = 1 << 27;

/// One thread's buffers, kept from run to run.
#[derive(Default)]
pub(super) struct Buffers {
    /// Plaintext; erased when dropped.
    pub(super) plain: Zeroizing<Vec<u8>>,
    pub(super) sealed: Vec<u8>,
}

impl Buffers {
    /// Makes room for `len` bytes of plaintext. A buffer that is too short is erased and replaced: growing it would leave a copy.
    pub(super) fn resize_plain(&mut self, len: usize) -> Result<()> {
        if self.plain.capacity() < len {
            self.plain = Zeroizing::new(zeros(len)?);
        } else {
            self.plain.resize(len, 0);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Buffers(redacted)")
    }
}

/// A run of whole segments, the last of which may be the message's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// The position of its first segment.
    pub(super) position: u64,
    /// Where its plaintext begins.
    pub(super) offset: u64,
    /// Bytes of its plaintext.
    pub(super) len: usize,
    /// Whether it ends the message.
    pub(super) ends: bool,
}

/// Does `work` on every run of a message of this layout, on as many threads as the options say; the caller's thread is one of
/// them and tells the progress. The first error ends all.
pub(super) fn for_each(
    layout: &Layout,
    length: SegmentLength,
    options: &mut FileOptions<'_>,
    work: impl Fn(Run, &mut Buffers) -> Result<()> + Sync,
) -> Result<()> {
    let segments = (RUN / length.sealed_len()).max(1);
    let runs = layout.segments().div_ceil(segments as u64);
    let queue = Queue {
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    };
    let run_of = |index: u64| {
        let len = (segments * length.plain_len()) as u64;
        let offset = index.saturating_mul(len);
        Run {
            position: index.saturating_mul(segments as u64),
            offset,
            len: usize::try_from(layout.plaintext().saturating_sub(offset).min(len)).unwrap_or(0),
            ends: index + 1 == runs,
        }
    };
    let share = |tell: &mut dyn FnMut(u64) -> Result<()>| {
        let _stop = StopOnPanic(&queue.stopped);
        let mut buffers = Buffers::default();
        while let Some(index) = queue.take(runs) {
            let run = run_of(index);
            let worked = work(run, &mut buffers).and_then(|()| tell(queue.count(run.len)));
            if let Err(error) = worked {
                queue.stopped.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let run_bytes = segments * length.sealed_len();
    let helpers = workers(options.thread_count(), runs, run_bytes).saturating_sub(1);
    let total = layout.plaintext();
    std::thread::scope(|scope| {
        // Where the system has no thread to give, those there are do the work.
        let helpers: Vec<_> = (0..helpers)
            .map_while(|_| {
                let builder = std::thread::Builder::new();
                builder.spawn_scoped(scope, || share(&mut |_| Ok(()))).ok()
            })
            .collect();
        let mut outcome = share(&mut |done| options.report(done, total));
        for helper in helpers {
            let theirs = helper
                .join()
                .unwrap_or(Err(Error::Misuse("a worker thread panicked")));
            outcome = outcome.and(theirs);
        }
        // What helpers did last was told by no one yet.
        outcome.and_then(|()| options.report(total, total))
    })
}

/// Threads that are worth starting, and whose buffers are within bounds: long segments on many cores would take gigabytes.
fn workers(threads: usize, runs: u64, run_bytes: usize) -> usize {
    let runs = usize::try_from(runs).unwrap_or(usize::MAX);
    let bounded = BOUND / run_bytes.saturating_mul(2).max(1);
    threads.min(runs).min(bounded.max(1))
}

/// Stops the others where a thread panics, in the caller's progress for one.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

struct Queue {
    next: AtomicU64,
    done: AtomicU64,
    stopped: AtomicBool,
}

impl Queue {
    fn take(&self, runs: u64) -> Option<u64> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        // At most one step too far for each thread, so it cannot wrap: there are at most 2^40 runs.
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < runs).then_some(index)
    }

    fn count(&self, len: usize) -> u64 {
        let len = len as u64;
        self.done
            .fetch_add(len, Ordering::Relaxed)
            .saturating_add(len)
    }
}

#[cfg(test)]
mod tests {
    use super::workers;

    #[test]
    fn threads_are_as_many_as_asked_for_as_there_are_runs_and_as_memory_is_bounded_for() {
        let mib = 1 << 20;
        for (threads, runs, run_bytes, started) in [
            (1, 100, mib / 2, 1),
            (8, 100, mib / 2, 8),
            (8, 3, mib / 2, 3),
            (64, 100, mib / 2, 64),
            (64, 100, 16 * mib, 4),
            (64, 100, 1 << 30, 1),
            (8, 0, mib, 0),
        ] {
            assert_eq!(
                workers(threads, runs, run_bytes),
                started,
                "{threads} {runs}"
            );
        }
    }
}
