//! The one joint for outsiders: who wraps a data key and who unwraps it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::DataKey;
use crate::crypto::derive;
use crate::crypto::random::{self, FreshIv, SharedIv};
use crate::error::{EnvelopeKind, Result};
use crate::format::context_encoding;
use crate::format::slot::{Slot, WrappedKey};

/// Wraps and unwraps data keys: a keyring, a passphrase, or from outside this crate a KMS, an HSM, a public key.
///
/// All calls are synchronous; a provider that asks a network says in its documentation how long it may take. An
/// implementation from outside writes slots of scheme 0xF0, see [`WrappedKey::external`].
pub trait KeyProvider: Send + Sync {
    /// Says whether a slot is of this provider, and whether a rewrap would leave it. Asks no network and unwraps nothing.
    fn recognize(&self, slot: &Slot<'_>) -> Recognition;

    /// Wraps a data key under the provider's current key.
    ///
    /// Where the scheme can authenticate data, it authenticates [`WrapRequest::aad`].
    ///
    /// # Errors
    /// [`Error::Provider`](crate::Error::Provider) where the provider fails, or what its own keys say.
    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey>;

    /// Unwraps a slot that [`recognize`](Self::recognize) called the provider's own.
    ///
    /// # Errors
    /// [`Error::AuthenticationFailed`](crate::Error::AuthenticationFailed) where the slot was changed,
    /// [`Error::KeyNotUsable`](crate::Error::KeyNotUsable) where the key's state forbids it,
    /// [`Error::Provider`](crate::Error::Provider) where the provider fails.
    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey>;

    /// Says whether the provider can unwrap at all. A public key, or a token that may only encrypt, says false.
    fn opens(&self) -> bool {
        true
    }

    /// Says whether [`wrap_key`](Self::wrap_key) and [`unwrap_key`](Self::unwrap_key) ask a network. Such a provider is asked
    /// after all that answer from memory, and for at most four slots of a header.
    fn asks_network(&self) -> bool {
        false
    }

    /// Says whether a provider of scheme 0xF0 authenticates [`WrapRequest::aad`]. Only slots of such providers show who made
    /// a keyring's file or evidence (FORMAT §4).
    fn authenticates(&self) -> bool {
        false
    }

    /// Makes sure that what was wrapped before may still be written now. A keyring in a file confirms its lease here.
    ///
    /// # Errors
    /// What keeps the provider from wrapping.
    fn confirm(&self) -> Result<()> {
        Ok(())
    }
}

impl<P: KeyProvider + ?Sized> KeyProvider for Arc<P> {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        (**self).recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        (**self).wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        (**self).unwrap_key(slot, context)
    }

    fn opens(&self) -> bool {
        (**self).opens()
    }

    fn asks_network(&self) -> bool {
        (**self).asks_network()
    }

    fn authenticates(&self) -> bool {
        (**self).authenticates()
    }

    fn confirm(&self) -> Result<()> {
        (**self).confirm()
    }
}

/// What a slot is to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recognition {
    /// Of another provider.
    NotMine,
    /// Of this provider, under the key that it would wrap with now.
    Current,
    /// Of this provider, under a key that a rewrap moves off.
    Outdated,
    /// As [`Outdated`](Self::Outdated), under a key whose state restricts its use: what was unwrapped before may not be
    /// used again without asking [`KeyProvider::unwrap_key`].
    Restricted,
}

impl Recognition {
    /// Whether the slot is the provider's own.
    #[must_use]
    pub fn is_mine(self) -> bool {
        self != Self::NotMine
    }
}

/// What a data key is wrapped for.
pub struct WrapRequest<'a> {
    kind: EnvelopeKind,
    data_key_id: &'a [u8; 16],
    labels: &'a [u8],
    aad: &'a [u8],
    iv: &'a SharedIv,
    iv_taken: AtomicBool,
}

impl<'a> WrapRequest<'a> {
    /// `labels` and `aad` as FORMAT §§3, 4 write them.
    pub(crate) fn new(
        kind: EnvelopeKind,
        data_key_id: &'a [u8; 16],
        labels: &'a [u8],
        aad: &'a [u8],
        iv: &'a SharedIv,
    ) -> Self {
        Self {
            kind,
            data_key_id,
            labels,
            aad,
            iv,
            iv_taken: AtomicBool::new(false),
        }
    }

    /// The kind of the envelope.
    #[must_use]
    pub fn kind(&self) -> EnvelopeKind {
        self.kind
    }

    /// The id of the data key: 16 bytes, public.
    #[must_use]
    pub fn data_key_id(&self) -> &[u8; 16] {
        self.data_key_id
    }

    /// The labels of the envelope, in the order of their keys.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        context_encoding::iterate(self.labels.get(2..).unwrap_or_default())
    }

    /// What a scheme that can authenticate data authenticates beside the key (FORMAT §4).
    #[must_use]
    pub fn aad(&self) -> &[u8] {
        self.aad
    }

    /// The SHA-256 of [`aad`](Self::aad), for a service that limits or logs what it authenticates.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        derive::wrap_digest(self.aad)
    }

    /// `N` fresh random bytes from the operating system.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the operating system gives none.
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        random::bytes()
    }

    /// The draw's IV for the first who asks, one of its own for everyone after: a provider may come back with the same key.
    pub(super) fn iv(&self) -> Result<FreshIv> {
        if self.iv_taken.swap(true, Ordering::Relaxed) {
            return Ok(SharedIv::draw()?.for_another_key());
        }
        Ok(self.iv.for_another_key())
    }
}

impl fmt::Debug for WrapRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrapRequest").finish_non_exhaustive()
    }
}

/// What a slot is unwrapped for.
pub struct UnwrapRequest<'a> {
    kind: EnvelopeKind,
    data_key_id: &'a [u8; 16],
    labels: &'a [u8],
    aad: Vec<u8>,
    allow_compromised: bool,
}

impl<'a> UnwrapRequest<'a> {
    pub(crate) fn new(
        kind: EnvelopeKind,
        data_key_id: &'a [u8; 16],
        labels: &'a [u8],
        allow_compromised: bool,
    ) -> Self {
        Self {
            kind,
            data_key_id,
            labels,
            aad: derive::wrap_aad(kind, data_key_id, labels),
            allow_compromised,
        }
    }

    /// The kind that the header states.
    #[must_use]
    pub fn kind(&self) -> EnvelopeKind {
        self.kind
    }

    /// The id of the data key, as the header states it.
    #[must_use]
    pub fn data_key_id(&self) -> &[u8; 16] {
        self.data_key_id
    }

    /// The labels that the header states, in the order of their keys. They are not verified yet and decide nothing.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        context_encoding::iterate(self.labels.get(2..).unwrap_or_default())
    }

    /// What the scheme authenticated beside the key, where it can (FORMAT §4).
    #[must_use]
    pub fn aad(&self) -> &[u8] {
        &self.aad
    }

    /// The SHA-256 of [`aad`](Self::aad), for a service that limits or logs what it authenticates.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        derive::wrap_digest(&self.aad)
    }

    /// Whether the cipher was built to open what a compromised key wrapped.
    #[must_use]
    pub fn allow_compromised(&self) -> bool {
        self.allow_compromised
    }
}

impl fmt::Debug for UnwrapRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnwrapRequest").finish_non_exhaustive()
    }
}
