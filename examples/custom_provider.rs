//! A key provider from outside the crate: a stand-in for a KMS. `cargo run --example custom_provider`

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider, Result,
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

/// A key's name, and here the key too; a real one has a client, and asks a network where this one asks its key.
struct Kms(&'static str, Aes256Gcm);

impl KeyProvider for Kms {
    // By name alone: this never asks a network.
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        match slot.external() {
            Some(("org.example.kms", id)) if id == self.0.as_bytes() => Recognition::Current,
            _ => Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        let (iv, aad, mut sealed) = (context.random::<12>()?, context.aad(), *key.as_bytes());
        let (iv_, buffer) = (&iv.into(), sealed.as_mut_slice().into());
        let tag = self.1.encrypt_inout_detached(iv_, aad, buffer);
        let tag = tag.map_err(|_| Error::provider(false, "refused to wrap"))?;
        let wrapped = [&iv[..], &sealed, &tag].concat();
        WrappedKey::external("org.example.kms", self.0.as_bytes(), &wrapped)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        let refused = || Error::provider(false, "refused to unwrap");
        let (iv, rest) = slot.wrapped().split_first_chunk().ok_or_else(refused)?;
        let (sealed, tag) = rest.split_last_chunk().ok_or_else(refused)?;
        let mut key = <[u8; 32]>::try_from(sealed).map_err(|_| refused())?;
        let (aad, buffer) = (context.aad(), key.as_mut_slice().into());
        let opened = self
            .1
            .decrypt_inout_detached(iv.into(), aad, buffer, tag.into());
        opened.map_err(|_| refused())?;
        Ok(DataKey::from_bytes_zeroizing(&mut key)) // which erases `key`
    }
}

fn main() -> Result<()> {
    let kms = |name, key| Kms(name, Aes256Gcm::new(&key));
    let cipher = EnvelopeCipher::new(kms("keys/ehr/7", [7; 32].into()));
    let context = Context::new().label("tenant", "clinic-7")?;
    let envelope = cipher.encrypt("HbA1c 6.1 %", &context)?;

    for (who, kms) in [
        ("the KMS", kms("keys/ehr/7", [7; 32].into())),
        ("another KMS, same name", kms("keys/ehr/7", [9; 32].into())),
        ("another key of the KMS", kms("keys/ehr/8", [8; 32].into())),
    ] {
        let opened = EnvelopeCipher::new(kms).decrypt(&envelope, &context);
        let said = opened.map_or_else(|error| error.to_string(), |_| "opens it".to_owned());
        println!("{who:<23} {said}");
    }
    Ok(())
}
