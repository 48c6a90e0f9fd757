//! What evidence needs to know of a keyring.

use sha2::{Digest as _, Sha256};

use super::evidence::KeyringRevision;
use super::json::seconds;
use crate::keys::KeyringEdit;

/// Seconds for which a process may use a keyring that it has not confirmed, where the file says nothing (FORMAT §9.2).
const LEASE: u64 = 900;

/// A keyring as its file is now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    pub(super) revision: KeyringRevision,
    pub(super) lease: u64,
    pub(super) lease_changed: Option<u64>,
}

impl Subject {
    // The one place that asks for these four.
    pub(super) fn of(keys: &KeyringEdit) -> Self {
        let number = |name: &str| keys.unknown.get(name).and_then(serde_json::Value::as_u64);
        let mut id = Sha256::new();
        if let Some(stated) = keys.unknown.get("id").and_then(serde_json::Value::as_str) {
            id.update(stated);
        } else {
            for key in keys.keys().take(1) {
                id.update(key.id.as_bytes());
                id.update(seconds(key.created).to_be_bytes());
            }
        }
        let id: [u8; 32] = id.finalize().into();
        let id = id.first_chunk().copied().unwrap_or_default();
        Self {
            revision: KeyringRevision::new(id, number("revision").unwrap_or(1)),
            lease: number("lease").unwrap_or(LEASE),
            lease_changed: number("lease_changed"),
        }
    }
}
