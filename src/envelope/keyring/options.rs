//! What there is to choose in opening a keyring's file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::pins::{Ask, KeyringPin};
use crate::disk::Disk;
use crate::envelope::{EnvelopeCipher, KeyringFile};
use crate::error::{Result, SlotId};
use crate::keys::{Clock, Keyring, MasterKey};

/// A change of who can open a keyring's file, as the process meets it when it reads the file again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SlotChange {
    /// Slots that were not there before. A new passphrase has a new salt at each change of the file, and so a new slot.
    pub added: Vec<SlotId>,
    /// Slots that are gone.
    pub removed: Vec<SlotId>,
}

type Tell = Arc<dyn Fn(&SlotChange) + Send + Sync>;

/// How a keyring's file is opened, or made.
#[derive(Clone, Default)]
#[must_use]
pub struct KeyringFileOptions {
    pub(super) allow_others: bool,
    pub(super) pin: KeyringPin,
    pub(super) pinned_by: Option<Ask>,
    /// The least numbers, which hold beside a pin.
    pub(super) least: KeyringPin,
    pub(super) expected: Option<Vec<SlotId>>,
    pub(super) tell: Option<Tell>,
    pub(super) lease: Option<Duration>,
    pub(super) disk: Disk,
    pub(super) clock: Clock,
}

impl KeyringFileOptions {
    /// Opens a file although group or others may read it or write it, or it belongs to another user, as with a secret that is
    /// mounted into a container.
    pub fn allow_access_by_others(mut self) -> Self {
        self.allow_others = true;
        self
    }

    /// Refuses a file of a lower revision: an older one that somebody has put back. After each destruction of a key, this is pinned
    /// where processes start. A process that runs already is told by [`pinned_by`](Self::pinned_by), or by
    /// [`KeyringFile::require_revision`].
    pub fn min_revision(mut self, revision: u64) -> Self {
        self.least.revision = self.least.revision.max(revision);
        self
    }

    /// Refuses a file whose data key was made at a lower revision.
    pub fn min_data_key_revision(mut self, revision: u64) -> Self {
        self.least.data_key_revision = self.least.data_key_revision.max(revision);
        self
    }

    /// Refuses a file that is neither what is known nor follows it. The least revisions hold beside it.
    pub fn pin(mut self, pin: KeyringPin) -> Self {
        self.pin = pin;
        self
    }

