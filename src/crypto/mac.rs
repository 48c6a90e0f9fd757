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
                Secret::taken_from(output.as_mut())
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
