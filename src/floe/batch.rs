//! Many segments at once.

use super::length::SegmentLength;
use crate::secret::on_cleared_stack;

/// Bytes of segments that are sealed or opened together, for one thread: what its cache holds, plaintext and all.
const ONE: usize = 1 << 17;

/// For each of several threads, which meet after every batch, and for all of them.
const EACH: usize = 1 << 18;
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
    #[cfg(feature = "parallel")]
    pub(super) fn first_failure<T: Send, E: Send>(
        self,
        items: Vec<T>,
        bytes: usize,
        work: impl Fn(T) -> Result<(), E> + Send + Sync,
    ) -> Option<E> {
        use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _};
        use rayon::prelude::ParallelIterator as _;

        let share = SHARE.div_ceil(bytes.max(1));
        if self.count() > 1 && items.len() > share {
            let items = items.into_par_iter().with_min_len(share);
            items.find_map_first(|item| on_cleared_stack(|| work(item).err()))
        } else {
            one_by_one(items, work)
        }
    }

    #[cfg(not(feature = "parallel"))]
    pub(super) fn first_failure<T, E>(
        self,
        items: Vec<T>,
        _bytes: usize,
        work: impl Fn(T) -> Result<(), E>,
    ) -> Option<E> {
        one_by_one(items, work)
    }
}

fn one_by_one<T, E>(items: Vec<T>, work: impl Fn(T) -> Result<(), E>) -> Option<E> {
    let mut items = items.into_iter();
    items.find_map(|item| on_cleared_stack(|| work(item).err()))
}
