//! Threads that work on what a walk meets, and hand over what they made of it.

use std::io;
use std::num::NonZeroU32;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::vec;

use super::tree::FileTree;
use super::walk::{Met, Walk};
use crate::error::Result;

/// Batches that may wait for whoever takes them, for each thread.
const WAITING: usize = 2;
/// How long a thread that waits for its turn does not look whether it is to stop.
const NAP: Duration = Duration::from_millis(20);

/// What threads make of a tree, in no order. Dropped, it stops them, each after what it is at, and waits.
pub(super) struct Crew<T> {
    ready: vec::IntoIter<T>,
    made: Option<Receiver<Vec<T>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// What the threads share.
struct Shared {
    walk: Mutex<Walk>,
    pace: Option<Pace>,
    stop: Arc<AtomicBool>,
    batch: usize,
}

impl<T: Send + 'static> Crew<T> {
    /// Starts to work on a tree. `batch` is how many a thread takes and hands over at once.
    pub(super) fn start(
        tree: FileTree,
        batch: usize,
        work: impl Fn(Met) -> T + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_on(tree, |walk| walk, batch, work)
    }

    /// [`start`](Self::start), on a walk with choices of its own.
    pub(super) fn start_on(
        tree: FileTree,
        prepare: impl FnOnce(Walk) -> Walk,
        batch: usize,
        work: impl Fn(Met) -> T + Send + Sync + 'static,
    ) -> Result<Self> {
        let count = tree.thread_count();
        let stop = Arc::new(AtomicBool::new(false));
        let pace = tree.rate().map(Pace::new);
        // What is done slowly is told at once.
        let batch = if pace.is_some() { 1 } else { batch };
        let shared = Arc::new(Shared {
            pace,
            walk: Mutex::new(prepare(tree.walk())),
            stop: Arc::clone(&stop),
            batch,
        });
        let work = Arc::new(work);
        let (sender, made) = sync_channel(count.saturating_mul(WAITING));
        let mut threads = Vec::new();
        for _ in 0..count {
            let (shared, work, sender) = (Arc::clone(&shared), Arc::clone(&work), sender.clone());
            let started = thread::Builder::new()
                .name("phi-envelope".to_owned())
                .spawn(move || shared.work(&*work, &sender));
            match started {
                Ok(thread) => threads.push(thread),
                // Where the system has no more threads to give, those there are do the work.
                Err(_) if !threads.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self {
            ready: Vec::new().into_iter(),
            made: Some(made),
            threads,
            stop,
        })
    }

    /// Nothing more is begun; what is finished still comes.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl<T> Iterator for Crew<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(item) = self.ready.next() {
                return Some(item);
            }
            match self.made.as_ref()?.recv() {
                Ok(batch) => self.ready = batch.into_iter(),
                Err(_) => {
                    self.made = None;
                    for thread in self.threads.drain(..) {
                        // What it had taken was not worked on: to end as if all was would be a lie.
                        if let Err(panic) = thread.join() {
                            resume_unwind(panic);
                        }
                    }
                }
            }
        }
    }
}

impl<T> Drop for Crew<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.made = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work<T>(&self, work: &impl Fn(Met) -> T, made: &SyncSender<Vec<T>>) {
        while !self.stopped() {
            let taken = self.take();
            if taken.is_empty() {
                return;
            }
            let mut batch = Vec::with_capacity(taken.len());
            for met in taken {
                if let (Some(pace), Met::File { .. }) = (&self.pace, &met) {
                    self.wait_until(pace.turn());
                }
                if self.stopped() {
                    break;
                }
                batch.push(work(met));
            }
            if made.send(batch).is_err() {
                return;
            }
        }
    }

    fn take(&self) -> Vec<Met> {
        // Where the caller's list of roots panicked in another thread, that one says so.
        let mut walk = self.walk.lock().unwrap_or_else(PoisonError::into_inner);
        walk.by_ref().take(self.batch).collect()
    }

    fn wait_until(&self, turn: Instant) {
        loop {
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stopped() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// So many a second and no more.
struct Pace {
    between: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(per_second: NonZeroU32) -> Self {
        Self {
            between: Duration::from_secs(1) / per_second.get(),
            next: Mutex::new(Instant::now()),
        }
    }

    /// When the next may be begun. Each asks for itself.
    fn turn(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = (*next).max(Instant::now());
        *next = mine + self.between;
        mine
    }
}

/// How far a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Files that were looked at.
    pub done: u64,
    /// Files that there are, where it was counted.
    pub total: Option<u64>,
    /// The time since the pass began.
    pub elapsed: Duration,
    /// The time that the rest takes if it goes on as it went, where the total is known and something is done.
    pub left: Option<Duration>,
}

impl Progress {
    pub(super) fn new(done: u64, total: Option<u64>, began: Instant) -> Self {
        let elapsed = began.elapsed();
        let left = total.filter(|_| done > 0).map(|total| {
            #[allow(clippy::cast_precision_loss)] // an estimate
            let share = total.saturating_sub(done) as f64 / done as f64;
            Duration::try_from_secs_f64(elapsed.as_secs_f64() * share).unwrap_or(Duration::MAX)
        });
        Self {
            done,
            total,
            elapsed,
            left,
        }
    }
}

/// An error of the file system that says only that a file is not there any more.
pub(super) fn is_gone(error: &crate::error::Error) -> bool {
    matches!(error, crate::error::Error::Io(error) if error.kind() == io::ErrorKind::NotFound)
}
