//! The pure-Rust backend, `aes-gcm`. It checks the tag before it writes.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};

use super::BadTag;

pub(crate) struct Key(Aes256Gcm);

impl Key {
    // Inlined, as `GcmKey::new` is, so that the expanded key is made where it stays and is erased.
    #[inline]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    pub(crate) fn seal_in_place(&self, iv: &[u8; 12], aad: &[u8], buffer: &mut [u8]) -> [u8; 16] {
        self.seal(iv, aad, buffer.into())
    }

    pub(crate) fn seal_into(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        plaintext: &[u8],
        ciphertext: &mut [u8],
    ) -> [u8; 16] {
        self.seal(iv, aad, pair(plaintext, ciphertext))
    }

    pub(crate) fn open_in_place(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        buffer: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), BadTag> {
        self.open(iv, aad, buffer.into(), tag)
    }

    pub(crate) fn open_into(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
        tag: &[u8; 16],
        plaintext: &mut [u8],
    ) -> Result<(), BadTag> {
        self.open(iv, aad, pair(ciphertext, plaintext), tag)
    }

    fn seal(&self, iv: &[u8; 12], aad: &[u8], buffer: InOutBuf<'_, '_, u8>) -> [u8; 16] {
        #[allow(clippy::expect_used)] // callers hold to MAX_PLAINTEXT
        self.0
            .encrypt_inout_detached(iv.into(), aad, buffer)
            .expect("the length was checked")
            .into()
    }

    fn open(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        buffer: InOutBuf<'_, '_, u8>,
        tag: &[u8; 16],
    ) -> Result<(), BadTag> {
        self.0
            .decrypt_inout_detached(iv.into(), aad, buffer, tag.into())
            .map_err(|_| BadTag)
    }
}

fn pair<'i, 'o>(input: &'i [u8], output: &'o mut [u8]) -> InOutBuf<'i, 'o, u8> {
    #[allow(clippy::expect_used)] // a bug of this crate, never of input
    InOutBuf::new(input, output).expect("input and output have one length")
}
