//! FORMAT §4: a wrapped data key on its way into a header, made by the rules of its scheme.

use super::Slot;
use super::scheme::{
    AWS_KMS, AZURE_KEY_VAULT, COMPARTMENT, EXTERNAL, GOOGLE_KMS, PKCS11, RECIPIENT, TRANSIT,
};
use crate::error::{Error, KEM_P384, KEM_X_WING, Limit, Malformed, Result};
use crate::format::codec::Input;
use crate::format::limits::{MAX_KEY_ID, MAX_WRAPPED};

/// A data key that a provider wrapped, ready to be a slot.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    encoded: Vec<u8>,
}

impl WrappedKey {
    /// A slot of scheme 0xF0, for a [`KeyProvider`](crate::KeyProvider) outside this crate.
    ///
    /// `name` is the provider's reverse-DNS name (ASCII, 1 to 255 bytes), `id` names the key (1 byte or more; name and
    /// id take at most 511 bytes together), `wrapped` is the wrapped data key (1 to 4,096 bytes).
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] where a length is out of bounds, [`Error::Misuse`] where the name is not ASCII.
    ///
    /// ```
    /// use phi_envelope::keys::WrappedKey;
    /// let wrapped = WrappedKey::external("org.example.kms", b"key-7", &[0; 60])?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn external(name: &str, id: &[u8], wrapped: &[u8]) -> Result<Self> {
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Misuse("a provider's name is not visible ASCII"));
        }
        let len = u8::try_from(name.len()).map_err(|_| Limit::Slot)?;
        if len == 0 || id.is_empty() {
            return Err(Limit::Slot.into());
        }
        Self::of(EXTERNAL, &[&[len], name.as_bytes(), id], wrapped)
    }

    /// A slot of scheme 0x03, for a public key: the number of its KEM, the hash that names it, and `enc ‖ ct ‖ tag`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a KEM that the format does not list, or where `wrapped` has not its length.
    pub fn recipient(kem: u16, fingerprint: &[u8; 32], wrapped: &[u8]) -> Result<Self> {
        if ![KEM_X_WING, KEM_P384].contains(&kem) {
            return Err(Malformed::KeyIdLength.into());
        }
        Self::checked(RECIPIENT, &[&kem.to_be_bytes(), fingerprint], wrapped)
    }

    /// A slot of scheme 0x04, for AWS KMS: the ARN that `Encrypt` answered in `KeyId`, and its `CiphertextBlob`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the ARN is not that of a key, [`Error::LimitExceeded`] where a length is out of bounds.
    ///
    /// ```
    /// use phi_envelope::keys::WrappedKey;
    /// let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    /// let wrapped = WrappedKey::aws_kms(arn, &[0; 184])?;
    /// assert_eq!(wrapped.as_slot()?.id().to_string(), format!("aws-kms {arn}"));
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn aws_kms(arn: &str, ciphertext_blob: &[u8]) -> Result<Self> {
        if !is_key_arn(arn) {
            return Err(Malformed::SlotText.into());
        }
        Self::checked(AWS_KMS, &[arn.as_bytes()], ciphertext_blob)
    }

    /// A slot of scheme 0x05, for a Transit engine: the key's version, the owner's word for the cluster (it may be empty), the
    /// engine's `namespace/mount`, the key's name, and `nonce ‖ ct ‖ tag`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where a part is not as FORMAT §4 says.
    pub fn transit(
        version: u32,
        realm: &str,
        mount: &str,
        name: &str,
        wrapped: &[u8; 60],
    ) -> Result<Self> {
        let is_segment =
            |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(is_transit_character);
        if !realm.bytes().all(|byte| byte.is_ascii_graphic())
            || !mount.split('/').all(is_segment)
            || name.is_empty()
            || !name.bytes().all(is_transit_character)
        {
            return Err(Malformed::SlotText.into());
        }
        let (realm_len, mount_len) = (counted(realm.as_bytes())?, counted(mount.as_bytes())?);
        let key_id: [&[u8]; 6] = [
            &version.to_be_bytes(),
            &realm_len,
            realm.as_bytes(),
            &mount_len,
            mount.as_bytes(),
            name.as_bytes(),
        ];
        Self::checked(TRANSIT, &key_id, wrapped)
    }

    /// A slot of scheme 0x06, for a PKCS#11 token: its label, the key's `CKA_ID`, and `iv ‖ ct ‖ tag`. Spaces at the end of the
    /// label, with which tokens fill it up, are cut.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the label or the id is not as FORMAT §4 says.
    pub fn pkcs11(token_label: &str, id: &[u8], wrapped: &[u8; 60]) -> Result<Self> {
        let label = token_label.trim_end_matches(' ').as_bytes();
        Self::checked(PKCS11, &[&counted(label)?, label, id], wrapped)
    }

    /// A slot of scheme 0x07, for Google Cloud KMS: the resource name that `encrypt` answered in `name`, and its `ciphertext`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the name has control characters, [`Error::LimitExceeded`] where a length is out of bounds.
    pub fn google_kms(name: &str, ciphertext: &[u8]) -> Result<Self> {
        Self::checked(GOOGLE_KMS, &[name.as_bytes()], ciphertext)
    }

    /// A slot of scheme 0x08, for Azure Key Vault: the key identifier's URL with its version, and the `value` of `wrapKey`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the URL has control characters, [`Error::LimitExceeded`] where a length is out of bounds.
    pub fn azure(url: &str, value: &[u8]) -> Result<Self> {
        Self::checked(AZURE_KEY_VAULT, &[url.as_bytes()], value)
    }

    /// A slot of scheme 0x0A, for a compartment: its id, the number of its key, and `iv ‖ ct ‖ tag`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for the number 0.
    pub fn compartment(id: &[u8; 16], number: u32, wrapped: &[u8; 60]) -> Result<Self> {
        Self::checked(COMPARTMENT, &[id, &number.to_be_bytes()], wrapped)
    }

    /// [`Self::of`], read as a reader will.
    fn checked(scheme: u8, key_id: &[&[u8]], wrapped: &[u8]) -> Result<Self> {
        let made = Self::of(scheme, key_id, wrapped)?;
        made.as_slot()?;
        Ok(made)
    }

    pub(crate) fn of(scheme: u8, key_id: &[&[u8]], wrapped: &[u8]) -> Result<Self> {
        let key_id_len = key_id.iter().map(|part| part.len()).sum::<usize>();
        if !(1..=MAX_KEY_ID).contains(&key_id_len) || !(1..=MAX_WRAPPED).contains(&wrapped.len()) {
            return Err(Limit::Slot.into());
        }
        let key_len = u16::try_from(key_id_len).map_err(|_| Limit::Slot)?;
        let wrapped_len = u16::try_from(wrapped.len()).map_err(|_| Limit::Slot)?;
        let mut encoded = Vec::with_capacity(5 + key_id_len + wrapped.len());
        encoded.push(scheme);
        encoded.extend_from_slice(&key_len.to_be_bytes());
        key_id
            .iter()
            .for_each(|part| encoded.extend_from_slice(part));
        encoded.extend_from_slice(&wrapped_len.to_be_bytes());
        encoded.extend_from_slice(wrapped);
        Ok(Self { encoded })
    }

    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    pub(super) fn into_encoded(self) -> Vec<u8> {
        self.encoded
    }

    /// The slot that this will be.
    ///
    /// # Errors
    /// None for what this crate's constructors made.
    pub fn as_slot(&self) -> Result<Slot<'_>> {
        Slot::parse(&mut Input::new(&self.encoded))
    }
}

impl std::fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.as_slot() {
            Ok(slot) => write!(f, "WrappedKey({})", slot.id()),
            Err(_) => f.write_str("WrappedKey(malformed)"),
        }
    }
}

/// The byte that counts what follows it.
fn counted(bytes: &[u8]) -> Result<[u8; 1]> {
    Ok([u8::try_from(bytes.len()).map_err(|_| Malformed::KeyIdLength)?])
}

// FORMAT §4, scheme 0x05: [A-Za-z0-9_.-]
fn is_transit_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

// FORMAT §4, scheme 0x04: `arn:` partition `:kms:` region `:` account `:key/` id; never an alias
fn is_key_arn(arn: &str) -> bool {
    let mut parts = arn.split(':');
    let next = [(); 6].map(|()| parts.next().unwrap_or_default());
    let [prefix, partition, service, region, account, resource] = next;
    let id = resource.strip_prefix("key/").unwrap_or_default();
    parts.next().is_none()
        && prefix == "arn"
        && service == "kms"
        && [partition, region, account, id].iter().all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}
