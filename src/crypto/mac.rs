//! HMAC with a keyed state that is kept, and erased when dropped.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha384;
use sha2::block_api::compress256;
use zeroize::Zeroize as _;

use crate::secret::Secret;

/// HMAC-SHA-256 under one key (FIPS 198-1), keyed once.
///
/// A record takes five of these over short parts, and in `hmac` what surrounds the hash costs as much as a fifth of it. So here
/// a message is gathered whole and goes to `sha2`'s compression in one call. Tests hold every length to `hmac`.
pub(crate) struct Mac256(Box<Keyed>);

/// HMAC-SHA-384 under one key (FIPS 198-1), keyed once.
pub(crate) struct Mac384(Box<Hmac<Sha384>>);

impl Mac256 {
    /// Keys the state.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut block = [0; BLOCK];
        fill(&mut block, key);
        Self::of_block(block)
    }

    /// HMAC takes a key of any length.
    #[cfg(test)]
    pub(crate) fn of_any_key(key: &[u8]) -> Self {
        use sha2::Digest as _;
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            fill(&mut block, &sha2::Sha256::digest(key));
        } else {
            fill(&mut block, key);
        }
        Self::of_block(block)
    }

    /// The MAC of the parts, one after the other, as a public value.
    #[inline(always)]
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut tag = [0; 32];
        self.compute(parts, &mut tag);
        tag
    }

    /// The MAC of the parts, one after the other, as a key.
    #[inline(always)]
    pub(crate) fn key(&self, parts: &[&[u8]]) -> Secret<32> {
        Secret::filled(|key| self.compute(parts, key))
    }

    /// What `make` makes of the MAC of the parts as a key, which is then erased.
    #[inline(always)]
    pub(crate) fn made_of<T>(&self, parts: &[&[u8]], make: impl FnOnce(&[u8; 32]) -> T) -> T {
        let mut key = [0; 32];
        self.compute(parts, &mut key);
        let made = make(&key);
        key.as_mut_slice().zeroize();
        made
    }

    // FIPS 198-1 §4, steps 4 to 6 and 8: the key's block under each pad is the first that each hash takes.
    fn of_block(mut block: [u8; BLOCK]) -> Self {
        let mut keyed = Box::new(Keyed {
            inner: SHA256,
            outer: SHA256,
        });
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        compress256(&mut keyed.inner, &[block]);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
        compress256(&mut keyed.outer, &[block]);
        block.as_mut_slice().zeroize();
        Self(keyed)
    }

    // FIPS 198-1 §4: H((K ⊕ opad) ‖ H((K ⊕ ipad) ‖ text)). Inlined, so that lengths that are known when a derivation is compiled
    // are known here.
    #[inline(always)]
    fn compute(&self, parts: &[&[u8]], out: &mut [u8; 32]) {
        let mut text = Hash::after_block(self.0.inner);
        parts.iter().for_each(|part| text.update(part));
        text.finish(out);
        outer(self.0.outer, out);
    }
}

/// The outer hash: `out` is the inner one's, and becomes the MAC.
#[inline]
fn outer(mut state: [u32; 8], out: &mut [u8; 32]) {
    const BITS: [u8; 8] = (8 * (BLOCK as u64 + 32)).to_be_bytes();
    let mut block = [0; BLOCK];
    fill(&mut block, out);
    if let Some((marker, bits)) = block.get_mut(32..).and_then(<[u8]>::split_last_chunk_mut) {
        fill(marker, &[0x80]);
        *bits = BITS;
    }
    compress256(&mut state, &[block]);
    write(&state, out);
    block.as_mut_slice().zeroize();
    state.as_mut_slice().zeroize();
}

/// SHA-256's state after the first block of the inner and of the outer hash.
struct Keyed {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Drop for Keyed {
    fn drop(&mut self) {
        self.inner.as_mut_slice().zeroize();
        self.outer.as_mut_slice().zeroize();
    }
}

// FIPS 180-4 §5.3.3
const SHA256: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const BLOCK: usize = 64;
/// What is gathered before it is hashed.
const GATHERED: usize = 3 * BLOCK;

/// A SHA-256 that has taken one block. Erased when dropped.
struct Hash {
    state: [u32; 8],
    /// Blocks gathered, with room for the one that the padding may need.
    gathered: [[u8; BLOCK]; 4],
    len: usize,
    /// Bytes hashed before those gathered.
    hashed: u64,
}

impl Hash {
    #[inline]
    fn after_block(state: [u32; 8]) -> Self {
        Self {
            state,
            gathered: [[0; BLOCK]; 4],
            len: 0,
            hashed: BLOCK as u64,
        }
    }

