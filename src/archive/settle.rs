//! FORMAT §9.4: since when a key does not wrap any more, and when a scan began, by two clocks.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::json::seconds;
use crate::disk::{Disk, folder_of};

/// What the clocks said when a scan began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    scanner: u64,
    /// The scanner's clock again, once the store's was read: that may have taken a while.
    after: u64,
    /// None if no file could be made beside the keyring's.
    store: Option<u64>,
    settled: u64,
}

impl Clocks {
    // FORMAT §9.4: `settled_since`: the later of the key's `changed` and the keyring's file's modification time, read before anything is
    // written; `began`: the earlier of the scanner's clock and the store's, the modification time of a file made for it beside the
    // keyring's.
    /// Reads the clocks of a keyring's file, one of whose keys changed at `changed`.
    pub(super) fn read(disk: &Disk, keyring: &Path, changed: SystemTime) -> io::Result<Self> {
        let path = disk.resolve(keyring)?;
        let scanner = seconds(SystemTime::now());
        let written = disk.metadata(&path).as_ref().map_or(None, modified);
        Ok(Self {
            settled: seconds(changed).max(written.unwrap_or(scanner)),
            store: disk.clock_of(&folder_of(&path)).ok().map(seconds),
            scanner,
            after: seconds(SystemTime::now()),
        })
    }

    /// The clock of a scan about a key that is in no keyring's file.
    pub(super) fn of_scanner() -> Self {
        let now = seconds(SystemTime::now());
        Self {
            scanner: now,
            after: now,
            store: None,
            settled: now,
        }
    }

    pub(super) fn began(&self) -> u64 {
        self.scanner.min(self.store.unwrap_or(u64::MAX))
    }

    // FORMAT §9.4: where both differ by more than the allowance, `settled_since` is written equal to `began`: nothing is settled.
    pub(super) fn settled_since(&self, allowance: Duration) -> u64 {
        if self.differ(allowance) {
            self.began()
        } else {
            self.settled
        }
    }

    /// Whether the two clocks differ by more than the allowance.
    pub(super) fn differ(&self, allowance: Duration) -> bool {
        let (store, most) = (self.store.unwrap_or(self.scanner), allowance.as_secs());
        store.saturating_add(most) < self.scanner || store > self.after.saturating_add(most)
    }

    /// Whether the store's clock could be read.
    pub(super) fn has_store(&self) -> bool {
        self.store.is_some()
    }
}

fn modified(of: &Metadata) -> Option<u64> {
    of.modified().ok().map(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_the_allowance_settle_nothing() {
        let allowance = Duration::from_secs(300);
        for (scanner, store, began, settled) in [
            (1000, Some(1000), 1000, 5),
            (1000, Some(1300), 1000, 5),
            (1300, Some(1000), 1000, 5),
            (1000, Some(1301), 1000, 1000),
            (1301, Some(1000), 1000, 1000),
            (1000, None, 1000, 5),
        ] {
            let clocks = Clocks {
                scanner,
                after: scanner,
                store,
                settled: 5,
            };
            let read = (clocks.began(), clocks.settled_since(allowance));
            assert_eq!(read, (began, settled), "{scanner} {store:?}");
        }
    }

    #[test]
    fn a_store_that_answers_late_is_not_one_whose_clock_differs() {
        let late = |store| Clocks {
            scanner: 1000,
            after: 1400,
            store: Some(store),
            settled: 5,
        };
        let allowance = Duration::from_secs(300);
        let differ = [699, 700, 1700, 1701].map(|store| late(store).differ(allowance));
        assert_eq!(differ, [true, false, false, true]);
        assert_eq!(late(1400).began(), 1000);
    }
}
