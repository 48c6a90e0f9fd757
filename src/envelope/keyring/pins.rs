//! FORMAT §9.2, Rolled back: a keyring's file is a later version of what is known, or it is refused.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result, Rollback};
use crate::keys::{Journal, Keyring, KeyringTransaction, Moment};

/// What is known of a keyring's file from before: what a process remembers by itself, and what its owner may tell the next one.
///
/// Whoever writes the storage can put an older file back, which an old passphrase opens. A process that is told nothing cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct KeyringPin {
    /// The keyring's id.
    pub id: Option<[u8; 16]>,
    /// The least revision, and that of `digest`.
    pub revision: u64,
    /// The least revision at which the file's data key was made.
    pub data_key_revision: u64,
    /// The SHA-256 of the content at `revision`. With it, a later file must have it in its history.
    pub digest: Option<[u8; 32]>,
}

impl KeyringPin {
    /// Only the least revision is known.
    #[must_use]
    pub fn least_revision(revision: u64) -> Self {
        Self {
            revision,
            ..Self::default()
        }
    }

    /// What a process remembers; nothing of a keyring that was not read yet.
    pub(super) fn of(journal: &Journal) -> Self {
        Self {
            id: Some(journal.id),
            revision: journal.revision,
            data_key_revision: journal.data_key_revision,
            digest: Some(journal.digest),
        }
    }

    // FORMAT §9.2: refused are another id; a lower value of either number; the same revision with other plaintext or another number;
    // a revision R > r where R − r > 64 or `before`[R − r − 1] is not the hash of r. Who is told only the least numbers checks only
    // these.
    /// Whether a file is what is known, or follows it.
    fn check(&self, found: &Journal) -> Result<(), Rollback> {
        if self.id.is_some_and(|id| id != found.id) {
            return Err(Rollback::OtherKeyring);
        }
        let Some(later) = found.revision.checked_sub(self.revision) else {
            return Err(Rollback::Revision);
        };
        if found.data_key_revision < self.data_key_revision {
            return Err(Rollback::DataKey);
        }
        let Some(digest) = self.digest else {
            return Ok(());
        };
        match later.checked_sub(1) {
            None if found.digest != digest || found.data_key_revision != self.data_key_revision => {
                Err(Rollback::SameRevision)
            }
            None => Ok(()),
            Some(back) if back >= crate::keys::CHAIN as u64 => Err(Rollback::TooFar),
            Some(back) => {
                let held = usize::try_from(back).ok();
                let held = held.and_then(|back| found.before.get(back));
                if held == Some(&digest) {
                    Ok(())
                } else {
                    Err(Rollback::Chain)
                }
            }
        }
    }
}

/// Whether a file's keyring follows what this process holds.
pub(super) fn check_follows(
    found: &KeyringTransaction,
    held: &KeyringTransaction,
) -> Result<(), Rollback> {
    KeyringPin::of(&held.journal).check(&found.journal)?;
    // A second line: whoever can write under the current data key can write a history that fits.
    if found.follows(held) {
        Ok(())
    } else {
        Err(Rollback::Keys)
    }
}

/// Asks what is pinned now.
pub(super) type Ask = Arc<dyn Fn() -> Result<KeyringPin> + Send + Sync>;

/// What the caller has pinned of a keyring's file, and may raise while the process runs.
pub(super) struct Pins {
    first: KeyringPin,
    ask: Option<Ask>,
    /// The least numbers. Nothing is confirmed but under this lock, so that a look that began before does not miss what is required
    /// since.
    least: Mutex<KeyringPin>,
}

/// Whether a process meets a keyring for the first time. What it knows of it later is more than what it was told before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    First,
    Again,
}

impl Pins {
    /// A least number is no part of the pin: its hash is that of its own revision.
    pub(super) fn new(first: KeyringPin, least: &KeyringPin, ask: Option<Ask>) -> Self {
        let least = KeyringPin {
            data_key_revision: first.data_key_revision.max(least.data_key_revision),
            ..KeyringPin::least_revision(first.revision.max(least.revision))
        };
        Self {
            first,
            ask,
            least: Mutex::new(least),
        }
    }

    /// What is pinned now, if there is somebody to ask.
    pub(super) fn ask(&self) -> Result<KeyringPin> {
        let Some(ask) = &self.ask else {
            return Ok(KeyringPin::default());
        };
        ask().map_err(|error| match error {
            Error::Io(error) => Error::Io(io::Error::new(
                error.kind(),
                format!("what is pinned is not known: {error}"),
            )),
            error => error,
        })
    }

