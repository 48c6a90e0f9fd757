//! Bytes that are erased when dropped and never printed.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroize as _;

/// `N` secret bytes on the heap, so that moving the value copies nothing.
pub(crate) struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Fills the bytes where they will stay.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self::unfilled();
        fill(&mut secret.0);
        secret
    }

    /// Fills the bytes where they will stay, or erases what was filled.
    pub(crate) fn try_filled<E>(
        fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut secret = Self::unfilled();
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// A copy of the bytes, which the caller erases.
    pub(crate) fn copied(bytes: &[u8; N]) -> Self {
        Self::filled(|to| to.copy_from_slice(bytes))
    }

    /// Takes the bytes over and erases the caller's.
    pub(crate) fn taken_from(bytes: &mut [u8; N]) -> Self {
        let secret = Self::copied(bytes);
        bytes.as_mut_slice().zeroize();
        secret
    }

    pub(crate) fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    // Not zeros: zeroed memory comes by the allocator's slow road (with glibc, `calloc` passes by the thread's cache).
    fn unfilled() -> Self {
        Self(Box::new([0xA5; N]))
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        // A slice is erased at one stroke, an array byte by byte.
        self.0.as_mut_slice().zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Bytes of stack that [`on_cleared_stack`] clears. AES in wide registers was seen to leave round keys below 8 KiB, nothing below 12.
const CLEARED: usize = 16384;

/// Does work with secrets, and then clears the stack that it has used.
///
/// What is moved or expanded by value, here or in the crates below us (an HMAC on its way into its box, the round keys of AES
/// spread over wide registers), leaves copies in frames that are gone, and nobody else erases those: they stay until a
/// deeper call happens to write there, or go with uninitialised bytes to the heap.
pub(crate) fn on_cleared_stack<T>(work: impl FnOnce() -> T) -> T {
    let out = in_a_frame_of_its_own(work);
    clear();
    out
}

/// Begins where the frame of [`clear`] begins.
#[inline(never)]
fn in_a_frame_of_its_own<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn clear() {
    let mut frame = [0_u64; CLEARED / 8];
    // Written although nothing reads it. In words a compiler may widen: bytes one by one would cost more than the work.
    std::hint::black_box(&mut frame);
}

/// Decrypted bytes: reads as `[u8]`, is erased when dropped, and prints only its length.
///
/// ```
/// # fn main() -> Result<(), phi_envelope::Error> {
/// # let cipher = phi_envelope::EnvelopeCipher::new(phi_envelope::Keyring::generate("doc")?);
/// # let context = phi_envelope::Context::new();
/// # let envelope = cipher.encrypt(b"BP 120/80", &context)?;
/// let plaintext = cipher.decrypt(&envelope, &context)?;
/// assert_eq!(&plaintext[..], b"BP 120/80");
/// assert_eq!(format!("{plaintext:?}"), "Plaintext(9 bytes)");
/// # Ok(()) }
/// ```
pub struct Plaintext(Vec<u8>);

impl Plaintext {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Keeps the bytes of `range` and erases all others.
    pub(crate) fn keep(&mut self, range: std::ops::Range<usize>) {
        let len = range.len();
        self.0.copy_within(range, 0);
        if let Some(rest) = self.0.get_mut(len..) {
            rest.zeroize();
        }
        self.0.truncate(len);
    }

    /// The bytes, without a copy. Erasing them is the caller's part from here on.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        // As `Vec` erases itself, at one stroke where it goes byte by byte.
        self.0.as_mut_slice().zeroize();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl Deref for Plaintext {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Plaintext {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<[u8]> for Plaintext {
    fn eq(&self, other: &[u8]) -> bool {
        self.0 == other
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plaintext({} bytes)", self.0.len())
    }
}
