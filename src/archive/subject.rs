//! What evidence needs to know of a keyring.

use super::evidence::KeyringRevision;
use super::json::seconds;
use crate::keys::KeyringTransaction;

/// A keyring as its file is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    pub(super) revision: KeyringRevision,
    pub(super) lease: u64,
    pub(super) lease_changed: Option<u64>,
}

impl Subject {
    pub(super) fn of(keys: &KeyringTransaction) -> Self {
        let journal = &keys.journal;
        Self {
            revision: KeyringRevision::new(journal.id, journal.revision),
            lease: journal.lease.as_secs(),
            lease_changed: journal.lease_changed.map(seconds),
        }
    }
}