    /// Asks `ask` what is pinned now, each time that the file is read or the lease is confirmed, so that a process that runs for long
    /// refuses an older file as well as one that starts. `ask` may read a file of the deployment, for example. If it fails, nothing is
    /// confirmed: the process encrypts until the end of its lease, and then nothing.
    ///
    /// ```
    /// use phi_envelope::{Keyring, KeyringFile, files::KeyringPin};
    /// # let folder = tempfile::tempdir().map_err(phi_envelope::Error::Io)?;
    /// # let (path, pinned) = (folder.path().join("ehr.keyring"), folder.path().join("min-revision"));
    /// # let safe = Keyring::generate("the master key from elsewhere")?;
    /// # KeyringFile::create(&path, "ehr-2026", safe.clone())?;
    /// # std::fs::write(&pinned, "1\n").map_err(phi_envelope::Error::Io)?;
    /// let ask = move || {
    ///     let text = std::fs::read_to_string(&pinned)?;
    ///     let revision = text.trim().parse().map_err(std::io::Error::other)?;
    ///     Ok(KeyringPin::least_revision(revision))
    /// };
    /// let file = KeyringFile::options().pinned_by(ask).open(&path, safe)?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn pinned_by(
        mut self,
        ask: impl Fn() -> Result<KeyringPin> + Send + Sync + 'static,
    ) -> Self {
        self.pinned_by = Some(Arc::new(ask));
        self
    }

    /// Names each slot that the file may have: by scheme and key id; a passphrase by its scheme alone, since its salt changes. A file
    /// with another slot still opens; nothing is wrapped under its keys, and it is not written.
    pub fn expect_slots(mut self, slots: impl IntoIterator<Item = SlotId>) -> Self {
        self.expected = Some(slots.into_iter().collect());
        self
    }

    /// Calls `tell` when the file, read again, has other slots than before.
    pub fn on_slot_change(mut self, tell: impl Fn(&SlotChange) + Send + Sync + 'static) -> Self {
        self.tell = Some(Arc::new(tell));
        self
    }

    /// The lease of a file that is made; 15 minutes unless said. That of a file that is there is changed by
    /// [`KeyringTransaction::set_lease`](crate::keys::KeyringTransaction::set_lease).
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// [`KeyringFile::open`] with these options.
    ///
    /// # Errors
    /// Those of [`KeyringFile::open`]; [`KeyringError::RolledBack`](crate::error::KeyringError::RolledBack) if the file is not what was pinned.
    pub fn open(
        self,
        path: impl AsRef<Path>,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<KeyringFile> {
        KeyringFile::open_with(self, path.as_ref(), protection.into())
    }

    /// [`KeyringFile::create`] with these options.
    ///
    /// # Errors
    /// Those of [`KeyringFile::create`] and of [`KeyringTransaction::set_lease`](crate::keys::KeyringTransaction::set_lease);
    /// [`KeyringError::RolledBack`](crate::error::KeyringError::RolledBack) if anything but a first revision is pinned.
    pub fn create(
        self,
        path: impl AsRef<Path>,
        label: &str,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<KeyringFile> {
        self.create_with(path, MasterKey::generate()?, label, protection)
    }

    /// [`KeyringFile::create_with`] with these options.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with(
        self,
        path: impl AsRef<Path>,
        key: MasterKey,
        label: &str,
        protection: impl Into<EnvelopeCipher>,
    ) -> Result<KeyringFile> {
        let keys = Keyring::from_master_key(key, label).snapshot();
        KeyringFile::create_of(self, path.as_ref(), keys, protection.into())
    }

    // FORMAT §9.2: by scheme and key id; 0x02 by scheme alone; 0x05 without its version; 0x07 without `/cryptoKeyVersions/…`.
    /// The first slot that is not expected.
    pub(super) fn unexpected<'s>(&self, slots: &'s [SlotId]) -> Option<&'s SlotId> {
        let expected = self.expected.as_ref()?;
        let is_expected = |slot: &&SlotId| expected.iter().any(|one| named_alike(one, slot));
        slots.iter().find(|slot| !is_expected(slot))
    }
}

/// What of a key id names the key, whatever its version.
fn named_alike(one: &SlotId, other: &SlotId) -> bool {
    one.scheme == other.scheme && key_name(one) == key_name(other)
}

fn key_name(slot: &SlotId) -> &[u8] {
    const VERSIONS: &[u8] = b"/cryptoKeyVersions/";
    match slot.scheme {
        0x02 => &[],
        0x05 => slot.key_id.get(4..).unwrap_or_default(),
        0x07 => {
            let at = slot
                .key_id
                .windows(VERSIONS.len())
                .position(|window| window == VERSIONS);
            slot.key_id
                .get(..at.unwrap_or(slot.key_id.len()))
                .unwrap_or_default()
        }
        _ => &slot.key_id,
    }
}

impl fmt::Debug for KeyringFileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringFileOptions")
            .field("allow_others", &self.allow_others)
            .field("pin", &self.pin)
            .field("least", &self.least)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_expected_whatever_its_version() {
        let slot = |scheme, key_id: &[u8]| SlotId {
            scheme,
            key_id: key_id.to_vec(),
        };
        let options = KeyringFileOptions::default().expect_slots([
            slot(1, &[1; 16]),
            slot(2, &[2; 16]),
            slot(5, b"\0\0\0\x01\0\x07transitphi"),
            slot(7, b"projects/p/cryptoKeys/k/cryptoKeyVersions/1"),
        ]);
        let fine = [
            slot(1, &[1; 16]),
            slot(2, &[9; 16]),
            slot(5, b"\0\0\0\x09\0\x07transitphi"),
            slot(7, b"projects/p/cryptoKeys/k/cryptoKeyVersions/22"),
        ];
        assert_eq!(options.unexpected(&fine), None);
        for other in [
            slot(1, &[2; 16]),
            slot(3, &[1; 34]),
            slot(5, b"\0\0\0\x01\0\x07transitphj"),
            slot(7, b"projects/p/cryptoKeys/l/cryptoKeyVersions/1"),
            slot(0xF0, b"\x01x1"),
        ] {
            assert_eq!(
                options.unexpected(std::slice::from_ref(&other)),
                Some(&other)
            );
        }
        assert_eq!(KeyringFileOptions::default().unexpected(&fine), None);
    }
}
