//! Many segments at once.

#[cfg(feature = "parallel")]
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::length::SegmentLength;
use crate::secret::on_cleared_stack;

/// Bytes of segments that are sealed or opened together, for one thread: what its cache holds, plaintext and all.
const ONE: usize = 1 << 17;

/// For each of several threads, which meet after every batch, and for all of them.
const EACH: usize = 1 << 19;
const MOST: usize = 1 << 20;

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
    /// Segments of a batch: at most 1 MiB of them, or one for each thread where that is more.
    pub(crate) fn batch(self, length: SegmentLength) -> usize {
        let threads = self.count();
        let bytes = match threads {
            1 => ONE,
            more => EACH.saturating_mul(more).min(MOST),
        };
        let most = isize::MAX.unsigned_abs() / length.sealed_len();
        (bytes / length.sealed_len()).max(threads).min(most).max(1)
    }

    /// Segments of two thirds of a batch, where that is enough for several threads. Then some are written while the next are sealed,
    /// and three times as many take two batches.
    pub(super) fn overlapping(self, length: SegmentLength) -> Option<usize> {
        let part = self.batch(length).saturating_mul(2) / 3;
        (self.count() > 1 && part >= self.count()).then_some(part)
    }

    #[cfg(feature = "parallel")]
    fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::All => rayon::current_num_threads(),
        }
    }

    #[cfg(not(feature = "parallel"))]
    fn count(self) -> usize {
        1
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
