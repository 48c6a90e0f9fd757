//! What the fuzz targets share.

use std::sync::LazyLock;

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hmac::{Hmac, Mac as _};
use phi_envelope::{
    EnvelopeCipher, KeyProvider, Keyring, MasterKey, Passphrase, Result,
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

/// The keys that open the good ones among `tests/vectors`.
pub static READER: LazyLock<EnvelopeCipher> = LazyLock::new(|| {
    let key = |text: &str, id: u8| {
        let key = MasterKey::from_base64(text).expect("the base64 of 32 bytes");
        let key = key.with_id(phi_envelope::KeyId::from_bytes([id; 16]));
        Keyring::from_master_key(key, "fuzz")
    };
    // As little memory as the format allows, so that an input costs microseconds.
    let passphrase = Passphrase::new("correct horse battery staple").expect("not empty");
    EnvelopeCipher::builder()
        .encrypt_for(key("l8hXy8A6sN2WrOyQQ+hbyDba7vsIJqfrGtg9RBF7cbs=", 0xA1))
        .decrypt_with(key("EtBJEXN2B6bSbFBxZzuBBPW5Kx+KTppfWLoNyTnWwQI=", 0xA2))
        .decrypt_with(passphrase.with_max_memory_kib(8))
        .segment_length(4096)
        .expect("an allowed segment length")
        .build()
        .expect("a cipher with a provider")
});

/// Takes every slot for its own and says that all data keys are the same one, which an input may thus seal under.
pub struct OpenBook;

const DATA_KEY: [u8; 32] = [7; 32];

impl KeyProvider for OpenBook {
    fn recognize(&self, _: &Slot<'_>) -> Recognition {
        Recognition::Current
    }

    fn wrap_key(&self, _: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
        WrappedKey::external("org.example.open-book", b"all", &[0])
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        Ok(DataKey::from_bytes_zeroizing(&mut { DATA_KEY }))
    }
}

/// Writes the header tag that [`OpenBook`] verifies over a header of `header_len` bytes.
pub fn mend(envelope: &mut [u8], header_len: usize) {
    let (tagged, tag) = envelope[..header_len].split_at_mut(header_len - 32);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&DATA_KEY).expect("any length");
    mac.update(b"phi-envelope/1 header\0");
    mac.update(tagged);
    mac.update(&[1]);
    tag.copy_from_slice(&mac.finalize().into_bytes());
}

/// A provider that stores the data key in clear, and says that it authenticates: files of the crate's own open with it.
pub struct ClearBook;

impl KeyProvider for ClearBook {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        match slot.external() {
            Some(("org.example.clear-book", _)) => Recognition::Current,
            _ => Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
        WrappedKey::external("org.example.clear-book", b"all", key.as_bytes())
    }

    fn unwrap_key(&self, slot: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        let key: Option<[u8; 32]> = slot.wrapped().try_into().ok();
        let mut key = key.ok_or_else(|| phi_envelope::Error::provider(false, "no key"))?;
        Ok(DataKey::from_bytes_zeroizing(&mut key))
    }

    fn authenticates(&self) -> bool {
        true
    }
}

/// A keyring's file of any content, which opens with [`ClearBook`] (FORMAT §§2 to 5).
pub fn seal_keyring_file(content: &[u8]) -> Vec<u8> {
    let mut header = b"PHIE\x01\x04\0\x01\0\0\0\0\0\0\0\0".to_vec();
    // The data key was made at revision 1.
    let id = [&1_u64.to_be_bytes()[..], &[9; 8]].concat();
    header.extend(&id);
    header.extend([0, 0]);
    let slot = ClearBook.wrap_in_clear();
    header.extend(slot);
    let immutable = [&[1, 4, 0][..], &id, &[0, 0]].concat();
    let tag = expand("header", &header);
    header.extend(tag);
    let cipher = Aes256Gcm::new(&expand("payload", &immutable).into());
    let iv = [3; 12];
    let sealed = cipher
        .encrypt(&iv.into(), content)
        .expect("a content of this length");
    [header, iv.to_vec(), sealed].concat()
}

impl ClearBook {
    fn wrap_in_clear(&self) -> Vec<u8> {
        let key_id = b"\x16org.example.clear-bookall";
        let len = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
        let parts: [&[u8]; 5] = [&[0xF0], &len(key_id), key_id, &len(&DATA_KEY), &DATA_KEY];
        parts.concat()
    }
}

fn expand(label: &str, context: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&DATA_KEY).expect("any length");
    mac.update(b"phi-envelope/1 ");
    mac.update(label.as_bytes());
    mac.update(&[0]);
    mac.update(context);
    mac.update(&[1]);
    mac.finalize().into_bytes().into()
}

/// Bytes that repeat with no segment's length.
pub fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

#[cfg(test)]
mod tests {
    use phi_envelope::{EnvelopeCipher, Error, KeyringFile};

    use super::{ClearBook, seal_keyring_file};

    #[test]
    fn a_keyrings_file_of_any_content_comes_to_its_content() {
        let path = tempfile::tempdir()
            .expect("a folder")
            .path()
            .with_extension("keyring");
        std::fs::write(&path, seal_keyring_file(b"{}")).expect("a file");
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("its mode");
        let opened = KeyringFile::open(&path, EnvelopeCipher::new(ClearBook));
        std::fs::remove_file(&path).expect("to be removed");
        assert!(matches!(opened, Err(Error::Malformed(_))));
    }
}
