//! The AWS-LC backend. It may write before it has checked the tag, so a refused buffer is erased here.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize as _;

use super::BadTag;

pub(crate) struct Key(LessSafeKey);

#[allow(clippy::expect_used)] // AWS-LC refuses only lengths, which the types fix or callers checked
impl Key {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes"),
        ))
    }

    pub(crate) fn seal_in_place(&self, iv: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> [u8; 16] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*iv), Aad::from(aad), buffer)
            .expect("the length was checked");
        tag.as_ref().try_into().expect("the tag has 16 bytes")
    }

    pub(crate) fn seal_into(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> [u8; 16] {
        let mut tag = [0; 16];
        self.0
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(*iv),
                Aad::from(aad),
                plaintext,
                ciphertext,
                &[],
                &mut tag,
            )
            .expect("the lengths were checked");
        tag
    }

    pub(crate) fn open_in_place(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), BadTag> {
        let opened = self
            .0
            .open_in_place_separate_tag(
                Nonce::assume_unique_for_key(*iv),
                Aad::from(aad),
                tag,
                buffer,
            )
            .is_ok();
        verdict(opened, buffer)
    }

    pub(crate) fn open_into(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        plaintext: &mut [u8],
    ) -> Result<(), BadTag> {
        let opened = self
            .0
            .open_separate_gather(
                Nonce::assume_unique_for_key(*iv),
                Aad::from(aad),
                ciphertext,
                tag,
                plaintext,
            )
            .is_ok();
        verdict(opened, plaintext)
    }
}

fn verdict(opened: bool, plaintext: &mut [u8]) -> Result<(), BadTag> {
    if opened {
        Ok(())
    } else {
        plaintext.zeroize();
        Err(BadTag)
    }
}
