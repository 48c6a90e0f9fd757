//! The standard library, but with the locks, atomics, channels and threads of `shuttle`.
//!
//! A crate that is given this under the name `std` is scheduled by `shuttle` without a word of its source being changed.

pub use ::std::*;

/// As `std::sync`.
pub mod sync {
    pub use ::std::sync::*;
    pub use shuttle::sync::{Mutex, MutexGuard, RwLock, atomic, mpsc};
}

/// As `std::thread`.
pub mod thread {
    pub use ::std::thread::*;
    pub use shuttle::thread::{JoinHandle, Scope, ScopedJoinHandle, scope, sleep, spawn};

    /// As `std::thread::Builder`, as far as the library uses it: every thread starts.
    #[derive(Debug, Default)]
    pub struct Builder;

    #[allow(missing_docs, clippy::missing_errors_doc)] // as there
    impl Builder {
        #[must_use]
        pub fn new() -> Self {
            Self
        }

        #[must_use]
        pub fn name(self, _: String) -> Self {
            self
        }

        pub fn spawn<F, T>(self, work: F) -> ::std::io::Result<JoinHandle<T>>
        where
            F: FnOnce() -> T + Send + 'static,
            T: Send + 'static,
        {
            Ok(spawn(work))
        }

        pub fn spawn_scoped<'scope, F, T>(
            self,
            scope: &'scope Scope<'scope, '_>,
            work: F,
        ) -> ::std::io::Result<ScopedJoinHandle<'scope, T>>
        where
            F: FnOnce() -> T + Send + 'scope,
            T: Send + 'scope,
        {
            Ok(scope.spawn(work))
        }
    }
}
