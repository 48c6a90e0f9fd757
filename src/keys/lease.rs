//! How long a keyring that a file holds may be used without looking whether it still is the current one (FORMAT §9.2).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
#[cfg(any(test, not(target_os = "linux")))]
use std::time::UNIX_EPOCH;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, KeyId, Result};

/// The clocks are read for every 64th record at least.
const RECORDS: u64 = 64;
/// How far the coarse clock may go on, in milliseconds, before the exact ones are read for the next record.
const COARSE: u64 = 20;
/// How long what was not found, or not reached, is not looked for again by a reader.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a reader waits for another who reads the home already, and how often he looks whether that is done.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(1);

/// Where a keyring's keys are kept, and where they may change.
pub(crate) trait Home<K>: Send + Sync {
    /// Makes sure that the keyring holds what its home holds: looks whether that has changed, and reads it again if it has.
    fn confirm(&self, keyring: &K) -> Result<()>;

    /// Reads the keys again if their home has changed.
    fn look_for_change(&self, keyring: &K) -> Result<()>;

    /// The error of a keyring that cannot be confirmed.
    fn not_confirmed(&self, last: Option<SystemTime>, lease: Duration, why: &str) -> Error;
}

/// Keys with a lease.
pub(super) trait Leased {
    fn lease(&self) -> Option<Duration>;
}

/// A moment, by a clock that goes on while the machine sleeps and by that on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    running: Duration,
    pub(crate) wall: SystemTime,
}

/// The clocks. In tests they may be set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    pub(crate) set: Option<Arc<Mutex<(Duration, SystemTime)>>>,
}

/// When a keyring was last confirmed, and what keeps the clocks from being read for every record.
pub(super) struct Lease<K> {
    home: Arc<dyn Home<K>>,
    clock: Clock,
    confirmed: Mutex<Option<Moment>>,
    records: AtomicU64,
    /// The coarse clock when the exact ones were last read and all was well; 0 if it was not.
    well_at: AtomicU64,
    /// How many are at the home on behalf of readers, or change it: a reader does not wait for them.
    busy: AtomicU64,
    /// Which thread is at the home on behalf of a reader.
    looker: Mutex<Option<ThreadId>>,
    /// The last try of a reader that failed.
    failed: Mutex<Option<Moment>>,
    /// The last key that was looked for and not found; none stands for all, where the home could not be read.
    missed: Mutex<Option<(Option<KeyId>, Moment)>>,
}

impl Moment {
    /// How long ago `earlier` was, by the clock that says more; none if the wall clock went back.
    fn since(self, earlier: Self) -> Option<Duration> {
        let wall = self.wall.duration_since(earlier.wall).ok()?;
        Some(wall.max(self.running.saturating_sub(earlier.running)))
    }

    fn is_within(self, earlier: Option<Self>, time: Duration) -> bool {
        earlier
            .and_then(|earlier| self.since(earlier))
            .is_some_and(|since| since < time)
    }
}

impl Clock {
    pub(crate) fn now(&self) -> Moment {
        #[cfg(test)]
        if let Some(set) = &self.set {
            let (running, wall) = *set.lock().unwrap_or_else(PoisonError::into_inner);
            return Moment { running, wall };
        }
        Moment {
            running: running(),
            wall: SystemTime::now(),
        }
    }

    /// Milliseconds of a clock that is read at once and is right to some milliseconds.
    fn coarse(&self) -> u64 {
        #[cfg(test)]
        if let Some(set) = &self.set {
            let (_, wall) = *set.lock().unwrap_or_else(PoisonError::into_inner);
            return millis(wall.duration_since(UNIX_EPOCH).unwrap_or_default());
        }
        coarse()
    }
}

/// A clock that goes on while the machine sleeps.
#[cfg(target_os = "linux")]
fn running() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// The wall clock counts the machine's sleep here.
#[cfg(not(target_os = "linux"))]
fn running() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

/// The wall clock, which also knows of the machine's sleep.
#[cfg(target_os = "linux")]
fn coarse() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    millis(Duration::try_from(now).unwrap_or_default())
}

#[cfg(not(target_os = "linux"))]
fn coarse() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    millis(now.unwrap_or_default())
}

