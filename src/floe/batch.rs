//! Many segments at once.

#[cfg(feature = "parallel")]
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::length::SegmentLength;
use crate::parallel;
use crate::secret::on_cleared_stack;

/// Bytes of segments that are sealed or opened together, for one thread: what its cache holds, plaintext and all.
const ONE: usize = 1 << 17;

/// For each of several threads, which meet after every batch, and for all of them.
const EACH: usize = 1 << 19;
const MOST: usize = 1 << 20;

/// Bytes of segments in a batch however many threads there are, unless one segment alone is longer.
const BOUND: usize = 1 << 25;

/// Work for one thread that is worth handing it.
#[cfg(feature = "parallel")]
const SHARE: usize = 1 << 15;

/// How many threads may seal and open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The caller's own.
    One,
    /// As many as there are cores with the feature `parallel`, else the caller's own.
    All,
}

impl Threads {
    /// Segments of a batch: at most 1 MiB of them, or one for each thread where that is more, up to 32 MiB.
    pub(crate) fn batch(self, length: SegmentLength) -> usize {
        let threads = self.count();
        let bytes = match threads {
            1 => ONE,
            more => EACH.saturating_mul(more).min(MOST),
        };
        let most = isize::MAX.unsigned_abs() / length.sealed_len();
        let one_each = threads.min(BOUND / length.sealed_len());
        (bytes / length.sealed_len()).max(one_each).min(most).max(1)
    }

    /// Segments of two thirds of a batch, where that is enough for several threads. Then some are written while the next are sealed,
    /// and three times as many take two batches.
    pub(super) fn overlapping(self, length: SegmentLength) -> Option<usize> {
        let part = self.batch(length).saturating_mul(2) / 3;
        (self.count() > 1 && part >= self.count()).then_some(part)
    }

    fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::All => parallel::threads(),
        }
    }

    /// Does `work` on the items, `bytes` bytes each, until one fails, and returns the first failure in their order. All
    /// items before that one have succeeded.
    pub(super) fn first_failure<T: Send, E: Send>(
        self,
        items: Vec<T>,
        bytes: usize,
        work: impl Fn(T) -> Result<(), E> + Send + Sync,
    ) -> Option<E> {
        self.first_failure_while(items, bytes, work, || {})
    }

    /// [`first_failure`](Self::first_failure), and once `meanwhile` on the caller's thread: at the same time as others begin, where
    /// there are others.
    ///
    /// The caller's thread works too, so that a helper that is slow to wake costs only its own part.
    #[cfg(feature = "parallel")]
    pub(super) fn first_failure_while<T: Send, E: Send>(
        self,
        items: Vec<T>,
        bytes: usize,
        work: impl Fn(T) -> Result<(), E> + Send + Sync,
        meanwhile: impl FnOnce(),
    ) -> Option<E> {
        let share = SHARE.div_ceil(bytes.max(1));
        let helpers = self.count().min(items.len() / share).saturating_sub(1);
        if helpers == 0 {
            meanwhile();
            return one_by_one(items, work);
        }
        // Handed out in order: when one fails, all before it are done or with a thread that finishes them.
        let queue = Mutex::new(items.into_iter().enumerate());
        let failure = Mutex::new(None);
        let take = || -> Vec<_> {
            if locked(&failure).is_some() {
                return Vec::new();
            }
            locked(&queue).by_ref().take(share).collect()
        };
        let run = || {
            loop {
                let taken = take();
                if taken.is_empty() {
                    return;
                }
                for (index, item) in taken {
                    let Err(error) = work(item) else {
                        continue;
                    };
                    let mut failure = locked(&failure);
                    if failure.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failure = Some((index, error));
                    }
                    return;
                }
            }
        };
        rayon::in_place_scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| on_cleared_stack(run));
            }
            meanwhile();
            on_cleared_stack(run);
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map(|(_, error)| error)
    }

    #[cfg(not(feature = "parallel"))]
    pub(super) fn first_failure_while<T, E>(
        self,
        items: Vec<T>,
        _bytes: usize,
        work: impl Fn(T) -> Result<(), E>,
        meanwhile: impl FnOnce(),
    ) -> Option<E> {
        meanwhile();
        one_by_one(items, work)
    }
}

#[cfg(feature = "parallel")]
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one_by_one<T, E>(items: Vec<T>, work: impl Fn(T) -> Result<(), E>) -> Option<E> {
    let mut items = items.into_iter();
    on_cleared_stack(|| items.find_map(|item| work(item).err()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(encrypted: u32) -> SegmentLength {
        SegmentLength::new(encrypted).unwrap()
    }

    #[test]
    fn one_thread_has_128_kib_of_segments_or_one_segment() {
        for (sealed, segments) in [
            (64, 2048),
            (4096, 32),
            (65_536, 2),
            (100_000, 1),
            (1 << 20, 1),
            (u32::MAX - 1, 1),
        ] {
            let length = length(sealed);
            assert_eq!(Threads::One.batch(length), segments);
            assert_eq!(Threads::One.overlapping(length), None);
            #[cfg(not(feature = "parallel"))]
            assert_eq!(Threads::All.batch(length), segments);
        }
    }

    #[cfg(feature = "parallel")]
    mod of_several_threads {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::thread;
        use std::time::{Duration, Instant};

        use super::*;

        fn on<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(run)
        }

        #[test]
        fn they_have_1_mib_of_segments_or_one_each() {
            for (threads, sealed, segments, overlapping) in [
                (1, 4096, 32, None),
                (2, 4096, 256, Some(170)),
                (4, 4096, 256, Some(170)),
                (2, 262_144, 4, Some(2)),
                (2, 300_000, 3, Some(2)),
                (2, 600_000, 2, None),
                (3, 1 << 20, 3, None),
                (17, 65_536, 17, None),
                (17, 1 << 24, 2, None),
                (2, 1 << 30, 1, None),
            ] {
                let length = length(sealed);
                let found = on(threads, || {
                    (Threads::All.batch(length), Threads::All.overlapping(length))
                });
                assert_eq!(found, (segments, overlapping), "{threads} {sealed}");
            }
        }

        #[test]
        fn of_two_failures_the_first_in_order_is_reported_whichever_came_first() {
            for early in [0, 1] {
                let begun = AtomicUsize::new(0);
                let fail = |item| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let patience = Instant::now() + Duration::from_secs(10);
                    while begun.load(Ordering::SeqCst) < 2 {
                        assert!(Instant::now() < patience, "one after the other");
                        thread::yield_now();
                    }
                    if item != early {
                        thread::sleep(Duration::from_millis(50));
                    }
                    Err(item)
                };
                let failure = on(2, || Threads::All.first_failure(vec![0, 1], SHARE, fail));
                assert_eq!(failure, Some(0), "{early}");
            }
        }

        #[test]
        fn less_than_two_shares_are_left_to_the_callers_thread() {
            let begun = AtomicUsize::new(0);
            let work = |()| {
                begun.fetch_add(1, Ordering::SeqCst);
                Ok::<(), ()>(())
            };
            let meanwhile = || {
                thread::sleep(Duration::from_millis(50));
                assert_eq!(begun.load(Ordering::SeqCst), 0);
            };
            let items = vec![(); 3]; // two of them are a share
            let failure = on(2, || {
                Threads::All.first_failure_while(items, SHARE / 2, work, meanwhile)
            });
            assert_eq!((failure, begun.into_inner()), (None, 3));
        }
    }
}
