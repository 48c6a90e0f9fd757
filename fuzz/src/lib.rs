//! What the fuzz targets share.

use std::sync::LazyLock;

use hmac::{Hmac, KeyInit as _, Mac as _};
use phi_envelope::{
    DataKey, EnvelopeCipher, KeyProvider, Keyring, MasterKey, Passphrase, Recognition, Result,
    Slot, UnwrapContext, WrapContext, WrappedKey,
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
        .write_for(key("l8hXy8A6sN2WrOyQQ+hbyDba7vsIJqfrGtg9RBF7cbs=", 0xA1))
        .read_with(key("EtBJEXN2B6bSbFBxZzuBBPW5Kx+KTppfWLoNyTnWwQI=", 0xA2))
        .read_with(passphrase.with_max_memory_kib(8))
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

    fn wrap_key(&self, _: &DataKey, _: &WrapContext<'_>) -> Result<WrappedKey> {
        WrappedKey::external("org.example.open-book", b"all", &[0])
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapContext<'_>) -> Result<DataKey> {
        Ok(DataKey::taken_from(&mut { DATA_KEY }))
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

/// Bytes that repeat with no segment's length.
pub fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}
