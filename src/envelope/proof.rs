//! The first wrap under each key of a network is tried: a service that cannot give a key back is found before anything relies on it.

use super::EnvelopeCipher;
use crate::error::{AuthenticatedPart, EnvelopeKind, Result};
use crate::format::slot::{Slot, WrappedKey};
use crate::keys::{DataKey, KeyProvider, UnwrapRequest};

impl EnvelopeCipher {
    /// Unwraps what the writer of this number has just wrapped, if it is the first wrap under its key here, and compares the keys.
    pub(super) fn prove_first(
        &self,
        (number, writer): (usize, &dyn KeyProvider),
        wrapped: &WrappedKey,
        key: &DataKey,
        (kind, data_key_id, labels): (EnvelopeKind, &[u8; 16], &[u8]),
    ) -> Result<()> {
        if !writer.asks_network() || !writer.opens() {
            return Ok(());
        }
        let slot = wrapped.as_slot()?;
        let named = (number, slot.encoded_id().into());
        if self.0.proven.holds(&named) {
            return Ok(());
        }
        // Without the lock: a service may take its time.
        let context = UnwrapRequest::new(kind, data_key_id, labels, self.0.allow_compromised);
        gives(writer, &slot, &context, key)?;
        self.0.proven.add(named);
        Ok(())
    }
}

/// Checks that a provider unwraps a slot to this data key.
pub(super) fn gives(
    provider: &dyn KeyProvider,
    slot: &Slot<'_>,
    context: &UnwrapRequest<'_>,
    key: &DataKey,
) -> Result<()> {
    let unwrapped = provider.unwrap_key(slot, context)?;
    if crate::crypto::equal(unwrapped.as_bytes(), key.as_bytes()) {
        Ok(())
    } else {
        Err(AuthenticatedPart::WrappedKey.into())
    }
}
