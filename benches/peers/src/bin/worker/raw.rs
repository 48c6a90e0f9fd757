//! The floor: the ciphers alone, under one key that is ready, with an IV that counts and nothing around them.

use std::cell::Cell;

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use anyhow::{Result, anyhow};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::Contestant;

/// Of a stream.
const PIECE: usize = 65_536;
const TAG: usize = 16;

pub(crate) struct AesGcm {
    cipher: Aes256Gcm,
    count: Count,
}

pub(crate) struct AwsLc {
    cipher: LessSafeKey,
    count: Count,
}

#[derive(Default)]
struct Count(Cell<u64>);

impl Count {
    fn iv(&self) -> [u8; 12] {
        self.0.set(self.0.get() + 1);
        let mut iv = [0; 12];
        iv[4..].copy_from_slice(&self.0.get().to_be_bytes());
        iv
    }
}

impl AesGcm {
    pub(crate) fn new() -> Self {
        Self {
            cipher: Aes256Gcm::new(&[7; 32].into()),
            count: Count::default(),
        }
    }
}

impl AwsLc {
    pub(crate) fn new() -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| anyhow!("a key"))?;
        Ok(Self {
            cipher: LessSafeKey::new(key),
            count: Count::default(),
        })
    }
}

/// Seals pieces with what a backend has for it, after their IVs.
fn pieces(
    plaintext: &[u8],
    out: &mut [u8],
    mut seal: impl FnMut(&mut [u8]) -> Result<([u8; 12], [u8; TAG])>,
) -> Result<usize> {
    let mut at = 0;
    for piece in plaintext.chunks(PIECE) {
        let (iv, rest) = out[at..at + 12 + piece.len() + TAG].split_at_mut(12);
        let (content, tag) = rest.split_at_mut(piece.len());
        content.copy_from_slice(piece);
        let sealed = seal(content)?;
        iv.copy_from_slice(&sealed.0);
        tag.copy_from_slice(&sealed.1);
        at += 12 + piece.len() + TAG;
    }
    Ok(at)
}

fn opened(
    sealed: &[u8],
    out: &mut [u8],
    mut open: impl FnMut([u8; 12], &mut [u8], [u8; TAG]) -> Result<()>,
) -> Result<usize> {
    let mut at = 0;
    for piece in sealed.chunks(12 + PIECE + TAG) {
        let (iv, rest) = piece.split_at(12);
        let (content, tag) = rest.split_at(rest.len() - TAG);
        let plaintext = &mut out[at..at + content.len()];
        plaintext.copy_from_slice(content);
        open(iv.try_into()?, plaintext, tag.try_into()?)?;
        at += content.len();
    }
    Ok(at)
}

macro_rules! contestant {
    ($name:ident, $seal:ident, $open:ident) => {
        impl Contestant for $name {
            fn seal_shared(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
                let mut out = vec![0; 12 + plaintext.len() + TAG];
                pieces(plaintext, &mut out, |content| self.$seal(content))?;
                Ok(out)
            }

            fn open_shared(&self, sealed: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<()> {
                let mut out = vec![0; sealed.len() - 12 - TAG];
                opened(sealed, &mut out, |iv, content, tag| {
                    self.$open(iv, content, tag)
                })?;
                take(&out);
                Ok(())
            }

            fn encrypt_memory(&self, plaintext: &'static [u8], out: &mut [u8]) -> Result<usize> {
                pieces(plaintext, out, |content| self.$seal(content))
            }

            fn decrypt_memory(&self, sealed: &'static [u8], out: &mut [u8]) -> Result<usize> {
                opened(sealed, out, |iv, content, tag| self.$open(iv, content, tag))
            }
        }
    };
}

contestant!(AesGcm, seal_piece, open_piece);
contestant!(AwsLc, seal_piece, open_piece);

impl AesGcm {
    fn seal_piece(&self, content: &mut [u8]) -> Result<([u8; 12], [u8; TAG])> {
        let iv = self.count.iv();
        let tag = self
            .cipher
            .encrypt_inout_detached(&iv.into(), &[], content.into())
            .map_err(|_| anyhow!("not sealed"))?;
        Ok((iv, tag.into()))
    }

    fn open_piece(&self, iv: [u8; 12], content: &mut [u8], tag: [u8; TAG]) -> Result<()> {
        self.cipher
            .decrypt_inout_detached(&iv.into(), &[], content.into(), &tag.into())
            .map_err(|_| anyhow!("not opened"))
    }
}

impl AwsLc {
    fn seal_piece(&self, content: &mut [u8]) -> Result<([u8; 12], [u8; TAG])> {
        let iv = self.count.iv();
        let nonce = Nonce::assume_unique_for_key(iv);
        let tag = self
            .cipher
            .seal_in_place_separate_tag(nonce, Aad::empty(), content)
            .map_err(|_| anyhow!("not sealed"))?;
        Ok((iv, tag.as_ref().try_into()?))
    }

    fn open_piece(&self, iv: [u8; 12], content: &mut [u8], tag: [u8; TAG]) -> Result<()> {
        let nonce = Nonce::assume_unique_for_key(iv);
        self.cipher
            .open_in_place_separate_tag(nonce, Aad::empty(), &tag, content)
            .map_err(|_| anyhow!("not opened"))?;
        Ok(())
    }
}
