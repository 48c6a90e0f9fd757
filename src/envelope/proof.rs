//! The first wrap under each key of a network is tried: a service that cannot give a key back is found before anything relies on it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::EnvelopeCipher;
use crate::error::{Authenticated, Kind, Result};
use crate::format::slot::{Slot, WrappedKey};
use crate::keys::{DataKey, KeyProvider, UnwrapContext};

/// Keys that are remembered. A provider with more of them is asked again.
const MOST: usize = 1024;

/// The keys of providers that ask a network, by the provider's number and the slot's scheme and key id.
#[derive(Debug, Default)]
pub(super) struct Proven(Mutex<HashSet<(usize, Box<[u8]>)>>);

impl EnvelopeCipher {
    /// Unwraps what the writer of this number has just wrapped, if it is the first wrap under its key here, and compares the keys.
    pub(super) fn prove_first(
        &self,
        (number, writer): (usize, &dyn KeyProvider),
        wrapped: &WrappedKey,
        key: &DataKey,
        (kind, data_key_id, labels): (Kind, &[u8; 16], &[u8]),
    ) -> Result<()> {
        if !writer.asks_network() || !writer.opens() {
            return Ok(());
        }
        let slot = wrapped.as_slot()?;
        let named = (number, slot.encoded_id().into());
        let proven = &self.0.proven.0;
        if proven
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&named)
        {
            return Ok(());
        }
        // Without the lock: a service may take its time.
        let context = UnwrapContext::new(kind, data_key_id, labels, self.0.allow_compromised);
        gives(writer, &slot, &context, key)?;
        let mut proven = proven.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.len() >= MOST {
            proven.clear();
        }
        proven.insert(named);
        Ok(())
    }
}

/// Checks that a provider unwraps a slot to this data key.
pub(super) fn gives(
    provider: &dyn KeyProvider,
    slot: &Slot<'_>,
    context: &UnwrapContext<'_>,
    key: &DataKey,
) -> Result<()> {
    let unwrapped = provider.unwrap_key(slot, context)?;
    if crate::crypto::equal(unwrapped.as_bytes(), key.as_bytes()) {
        Ok(())
    } else {
        Err(Authenticated::WrappedKey.into())
    }
}