    #[inline(always)]
    fn update(&mut self, mut bytes: &[u8]) {
        while let Some((now, later)) = bytes.split_at_checked(GATHERED - self.len)
            && !later.is_empty()
        {
            self.append(now);
            let [full @ .., _] = &self.gathered;
            compress256(&mut self.state, full);
            self.hashed = self.hashed.wrapping_add(GATHERED as u64);
            self.len = 0;
            bytes = later;
        }
        self.append(bytes);
    }

    // FIPS 180-4 §5.1.1: a one, zeros, and the length in bits as a u64 at the end of a block.
    #[inline]
    fn finish(&mut self, out: &mut [u8; 32]) {
        let bytes = self.hashed.wrapping_add(self.len as u64);
        let blocks = (self.len + 1 + 8).div_ceil(BLOCK);
        self.append(&[0x80]);
        let flat = self.gathered.as_flattened_mut();
        if let Some(rest) = flat.get_mut(self.len..blocks * BLOCK)
            && let Some((zeros, bits)) = rest.split_last_chunk_mut()
        {
            zeros.fill(0);
            *bits = bytes.wrapping_mul(8).to_be_bytes();
        }
        compress256(
            &mut self.state,
            self.gathered.get(..blocks).unwrap_or_default(),
        );
        write(&self.state, out);
    }

    #[inline(always)]
    fn append(&mut self, bytes: &[u8]) {
        let flat = self.gathered.as_flattened_mut();
        fill(flat.get_mut(self.len..).unwrap_or_default(), bytes);
        self.len += bytes.len();
    }
}

impl Drop for Hash {
    #[inline]
    fn drop(&mut self) {
        self.state.as_mut_slice().zeroize();
        self.gathered.as_flattened_mut().zeroize();
    }
}

/// Writes a state as a digest.
#[inline]
fn write(state: &[u32; 8], out: &mut [u8; 32]) {
    let (words, _) = out.as_chunks_mut();
    for (to, word) in words.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
}

/// Writes `bytes` to the head of `out`, which has room for them.
#[inline(always)]
fn fill(out: &mut [u8], bytes: &[u8]) {
    if let Some(head) = out.get_mut(..bytes.len()) {
        head.copy_from_slice(bytes);
    }
}

impl Mac384 {
    /// Keys the state. HMAC takes a key of any length.
    pub(crate) fn new(key: &[u8]) -> Self {
        #[allow(clippy::expect_used)] // HMAC refuses no length
        let state = <Hmac<Sha384>>::new_from_slice(key).expect("HMAC takes any key length");
        Self(Box::new(state))
    }

    /// The MAC of the parts, one after the other, as a public value.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> [u8; 48] {
        self.compute(parts).into_bytes().into()
    }

    /// The MAC of the parts, one after the other, as a key.
    pub(crate) fn key(&self, parts: &[&[u8]]) -> Secret<48> {
        let mut output = self.compute(parts).into_bytes();
        Secret::taken_from(output.as_mut())
    }

    fn compute(&self, parts: &[&[u8]]) -> hmac::digest::CtOutput<Hmac<Sha384>> {
        let mut state = <Hmac<Sha384>>::clone(&self.0);
        for part in parts {
            state.update(part);
        }
        state.finalize()
    }
}

impl std::fmt::Debug for Mac256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac256(redacted)")
    }
}

impl std::fmt::Debug for Mac384 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac384(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut hmac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| hmac.update(part));
        hmac.finalize().into_bytes().into()
    }

    #[test]
    fn every_length_and_every_cut_agrees_with_hmac() {
        let key = [0x5A; 32];
        let ours = Mac256::new(&key);
        let bytes: Vec<u8> = (0..=250).cycle().take(1100).collect();
        for len in 0..bytes.len() {
            let text = &bytes[..len];
            let expected = foreign(&key, &[text]);
            assert_eq!(ours.tag(&[text]), expected, "{len} bytes");
            for cut in [1, 63, 64, 65, 255, 256, 257, 511, 512, 513, len] {
                let (head, tail) = text.split_at(cut.min(len));
                assert_eq!(ours.tag(&[head, &[], tail]), expected, "{len} at {cut}");
            }
            let pieces: Vec<_> = text.chunks(7).collect();
            assert_eq!(ours.key(&pieces).as_bytes(), &expected, "{len} in sevens");
        }
    }

    #[test]
    fn keys_of_any_length_agree_with_hmac() {
        for len in 0..200 {
            let key = vec![0xC3; len];
            assert_eq!(
                Mac256::of_any_key(&key).tag(&[b"text"]),
                foreign(&key, &[b"text"]),
                "{len} bytes of key"
            );
        }
    }

    #[test]
    fn a_message_longer_than_any_context_agrees_with_hmac() {
        let long = vec![0x77; 100_003];
        assert_eq!(
            Mac256::new(&[9; 32]).tag(&[b"label\0", &long, &[1]]),
            foreign(&[9; 32], &[b"label\0", &long, &[1]])
        );
    }
}
