//! Many files, each worked on by one of several threads.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::signals;

/// Bytes of a file that is worth all threads.
const LARGE: u64 = 64 << 20;

/// Does `work` on each of `items`, and tells the calling thread of what came of it, until it says that this is enough or a signal asks
/// the work to end. What is being worked on then is finished or broken off, and told of too.
pub(super) fn each<I: Iterator + Send, T: Send>(
    items: I,
    threads: NonZeroUsize,
    work: impl Fn(I::Item) -> T + Sync,
    mut tell: impl FnMut(T) -> ControlFlow<()>,
) where
    I::Item: Send,
{
    let items = Mutex::new(items);
    let is_stopped = AtomicBool::new(false);
    let next = || {
        let ends = is_stopped.load(Ordering::SeqCst) || signals::caught().is_some();
        if ends { None } else { lock(&items).next() }
    };
    let mut tell = |done| {
        if tell(done).is_break() {
            is_stopped.store(true, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads.get().saturating_mul(4));
        let mut started = 0;
        for _ in 0..threads.get() {
            let sender = sender.clone();
            let share = || {
                let sender = sender;
                while let Some(item) = next() {
                    if sender.send(work(item)).is_err() {
                        break;
                    }
                }
            };
            if thread::Builder::new().spawn_scoped(scope, share).is_err() {
                break;
            }
            started += 1;
        }
        drop(sender);
        receiver.iter().for_each(&mut tell);
        if started == 0 {
            // Where the system has no thread to give, this one does the work.
            while let Some(item) = next() {
                tell(work(item));
            }
        }
    });
}

/// Who works on a file: one thread, or for a large one all of them, one large file at a time.
pub(super) struct Crew {
    threads: NonZeroUsize,
    large: Mutex<()>,
}

impl Crew {
    pub(super) fn new(threads: NonZeroUsize) -> Self {
        Self {
            threads,
            large: Mutex::default(),
        }
    }

    /// The threads for a file of so many bytes, as long as the turn lasts.
    pub(super) fn turn(&self, bytes: u64) -> Turn<'_> {
        if bytes < LARGE || self.threads == NonZeroUsize::MIN {
            return Turn {
                threads: NonZeroUsize::MIN,
                _large: None,
            };
        }
        Turn {
            _large: Some(lock(&self.large)),
            threads: self.threads,
        }
    }
}

/// The threads that a file has.
pub(super) struct Turn<'a> {
    pub(super) threads: NonZeroUsize,
    _large: Option<MutexGuard<'a, ()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
