//! The threads that there are for work on several at once.

/// How many threads a piece of work may be given to, the caller's own among them: one where the system refuses to start others.
#[cfg(feature = "parallel")]
pub(crate) fn threads() -> usize {
    // Whoever is in a pool has threads, and a pool that is not there must not be asked for: rayon panics then.
    if rayon::current_thread_index().is_some() || is_pool_there() {
        rayon::current_num_threads()
    } else {
        1
    }
}

/// As with the feature.
#[cfg(not(feature = "parallel"))]
pub(crate) fn threads() -> usize {
    1
}

/// Starts rayon's global pool, once, unless the program did.
#[cfg(feature = "parallel")]
fn is_pool_there() -> bool {
    use std::error::Error as _;
    use std::sync::OnceLock;

    static IS_THERE: OnceLock<bool> = OnceLock::new();
    *IS_THERE.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // No thread is to be had: work goes on in the caller's.
        Err(error) if error.source().is_some() => false,
        // Somebody has tried before, and only the pool itself tells whether it started.
        Err(_) => std::panic::catch_unwind(rayon::current_num_threads).is_ok(),
    })
}

/// Applies `each` to all of `work`, in order of results, on all cores where the feature `parallel` is on.
pub(crate) fn map_all<T: Send, U: Send>(
    work: Vec<T>,
    each: impl Fn(T) -> U + Sync + Send,
) -> Vec<U> {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;
        if threads() > 1 {
            // A record takes microseconds: a few make a task.
            return work.into_par_iter().with_min_len(16).map(each).collect();
        }
    }
    work.into_iter().map(each).collect()
}