    /// Whether a keyring is what is pinned.
    pub(super) fn check(
        &self,
        now: &KeyringPin,
        found: &Journal,
        met: Met,
    ) -> Result<(), Rollback> {
        if met == Met::First {
            self.first.check(found)?;
        }
        now.check(found)?;
        self.least().check(found)
    }

    /// Raises the least numbers. The lease of a keyring whose numbers are lower ends.
    pub(super) fn raise(&self, keyring: &Keyring, raise: impl FnOnce(&mut KeyringPin)) {
        let mut least = self.least();
        raise(&mut least);
        if keyring.read(|held| least.check(&held.journal)).is_err() {
            keyring.confirmed(None);
        }
    }

    /// The file holds what the keyring holds, as a look that began at `before` has shown.
    pub(super) fn confirm(
        &self,
        keyring: &Keyring,
        now: &KeyringPin,
        before: Moment,
    ) -> Result<(), Rollback> {
        let least = self.least();
        keyring.read(|held| {
            now.check(&held.journal)?;
            least.check(&held.journal)
        })?;
        keyring.confirmed(Some(before));
        Ok(())
    }

    /// The keyring is to hold these keys, which the file holds. It is confirmed if that is asked for, and if nothing more is required
    /// meanwhile.
    pub(super) fn publish(
        &self,
        keyring: &Keyring,
        keys: KeyringTransaction,
        before: Option<Moment>,
    ) {
        let least = self.least();
        let is_required = least.check(&keys.journal).is_ok();
        keyring.publish(keys, before.filter(|_| is_required));
    }

    fn least(&self) -> MutexGuard<'_, KeyringPin> {
        self.least.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pins")
            .field("first", &self.first)
            .field("least", &*self.least())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(revision: u64, data_key_revision: u64) -> Journal {
        let before = (1..revision).rev().take(64);
        Journal {
            id: [7; 16],
            revision,
            data_key_revision,
            digest: digest(revision),
            before: before.map(digest).collect(),
            ..Journal::default()
        }
    }

    fn digest(revision: u64) -> [u8; 32] {
        [u8::try_from(revision).unwrap(); 32]
    }

    #[test]
    fn a_later_revision_whose_history_fits_is_taken() {
        let known = KeyringPin::of(&journal(5, 3));
        assert_eq!(known.check(&journal(5, 3)), Ok(()));
        assert_eq!(known.check(&journal(6, 3)), Ok(()));
        assert_eq!(known.check(&journal(6, 6)), Ok(()));
        assert_eq!(known.check(&journal(69, 69)), Ok(()));
    }

    #[test]
    fn each_of_the_five_refusals() {
        let known = KeyringPin::of(&journal(5, 3));
        let other = Journal {
            id: [8; 16],
            ..journal(6, 3)
        };
        assert_eq!(known.check(&other), Err(Rollback::OtherKeyring));
        assert_eq!(known.check(&journal(4, 3)), Err(Rollback::Revision));
        assert_eq!(known.check(&journal(6, 2)), Err(Rollback::DataKey));
        let forked = Journal {
            digest: [99; 32],
            ..journal(5, 3)
        };
        assert_eq!(known.check(&forked), Err(Rollback::SameRevision));
        assert_eq!(known.check(&journal(5, 4)), Err(Rollback::SameRevision));
        assert_eq!(known.check(&journal(70, 70)), Err(Rollback::TooFar));
        let mut fork = journal(7, 7);
        fork.before[1] = [99; 32];
        assert_eq!(known.check(&fork), Err(Rollback::Chain));
    }

    #[test]
    fn who_is_told_only_the_least_numbers_checks_only_these() {
        let pin = KeyringPin::least_revision(5);
        assert_eq!(pin.check(&journal(200, 1)), Ok(()));
        assert_eq!(pin.check(&journal(5, 1)), Ok(()));
        assert_eq!(pin.check(&journal(4, 4)), Err(Rollback::Revision));
        let pin = KeyringPin {
            data_key_revision: 4,
            ..pin
        };
        assert_eq!(pin.check(&journal(6, 3)), Err(Rollback::DataKey));
        assert_eq!(pin.check(&journal(6, 4)), Ok(()));
    }
}
