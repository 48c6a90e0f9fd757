//! A record sealed anew: a new data key and a new payload, and nobody loses it unasked.

use std::sync::Arc;

use super::{Context, EnvelopeCipher};
use crate::error::{Error, RecipientError, Result};
use crate::format::header::Header;
use crate::format::slot::{PASSPHRASE, Slot};
use crate::keys::KeyProvider;
use crate::secret::on_cleared_stack;

impl EnvelopeCipher {
    /// Seals a record again: a new data key, a new payload, for the providers that this cipher writes for. A rewrap is not enough
    /// after a data key has leaked; this is.
    ///
    /// `context` presents the bindings and exactly the envelope's labels.
    ///
    /// # Errors
    /// Those of [`decrypt`](Self::decrypt) and [`encrypt`](Self::encrypt);
    /// [`Error::ContextMismatch`](crate::Error::ContextMismatch) if the labels are not exactly the envelope's;
    /// [`RecipientError::Dropped`] if a slot belongs to no provider that this cipher writes for, see
    /// [`reencrypt_dropping_recipients`](Self::reencrypt_dropping_recipients).
    pub fn reencrypt(&self, envelope: impl AsRef<[u8]>, context: &Context) -> Result<Vec<u8>> {
        if !self.writes() {
            return Err(Error::Misuse("this cipher has no provider to write for"));
        }
        self.sealed_anew(envelope.as_ref(), context, |header| {
            self.check_keeps_recipients(header)
        })
    }

    /// [`reencrypt`](Self::reencrypt) for those whom this cipher writes for and nobody else. **Recipients that the envelope had and
    /// this cipher does not write for can no longer open it.**
    ///
    /// # Errors
    /// Those of [`reencrypt`](Self::reencrypt), but [`RecipientError::Dropped`].
    pub fn reencrypt_dropping_recipients(
        &self,
        envelope: impl AsRef<[u8]>,
        context: &Context,
    ) -> Result<Vec<u8>> {
        self.sealed_anew(envelope.as_ref(), context, |_| Ok(()))
    }

    fn sealed_anew(
        &self,
        envelope: &[u8],
        context: &Context,
        check: impl FnOnce(&Header<'_>) -> Result<()>,
    ) -> Result<Vec<u8>> {
        let plaintext = self.decrypt(envelope, context)?;
        let (header, _) = Header::parse(envelope)?;
        context.check_exact_labels(&header)?;
        check(&header)?;
        self.encrypt(&*plaintext, context)
    }

    /// Checks that sealing an envelope anew, whose header has verified, takes it from nobody: each slot belongs to a provider that this
    /// cipher writes for.
    pub(crate) fn check_keeps_recipients(&self, header: &Header<'_>) -> Result<()> {
        for slot in header.slots() {
            if !self.is_owned(&slot) || !self.is_own_passphrase(header, &slot)? {
                return Err(RecipientError::Dropped.into());
            }
        }
        Ok(())
    }

    /// False for the slot of a passphrase that is another: each takes every passphrase's slot for its own until it is tried.
    fn is_own_passphrase(&self, header: &Header<'_>, slot: &Slot<'_>) -> Result<bool> {
        if slot.scheme() != PASSPHRASE {
            return Ok(true);
        }
        let context = self.unwrap_context(header);
        let mine = |writer: &&Arc<dyn KeyProvider>| writer.recognize(slot).is_mine();
        for writer in self.0.writers.iter().filter(mine) {
            match on_cleared_stack(|| writer.unwrap_key(slot, &context)) {
                Ok(_) => return Ok(true),
                Err(Error::WrongPassphrase) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
