//! HMAC with a keyed state that is kept, and erased when dropped.

use hmac::KeyInit as _;
use hmac::block_api::HmacCore;
use hmac::digest::Output;
use hmac::digest::block_api::{Buffer, FixedOutputCore as _, UpdateCore as _};
use sha2::{Sha256, Sha384};
use zeroize::Zeroize as _;

use crate::secret::Secret;

/// HMAC-SHA-256 under one key (FIPS 198-1), keyed once.
pub(crate) struct Mac256(Box<HmacCore<Sha256>>);

/// HMAC-SHA-384 under one key (FIPS 198-1), keyed once.
pub(crate) struct Mac384(Box<HmacCore<Sha384>>);

macro_rules! mac {
    ($name:ident, $hmac:ty, $len:literal) => {
        impl $name {
            /// Keys the state. HMAC takes a key of any length.
            pub(crate) fn new(key: &[u8]) -> Self {
                #[allow(clippy::expect_used)] // HMAC refuses no length
                let state = <$hmac>::new_from_slice(key).expect("HMAC takes any key length");
                Self(Box::new(state))
            }

            /// The MAC of the parts, one after the other, as a public value.
            #[inline]
            pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; $len] {
                self.compute(parts).into()
            }

            /// The MAC of the parts, one after the other, as a key.
            #[inline]
            pub(crate) fn key(&self, parts: &[&[u8]]) -> Secret<$len> {
                let mut output = self.compute(parts);
                Secret::from_bytes_zeroizing(output.as_mut())
            }

            // Not by `Hmac`, which carries a buffer along: filled with zeros, copied and erased for each MAC once more.
            #[inline]
            fn compute(&self, parts: &[&[u8]]) -> Output<$hmac> {
                let mut state = <$hmac>::clone(&self.0);
                let mut buffer = Buffer::<$hmac>::default();
                for part in parts {
                    buffer.digest_blocks(part, |blocks| state.update_blocks(blocks));
                }
                let mut mac = Output::<$hmac>::default();
                state.finalize_fixed_core(&mut buffer, &mut mac);
                mac
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    };
}

mac!(Mac256, HmacCore<Sha256>, 32);
mac!(Mac384, HmacCore<Sha384>, 48);

impl Mac256 {
    /// What `make` makes of the MAC of the parts as a key, which is then erased.
    #[inline]
    pub(crate) fn made_of<T>(&self, parts: &[&[u8]], make: impl FnOnce(&[u8; 32]) -> T) -> T {
        let mut output = self.compute(parts);
        let key: &mut [u8; 32] = output.as_mut();
        let made = make(key);
        key.as_mut_slice().zeroize();
        made
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    /// FIPS 198-1 §4, step by step, out of the hash alone.
    fn by_definition<H: Digest, const BLOCK: usize>(key: &[u8], text: &[u8]) -> Vec<u8> {
        let hashed = H::digest(key);
        let key = if key.len() > BLOCK { &hashed } else { key };
        let mut padded = [0; BLOCK];
        padded[..key.len()].copy_from_slice(key);
        let hash = |pad: u8, text: &[u8]| {
            let start = H::new().chain_update(padded.map(|byte| byte ^ pad));
            start.chain_update(text).finalize()
        };
        hash(0x5c, &hash(0x36, text)).to_vec()
    }

    #[test]
    fn a_mac_is_that_of_its_definition_for_keys_and_texts_of_any_length_in_any_parts() {
        let bytes: Vec<u8> = (0..=250).cycle().take(400).collect();
        for key_len in [0, 1, 32, 48, 63, 64, 65, 127, 128, 129, 300] {
            let (key, _) = bytes.split_at(key_len);
            let (short, long) = (Mac256::new(key), Mac384::new(key));
            for len in 0..bytes.len() {
                let (text, _) = bytes.split_at(len);
                let expected = by_definition::<Sha256, 64>(key, text);
                let expected_long = by_definition::<Sha384, 128>(key, text);
                for cut in [0, 1, 63, 64, 65, 127, 128, 129, len] {
                    let (head, tail) = text.split_at(cut.min(len));
                    let parts: [&[u8]; 5] = [&[], head, &[], tail, &[]];
                    assert_eq!(short.tag(&parts)[..], expected, "{key_len} {len} {cut}");
                    assert_eq!(long.tag(&parts)[..], expected_long, "{key_len} {len} {cut}");
                }
                assert_eq!(short.key(&[text]).as_bytes()[..], expected);
                assert_eq!(long.key(&[text]).as_bytes()[..], expected_long);
            }
        }
    }
}
