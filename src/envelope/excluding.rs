//! A cipher that is blind for one key, to see what opens without it.

use std::sync::Arc;

use super::EnvelopeCipher;
use crate::error::{Result, SlotId};
use crate::format::slot::{Slot, WrappedKey};
use crate::keys::{DataKey, KeyProvider, Recognition, UnwrapRequest, WrapRequest};

impl EnvelopeCipher {
    /// A cipher that reads as this one does, but for what only the key of this slot opens, nor, unless `compromised`, what only a
    /// compromised key does. It writes nothing and keeps no data keys.
    pub(crate) fn without(&self, slot: &SlotId, compromised: bool) -> Self {
        let mut builder = Self::builder();
        for provider in &self.0.readers {
            builder = builder.decrypt_with(Without {
                provider: Arc::clone(provider),
                slot: slot.clone(),
            });
        }
        if self.0.allow_compromised && compromised {
            builder = builder.allow_compromised();
        }
        builder.finish()
    }
}

/// A provider that does not know one of its keys.
struct Without {
    provider: Arc<dyn KeyProvider>,
    slot: SlotId,
}

impl KeyProvider for Without {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        if slot.scheme() == self.slot.scheme && slot.key_id() == self.slot.key_id {
            Recognition::NotMine
        } else {
            self.provider.recognize(slot)
        }
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.provider.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.provider.unwrap_key(slot, context)
    }

    fn opens(&self) -> bool {
        self.provider.opens()
    }

    fn asks_network(&self) -> bool {
        self.provider.asks_network()
    }

    fn authenticates(&self) -> bool {
        self.provider.authenticates()
    }

    fn confirm(&self) -> Result<()> {
        self.provider.confirm()
    }
}
