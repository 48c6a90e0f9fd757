//! What a folder was before it was read, and whether its times will tell of a change that comes after that.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A system's clock for files goes on at least this often: on Linux every 10 ms, or more often.
const TICK: Duration = Duration::from_millis(20);
/// Times without a fraction may be of a file system that counts in steps of two seconds.
const LONGEST_STEP: Duration = Duration::from_secs(2);
/// How long all looks of one walk may wait, for the next step of the clock.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a look waits for one folder.
const WAITS: usize = 2;

/// What tells whether a folder, or a file that was named, has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The device and the inode.
    pub(super) identity: (u64, u64),
    modified: Time,
    changed: Time,
}

/// Seconds since 1970, and nanoseconds.
type Time = (i64, i64);

/// A stamp, and what is known about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) stamp: Stamp,
    /// Whether a change after this look is sure to change the stamp.
    pub(super) is_telling: bool,
    at: Instant,
}

/// How folders are looked at.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    /// How far the clock of a file system and that of this machine may differ.
    allowance: Duration,
    patience: Duration,
    /// Whether the file system of a path takes its times from the clock of this machine.
    is_local: fn(&Path) -> bool,
    /// The steps of the file system's clock, if it is to have coarser ones than it has.
    #[cfg(test)]
    step: Option<Duration>,
}

/// Looks at folders while they are read.
pub(super) struct Lookout {
    sight: Sight,
    before: HashMap<PathBuf, Sighting>,
    patience: Mutex<Duration>,
}

impl Stamp {
    /// Its present state. A root that is a link is followed to its target.
    pub(super) fn of(path: &Path, is_named: bool) -> io::Result<Self> {
        let read = || {
            if is_named {
                fs::metadata(path)
            } else {
                fs::symlink_metadata(path)
            }
        };
        read().map(|metadata| Self::from(&metadata))
    }

    fn last(&self) -> Time {
        self.modified.max(self.changed)
    }

    /// How long it takes until a change certainly gets another time. The steps of a file system's clock are seen in how many zeros the
    /// nanoseconds end with.
    fn wait(&self) -> Duration {
        let (_, mut nanoseconds) = self.last();
        if nanoseconds == 0 {
            return LONGEST_STEP + TICK;
        }
        let mut step = 1;
        while nanoseconds % 10 == 0 {
            (nanoseconds, step) = (nanoseconds / 10, step * 10);
        }
        Duration::from_nanos(step) + TICK
    }

    /// Whether its last change was longer ago than this, by the clock of this machine.
    fn is_older_than(&self, age: Duration) -> bool {
        let (seconds, nanoseconds) = self.last();
        let Ok(seconds) = u64::try_from(seconds) else {
            // Before 1970.
            return true;
        };
        let nanoseconds = u64::try_from(nanoseconds).unwrap_or_default();
        let since = Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds));
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        since.saturating_add(age) < now.unwrap_or_default()
    }
}

impl Sight {
    pub(super) fn new(allowance: Duration) -> Self {
        Self {
            allowance,
            patience: PATIENCE,
            is_local,
            #[cfg(test)]
            step: None,
        }
    }

    /// Whether what was seen has changed since, or may have.
    pub(super) fn has_changed(&self, path: &Path, is_named: bool, seen: &Sighting) -> bool {
        !seen.is_telling || self.stamp(path, is_named).ok() != Some(seen.stamp)
    }

    // FORMAT §9.4: a folder whose time is not older than its reading counts as changed.
    /// Looks once. What was `before` and still is, although the clock of its file system has gone on since, is older than that.
    fn look(&self, path: &Path, is_named: bool, before: Option<&Sighting>) -> io::Result<Sighting> {
        let now = Instant::now();
        let stamp = self.stamp(path, is_named)?;
        let wait = stamp.wait();
        let is_old = |margin| stamp.is_older_than(wait.saturating_add(margin));
        let has_stood = before.is_some_and(|before| {
            before.stamp == stamp && now.saturating_duration_since(before.at) >= wait
        });
        let is_telling =
            has_stood || is_old(self.allowance) || is_old(Duration::ZERO) && (self.is_local)(path);
        let at = Instant::now();
        Ok(Sighting {
            stamp,
            is_telling,
            at,
        })
    }

    fn stamp(&self, path: &Path, is_named: bool) -> io::Result<Stamp> {
        let stamp = Stamp::of(path, is_named)?;
        #[cfg(test)]
        if let Some(step) = self.step {
            return Ok(stamp.in_steps_of(step));
        }
        Ok(stamp)
    }
}

impl Sighting {
    /// How long it is until a second look can tell more than this one.
    pub(super) fn wait(&self) -> Duration {
        self.stamp.wait().saturating_sub(self.at.elapsed())
    }
}

impl Lookout {
    /// Looks at folders that were seen `before`, and at others.
    pub(super) fn new(sight: Sight, before: HashMap<PathBuf, Sighting>) -> Self {
        Self {
            sight,
            before,
            patience: Mutex::new(sight.patience),
        }
    }

    /// Looks at a folder right before it is read. If it has just changed, this waits until the clock of its file system has gone on; not
    /// for ever, and not for each of many.
    pub(super) fn look(&self, path: &Path, is_named: bool) -> io::Result<Sighting> {
        let before = self.before.get(path);
        let mut seen = self.sight.look(path, is_named, before)?;
        for _ in 0..WAITS {
            if seen.is_telling || !self.may_wait(seen.wait()) {
                break;
            }
            sleep(seen.wait());
            seen = self.sight.look(path, is_named, Some(&seen))?;
        }
        Ok(seen)
    }

