//! Messages in one piece of memory.

use zeroize::Zeroizing;

use super::batch::Threads;
use super::key::Key;
use super::layout::Layout;
use super::length::SegmentLength;
use super::open::Opener;
use super::seal::Sealer;
use crate::error::{Error, Limit, Result};
use crate::memory::zeros;
use crate::secret::Plaintext;

/// Encrypts `plaintext` into one message of 74 bytes, the plaintext and 32 bytes for each segment.
///
/// ```
/// use phi_envelope::floe::{self, Key, SegmentLength};
/// let key = Key::generate()?;
/// let message = floe::encrypt(&key, b"", SegmentLength::DEFAULT, b"BP 120/80")?;
/// assert_eq!(message.len(), 74 + 32 + 9);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Io`] where the operating system gives no randomness; [`Limit::StreamLength`] beyond 2^40 segments.
pub fn encrypt(key: &Key, aad: &[u8], length: SegmentLength, plaintext: &[u8]) -> Result<Vec<u8>> {
    let layout = Layout::of_plaintext(length, in_file(plaintext.len())?)?;
    let sealer = Sealer::new(key, aad, length)?;
    let mut message = zeros(in_memory(layout.message())?)?;
    let (header, body) = message.split_at_mut(sealer.header().len());
    header.copy_from_slice(sealer.header());

    let batch = Threads::All.batch(length);
    let mut pieces = plaintext.chunks(length.plain_len());
    let mut runs = body.chunks_mut(batch.saturating_mul(length.sealed_len()));
    let mut positions = (0..).step_by(batch);
    while let (Some(run), Some(position)) = (runs.next(), positions.next()) {
        let pieces = pieces.by_ref().take(batch);
        sealer.seal(position, pieces, runs.len() == 0, run, Threads::All)?;
    }
    Ok(message)
}

/// Decrypts one whole message.
///
/// ```
/// # use phi_envelope::floe::{self, Key, SegmentLength};
/// # let key = Key::generate()?;
/// # let message = floe::encrypt(&key, b"bp", SegmentLength::DEFAULT, b"BP 120/80")?;
/// let plaintext = floe::decrypt(&key, b"bp", &message)?;
/// assert_eq!(&plaintext[..], b"BP 120/80");
/// assert!(floe::decrypt(&key, b"another aad", &message).is_err());
/// # Ok::<(), phi_envelope::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::AuthenticationFailed`] for another key or AAD and wherever a byte was changed, [`Error::Truncated`] where the
/// end is missing, [`Error::Malformed`] where it is no FLOE message of this kind or bytes follow it.
pub fn decrypt(key: &Key, aad: &[u8], message: &[u8]) -> Result<Plaintext> {
    let (header, body) = message.split_first_chunk().ok_or(Error::Truncated)?;
    let opener = Opener::new(key, aad, header)?;
    let length = opener.length();
    let layout = Layout::of_body(length, in_file(body.len())?)?;
    let mut plaintext = Zeroizing::new(zeros(in_memory(layout.plaintext())?)?);

    let batch = Threads::All.batch(length);
    let mut outs = plaintext.chunks_mut(batch.saturating_mul(length.plain_len()));
    let mut runs = body.chunks(batch.saturating_mul(length.sealed_len()));
    let mut positions = (0..).step_by(batch);
    while let (Some(run), Some(position)) = (runs.next(), positions.next()) {
        let out = outs.next().unwrap_or_default();
        opener.open(position, run, runs.len() == 0, out, Threads::All)?;
    }
    Ok(Plaintext::new(std::mem::take(&mut *plaintext)))
}

fn in_file(bytes: usize) -> Result<u64> {
    u64::try_from(bytes).map_err(|_| Limit::StreamLength.into())
}

fn in_memory(bytes: u64) -> Result<usize> {
    usize::try_from(bytes).map_err(|_| Limit::StreamLength.into())
}
