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
    pub(crate) fn from_bytes_zeroizing(bytes: &mut [u8; N]) -> Self {
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

/// Does work with secrets, and then clears the stack and the vector registers that it has used.
///
/// What is moved or expanded by value, here or in the crates below us (an HMAC on its way into its box, the round keys of AES
/// spread over wide registers), leaves copies in frames that are gone, and nobody else erases those: they stay until a
/// deeper call happens to write there, or go with uninitialised bytes to the heap.
///
/// Registers keep the round keys, too. A compiler that has to write bytes of no meaning, such as those of a `None`, may write
/// what a register happens to hold: so a cipher that was built after a record had been sealed took a round key along.
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
    clear_registers();
    let mut frame = [0_u64; CLEARED / 8];
    // Written although nothing reads it. In words a compiler may widen: bytes one by one would cost more than the work.
    std::hint::black_box(&mut frame);
}

/// Vector registers that code of this target names.
const REGISTERS: usize = if cfg!(any(target_arch = "aarch64", target_feature = "avx512f")) {
    32
} else {
    16
};

/// Has as many floats as there are vector registers on their way at one time: each fills a register of its own.
///
/// Before the stack is cleared: after that, reading them would wait until it is, by a twentieth of what a record costs.
fn clear_registers() {
    // Gaps between the floats keep a compiler from making a few wide vectors of them.
    let mut floats = [[0.0_f64; 2]; REGISTERS];
    std::hint::black_box(&mut floats);
    macro_rules! through_registers {
        ($($float:ident $at:literal)*) => {
            $(let $float = floats[$at][0];)*
            // For all that a compiler knows they change here: it can neither read them later nor write them earlier.
            std::hint::black_box(&mut floats);
            $(floats[$at][0] = $float;)*
        };
    }
    #[cfg(not(any(target_arch = "aarch64", target_feature = "avx512f")))]
    through_registers!(a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12 n 13 o 14 p 15);
    #[cfg(any(target_arch = "aarch64", target_feature = "avx512f"))]
    through_registers!(a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12 n 13 o 14 p 15
        q 16 r 17 s 18 t 19 u 20 v 21 w 22 x 23 y 24 z 25 aa 26 bb 27 cc 28 dd 29 ee 30 ff 31);
    std::hint::black_box(&mut floats);
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