/// From 1 on: 0 is no time.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl<K: Leased> Lease<K> {
    pub(super) fn new(home: Arc<dyn Home<K>>, clock: Clock) -> Self {
        Self {
            home,
            clock,
            confirmed: Mutex::new(None),
            records: AtomicU64::new(0),
            well_at: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            looker: Mutex::new(None),
            failed: Mutex::new(None),
            missed: Mutex::new(None),
        }
    }

    /// The lease begins at `before`, a moment from before the home was looked at.
    pub(super) fn confirmed(&self, before: Option<Moment>) {
        *locked(&self.confirmed) = before;
        self.well_at.store(0, Ordering::Release);
    }

    pub(super) fn last_confirmed(&self) -> Option<SystemTime> {
        locked(&self.confirmed).map(|moment| moment.wall)
    }

    // FORMAT §9.2, Lease: if it cannot confirm, it wraps nothing.
    /// Makes sure that the keyring was confirmed within its lease, before something is wrapped.
    pub(super) fn confirm_to_wrap(&self, keyring: &K) -> Result<()> {
        if self.was_well_just_now() || self.is_within(keyring) {
            return Ok(());
        }
        let outcome = self.home.confirm(keyring);
        let why = match outcome {
            // The look itself may have taken longer than the lease.
            Ok(()) if self.is_within(keyring) => return Ok(()),
            Ok(()) => {
                "the look at it took longer than the lease, or the clock was set back".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let (last, lease) = (self.last_confirmed(), keyring.lease());
        Err(self
            .home
            .not_confirmed(last, lease.unwrap_or_default(), &why))
    }

    /// Looks whether the keyring is the current one when its lease is over. Where its home cannot be reached, reading goes on.
    pub(super) fn confirm_to_read(&self, keyring: &K) {
        if self.was_well_just_now() || self.is_within(keyring) {
            return;
        }
        let now = self.clock.now();
        if now.is_within(*locked(&self.failed), PAUSE) {
            return;
        }
        if let Some(_busy) = self.begin() {
            let failed = self.home.confirm(keyring).is_err() || !self.is_within(keyring);
            *locked(&self.failed) = failed.then_some(now);
        }
    }

    /// Reads the keys again if their home has changed: a header names a key that is not known here.
    pub(super) fn look_for(&self, id: KeyId, keyring: &K) {
        let now = self.clock.now();
        let missed = *locked(&self.missed);
        let is_paused = |(missed, at): (Option<KeyId>, Moment)| {
            missed.is_none_or(|missed| missed == id) && now.is_within(Some(at), PAUSE)
        };
        if missed.is_some_and(is_paused) {
            return;
        }
        if let Some(_busy) = self.begin() {
            // What keeps the home from being read is met, and told, by whoever confirms. To find it out may cost a derivation by Argon2id,
            // and a hostile header names many keys.
            let outcome = self.home.look_for_change(keyring);
            let missed = outcome.is_ok().then_some(id);
            *locked(&self.missed) = Some((missed, self.clock.now()));
        } else {
            self.wait_for_looker();
        }
    }

    /// None if somebody is at it: a reader goes on with what there is.
    fn begin(&self) -> Option<Looking<'_>> {
        let free = self
            .busy
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        free.ok()?;
        *locked(&self.looker) = Some(thread::current().id());
        Some(Looking {
            looker: &self.looker,
            _busy: Busy(&self.busy),
        })
    }

    /// What another thread reads may be just what is missing here. Not for ever, and not for whoever comes back here from his own look, as
    /// with a keyring that protects its own file.
    fn wait_for_looker(&self) {
        let began = Instant::now();
        let me = thread::current().id();
        while locked(&self.looker).is_some_and(|looker| looker != me) && began.elapsed() < PATIENCE
        {
            thread::sleep(POLL);
        }
    }

    /// No reader goes to the home until this is dropped: who has the file locked would wait for himself.
    pub(super) fn begin_change(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(&self.busy)
    }

    /// Whether the clocks need not be read for this record.
    fn was_well_just_now(&self) -> bool {
        let well_at = self.well_at.load(Ordering::Acquire);
        well_at != 0
            && !self
                .records
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(RECORDS)
            && self.clock.coarse().abs_diff(well_at) <= COARSE
    }

    fn is_within(&self, keyring: &K) -> bool {
        let (coarse, now) = (self.clock.coarse(), self.clock.now());
        let lease = keyring.lease().unwrap_or_default();
        let confirmed = locked(&self.confirmed);
        let is_within = now.is_within(*confirmed, lease);
        // Where the end is near, the exact clocks are read for every record.
        let is_far = now.is_within(
            *confirmed,
            lease.saturating_sub(Duration::from_millis(2 * COARSE)),
        );
        // Under the lock: what ends the lease meanwhile is not undone here.
        self.well_at
            .store(if is_far { coarse } else { 0 }, Ordering::Release);
        is_within
    }
}

/// Somebody is at a keyring's home until it is dropped.
pub(crate) struct Busy<'a>(&'a AtomicU64);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Somebody is at a keyring's home on behalf of a reader until it is dropped.
struct Looking<'a> {
    looker: &'a Mutex<Option<ThreadId>>,
    _busy: Busy<'a>,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        *locked(self.looker) = None;
    }
}

impl<K: Leased> fmt::Debug for Lease<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("confirmed", &self.last_confirmed())
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
