//! One 256-bit key-encryption key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{DataKey, UnwrapRequest, WrapRequest};
use crate::crypto::gcm::GcmKey;
use crate::crypto::mac::Mac256;
use crate::crypto::{derive, random};
use crate::error::{AuthenticatedPart, KeyId, Malformed, Result};
use crate::format::slot::{KEYRING, Slot, WrappedKey};
use crate::secret::{Secret, on_cleared_stack};

/// One 256-bit key-encryption key with its id. Erased when dropped; never cloned, never printed.
///
/// It becomes useful in a [`Keyring`](crate::Keyring).
///
/// ```
/// use phi_envelope::{EnvelopeCipher, Keyring, MasterKey};
///
/// // As a secret manager hands it out: the base64 text of 32 bytes.
/// let text = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k=";
/// let keyring = Keyring::from_master_key(MasterKey::from_base64(text)?, "from the secret manager");
/// let cipher = EnvelopeCipher::new(keyring);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Debug)]
pub struct MasterKey {
    id: KeyId,
    secret: Secret<32>,
    /// Keyed once, so that a wrap costs no key set-up of its own.
    mac: Mac256,
}

impl MasterKey {
    /// A new random key with a random id.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the operating system gives no randomness.
    pub fn generate() -> Result<Self> {
        let secret = random::secret()?;
        Ok(Self::new(KeyId::from_bytes(random::bytes()?), secret))
    }

    /// The key of 32 uniformly random bytes from elsewhere. Its id is derived from it, so that all who import the key agree
    /// on the id: the first 16 bytes of `HMAC-SHA-256(key, "phi-envelope/1 key id" ‖ 0x00 ‖ 0x01)`. The caller's bytes are
    /// erased.
    pub fn from_bytes_zeroizing(bytes: &mut [u8; 32]) -> Self {
        let secret = Secret::from_bytes_zeroizing(bytes);
        let id = on_cleared_stack(|| derive::key_id(&Mac256::new(secret.as_bytes())));
        Self::new(KeyId::from_bytes(id), secret)
    }

    /// The key of a base64 text of 32 uniformly random bytes (RFC 4648 §4), white space around it ignored. Its id is
    /// derived from it, as by [`from_bytes_zeroizing`](Self::from_bytes_zeroizing).
    ///
    /// # Errors
    /// [`Malformed::MasterKeyText`] where the text is anything else.
    pub fn from_base64(text: &str) -> Result<Self> {
        let mut decoded = Zeroizing::new([0; 36]);
        let len = STANDARD
            .decode_slice(text.trim_ascii(), &mut *decoded)
            .map_err(|_| Malformed::MasterKeyText)?;
        let (key, []) = decoded
            .get_mut(..len)
            .and_then(<[u8]>::split_first_chunk_mut)
            .ok_or(Malformed::MasterKeyText)?
        else {
            return Err(Malformed::MasterKeyText.into());
        };
        Ok(Self::from_bytes_zeroizing(key))
    }

    /// The key of a base64 text, with nothing around it.
    pub(crate) fn from_base64_strict(text: &str) -> Result<Self> {
        if text.trim_ascii().len() != text.len() {
            return Err(Malformed::MasterKeyText.into());
        }
        Self::from_base64(text)
    }

    /// The same key under an id that was stored beside it.
    #[must_use]
    pub fn with_id(mut self, id: KeyId) -> Self {
        self.id = id;
        self
    }

    /// The key's id, as slots name it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn new(id: KeyId, secret: Secret<32>) -> Self {
        let mac = on_cleared_stack(|| Mac256::new(secret.as_bytes()));
        Self { id, secret, mac }
    }

    pub(crate) fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    // FORMAT §4, scheme 0x01: wrapped = iv[12] ‖ ct[32] ‖ tag[16]
    pub(super) fn wrap(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        let mut ciphertext = [0; 32];
        let sealed = self.gcm(context.data_key_id()).seal_into(
            context.iv()?,
            context.aad(),
            key.as_bytes(),
            &mut ciphertext,
        );
        let mut wrapped = [0; 60];
        join(&mut wrapped, &[&sealed.iv, &ciphertext, &sealed.tag]);
        WrappedKey::of(KEYRING, &[self.id.as_bytes()], &wrapped)
    }

    pub(super) fn unwrap(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        let (iv, rest) = slot
            .wrapped()
            .split_first_chunk()
            .ok_or(Malformed::WrappedKeyLength)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(Malformed::WrappedKeyLength)?;
        open_key(
            &self.gcm(context.data_key_id()),
            (iv, ciphertext, tag),
            context.aad(),
        )
    }

    fn gcm(&self, data_key_id: &[u8; 16]) -> GcmKey {
        derive::wrap_key(&self.mac, (self.id.as_bytes(), data_key_id), GcmKey::new)
    }
}

/// Opens a wrapped data key.
pub(super) fn open_key(
    gcm: &GcmKey,
    (iv, ciphertext, tag): (&[u8; 12], &[u8], &[u8; 16]),
    aad: &[u8],
) -> Result<DataKey> {
    if ciphertext.len() != 32 {
        return Err(Malformed::WrappedKeyLength.into());
    }
    let key = Secret::try_filled(|key| gcm.open_into(iv, aad, ciphertext, tag, key))
        .map_err(|_| AuthenticatedPart::WrappedKey)?;
    Ok(DataKey::from(key))
}

/// Writes the parts one after the other into `out`, which has room for them.
pub(super) fn join(mut out: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        if let Some((head, rest)) = std::mem::take(&mut out).split_at_mut_checked(part.len()) {
            head.copy_from_slice(part);
            out = rest;
        }
    }
}
