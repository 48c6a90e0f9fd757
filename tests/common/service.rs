//! A key service that a vector's reader plays (`tests/vectors/README.md`): every slot of its name is its own.

// Each test file uses a part of its own, and a test stops where something is not as it says.
#![allow(dead_code, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use phi_envelope::{
    Error, KeyProvider,
    error::AuthenticatedPart,
    keys::{DataKey, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) asks_network: bool,
    pub(crate) authenticates: bool,
    pub(crate) fails: bool,
}

/// One in use, which counts how often it is asked.
pub(crate) struct Played {
    pub(crate) says: Service,
    pub(crate) asked: AtomicU32,
    /// The id of the key that it wraps with.
    id: Vec<u8>,
}

impl Played {
    pub(crate) fn new(says: Service) -> Arc<Self> {
        Self::of(says, b"key-1")
    }

    fn of(says: Service, id: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            says,
            asked: AtomicU32::new(0),
            id: id.to_vec(),
        })
    }

    /// The same service, which wraps with another of its keys.
    pub(crate) fn with_id(&self, id: &[u8]) -> Arc<Self> {
        Self::of(self.says.clone(), id)
    }

    fn hashed(&self, what: u8, aad: &[u8], data_key: &[u8]) -> [u8; 32] {
        let aad = if self.says.authenticates { aad } else { &[] };
        Sha256::digest([self.says.name.as_bytes(), &[what], aad, data_key].concat()).into()
    }

    fn masked(&self, aad: &[u8], key: &[u8]) -> [u8; 32] {
        let mut mask = self.hashed(0, aad, &[]);
        mask.iter_mut()
            .zip(key)
            .for_each(|(mask, key)| *mask ^= key);
        mask
    }
}

impl KeyProvider for Played {
    fn recognize(&self, slot: &Slot<'_>) -> phi_envelope::keys::Recognition {
        match slot.external() {
            Some((name, _)) if name == self.says.name => phi_envelope::keys::Recognition::Current,
            _ => phi_envelope::keys::Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey, Error> {
        let (aad, key) = (context.aad(), key.as_bytes());
        let [masked, tag] = [self.masked(aad, key), self.hashed(1, aad, key)];
        WrappedKey::external(
            &self.says.name,
            &self.id,
            &[&masked[..], &tag[..16]].concat(),
        )
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.says.fails {
            return Err(Error::provider(true, "this service is down"));
        }
        let (aad, wrapped) = (context.aad(), slot.wrapped());
        let wrong = || Error::AuthenticationFailed(AuthenticatedPart::WrappedKey);
        let (masked, tag) = wrapped.split_at_checked(32).ok_or_else(wrong)?;
        let mut key = self.masked(aad, masked);
        if self.hashed(1, aad, &key)[..16] != *tag {
            return Err(wrong());
        }
        Ok(DataKey::from_bytes_zeroizing(&mut key))
    }

    fn asks_network(&self) -> bool {
        self.says.asks_network
    }

    fn authenticates(&self) -> bool {
        self.says.authenticates
    }
}