    fn may_wait(&self, time: Duration) -> bool {
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let left = patience.checked_sub(time);
        *patience = left.unwrap_or(*patience);
        left.is_some()
    }
}

/// Whether a file system takes its times from the clock of this machine. Of one on a network, or behind another program, nobody knows.
#[cfg(target_os = "linux")]
fn is_local(path: &Path) -> bool {
    // ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS, bcachefs
    const LOCAL: [u64; 7] = [
        0xEF53,
        0x5846_5342,
        0x9123_683E,
        0x0102_1994,
        0xF2F5_2010,
        0x2FC1_2FC1,
        0xCA45_1A4E,
    ];
    // As wide as a register, and signed on some machines.
    let kind = |of: rustix::fs::StatFs| u64::try_from(of.f_type & 0xFFFF_FFFF).unwrap_or_default();
    rustix::fs::statfs(path).is_ok_and(|of| LOCAL.contains(&kind(of)))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_: &Path) -> bool {
    false
}

#[cfg(unix)]
impl From<&fs::Metadata> for Stamp {
    fn from(of: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            identity: (of.dev(), of.ino()),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        }
    }
}

#[cfg(not(unix))]
impl From<&fs::Metadata> for Stamp {
    fn from(of: &fs::Metadata) -> Self {
        let modified = of.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let since = since.unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
        let time = (seconds, i64::from(since.subsec_nanos()));
        Self {
            identity: (0, 0),
            modified: time,
            changed: time,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Stamp {
        pub(super) fn in_steps_of(mut self, step: Duration) -> Self {
            let step = i64::try_from(step.as_nanos()).unwrap();
            for (_, nanoseconds) in [&mut self.modified, &mut self.changed] {
                *nanoseconds -= *nanoseconds % step;
            }
            self
        }
    }

    impl Sight {
        /// On a file system whose clock goes on in such steps.
        pub(in super::super) fn in_steps_of(mut self, step: Duration) -> Self {
            self.step = Some(step);
            self
        }

        /// On a file system whose clock nobody knows.
        pub(in super::super) fn of_elsewhere(mut self) -> Self {
            self.is_local = |_| false;
            self
        }

        pub(in super::super) fn without_patience(mut self) -> Self {
            self.patience = Duration::ZERO;
            self
        }
    }

    const ALLOWANCE: Duration = Duration::from_secs(300);

    fn stamp(seconds: i64, nanoseconds: i64) -> Stamp {
        Stamp {
            identity: (1, 2),
            modified: (seconds, nanoseconds),
            changed: (seconds, 0),
        }
    }

    #[test]
    fn the_steps_of_a_clock_are_seen_in_its_times() {
        for (nanoseconds, step) in [
            (123_456_789, 1),
            (123_456_700, 100),
            (120_000_000, 10_000_000),
            (500_000_000, 100_000_000),
            (0, 2_000_000_000),
        ] {
            let wait = stamp(1, nanoseconds).wait();
            assert_eq!(wait, TICK + Duration::from_nanos(step), "{nanoseconds}");
        }
    }

    #[test]
    fn a_stamp_tells_once_it_is_old_or_has_stood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for sight in [
            Sight::new(ALLOWANCE),
            Sight::new(ALLOWANCE).of_elsewhere(),
            Sight::new(ALLOWANCE).in_steps_of(Duration::from_millis(10)),
        ] {
            fs::write(path.join("file"), "").unwrap();
            fs::remove_file(path.join("file")).unwrap();
            let impatient = Lookout::new(sight.without_patience(), HashMap::new());
            let seen = impatient.look(path, true).unwrap();
            let patient = Lookout::new(sight, HashMap::new());
            assert!(patient.look(path, true).unwrap().is_telling);
            // Seen before, and waited for.
            sleep(seen.wait());
            let before = HashMap::from([(path.to_owned(), seen)]);
            let again = Lookout::new(sight.without_patience(), before);
            assert!(again.look(path, true).unwrap().is_telling);
            assert!(!sight.has_changed(path, true, &again.look(path, true).unwrap()));
            fs::write(path.join("file"), "").unwrap();
            let last = again.look(path, true).unwrap();
            assert_ne!(last.stamp, seen.stamp);
        }
    }

    #[test]
    fn a_stamp_of_just_now_does_not_tell_and_counts_as_changed() {
        let folder = tempfile::tempdir().unwrap();
        // No test is so slow that a file system elsewhere would be known to be five minutes further.
        let sight = Sight::new(ALLOWANCE).of_elsewhere().without_patience();
        let seen = Lookout::new(sight, HashMap::new())
            .look(folder.path(), true)
            .unwrap();
        assert!(!seen.is_telling && sight.has_changed(folder.path(), true, &seen));
    }

    #[test]
    fn a_time_that_lies_ahead_tells_once_it_has_stood() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = SystemTime::now() + Duration::from_secs(1 << 30);
        fs::File::open(folder.path())
            .unwrap()
            .set_modified(ahead)
            .unwrap();
        let sight = Sight::new(ALLOWANCE);
        let seen = |sight| Lookout::new(sight, HashMap::new()).look(folder.path(), true);
        assert!(!seen(sight.without_patience()).unwrap().is_telling);
        assert!(seen(sight).unwrap().is_telling);
        assert!(stamp(-1, 5).is_older_than(ALLOWANCE));
    }
}
