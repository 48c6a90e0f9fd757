//! A key service that a vector's reader plays (`tests/vectors/README.md`): every slot of its name is its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use phi_envelope::{
    Authenticated, DataKey, Error, KeyProvider, Slot, UnwrapContext, WrapContext, WrappedKey,
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
}

impl Played {
    pub(crate) fn new(says: Service) -> Arc<Self> {
        let asked = AtomicU32::new(0);
        Arc::new(Self { says, asked })
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
    fn recognize(&self, slot: &Slot<'_>) -> phi_envelope::Recognition {
        match slot.external() {
            Some((name, _)) if name == self.says.name => phi_envelope::Recognition::Current,
            _ => phi_envelope::Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapContext<'_>) -> Result<WrappedKey, Error> {
        let (aad, key) = (context.aad(), key.as_bytes());
        let [masked, tag] = [self.masked(aad, key), self.hashed(1, aad, key)];
        WrappedKey::external(
            &self.says.name,
            b"key-1",
            &[&masked[..], &tag[..16]].concat(),
        )
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapContext<'_>) -> Result<DataKey, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.says.fails {
            return Err(Error::provider(true, "this service is down"));
        }
        let (aad, wrapped) = (context.aad(), slot.wrapped());
        let wrong = || Error::AuthenticationFailed(Authenticated::WrappedKey);
        let (masked, tag) = wrapped.split_at_checked(32).ok_or_else(wrong)?;
        let mut key = self.masked(aad, masked);
        if self.hashed(1, aad, &key)[..16] != *tag {
            return Err(wrong());
        }
        Ok(DataKey::taken_from(&mut key))
    }

    fn asks_network(&self) -> bool {
        self.says.asks_network
    }

    fn authenticates(&self) -> bool {
        self.says.authenticates
    }
}
