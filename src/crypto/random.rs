//! Randomness, from the operating system alone, and the one way to make an IV.
//!
//! There is no state in user space that a fork or a snapshot of a virtual machine could clone: a caller draws what it is
//! about to use, in one call.

use zeroize::Zeroize as _;

use crate::error::Error;
use crate::secret::Secret;

/// Bytes of an AES-GCM IV.
pub(crate) const IV_LEN: usize = 12;

/// An IV that no one has sealed with. Sealing consumes it.
#[derive(Debug)]
pub(crate) struct FreshIv([u8; IV_LEN]);

impl FreshIv {
    /// The bytes to store beside the ciphertext. Only sealing takes an IV out of its wrapper.
    pub(super) fn into_bytes(self) -> [u8; IV_LEN] {
        self.0
    }
}

/// One random IV for several keys: SP 800-38D §8 asks that the pair of key and IV never repeats.
#[derive(Debug)]
pub(crate) struct SharedIv([u8; IV_LEN]);

impl SharedIv {
    /// One IV from the operating system.
    pub(crate) fn draw() -> Result<Self, Error> {
        Ok(Self(bytes()?))
    }

    /// The IV for one key. No two calls on one value may serve the same key.
    pub(crate) fn for_another_key(&self) -> FreshIv {
        FreshIv(self.0)
    }
}

/// What a record with a data key of its own draws: 60 bytes.
#[derive(Debug)]
pub(crate) struct RecordDraw {
    pub(crate) data_key: Secret<32>,
    pub(crate) data_key_id: [u8; 16],
    pub(crate) iv: SharedIv,
}

/// What a record under a session's data key draws: 28 bytes.
#[derive(Debug)]
pub(crate) struct MessageDraw {
    pub(crate) message_id: [u8; 16],
    pub(crate) iv: FreshIv,
}

/// `count` draws for records with data keys of their own, in one call to the operating system.
pub(crate) fn records(count: usize) -> Result<Vec<RecordDraw>, Error> {
    draw_each::<60, _>(count, record_from)
}

/// The draw of one record.
pub(crate) fn record() -> Result<RecordDraw, Error> {
    let mut drawn = [0_u8; 60];
    let filled = fill(&mut drawn);
    let record = filled.map(|()| record_from(&drawn));
    drawn.as_mut_slice().zeroize();
    record
}

/// `count` draws for records under a session's data key, in one call to the operating system.
pub(crate) fn messages(count: usize) -> Result<Vec<MessageDraw>, Error> {
    draw_each::<28, _>(count, message_from)
}

/// The draw of one record under a session's data key.
pub(crate) fn message() -> Result<MessageDraw, Error> {
    let mut drawn = [0_u8; 28];
    fill(&mut drawn)?;
    Ok(message_from(&drawn))
}

/// `count` IVs for one key, in one call to the operating system.
pub(crate) fn ivs(count: usize) -> Result<Vec<FreshIv>, Error> {
    draw_each::<IV_LEN, _>(count, |bytes| FreshIv(*bytes))
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut drawn = [0_u8; N];
    fill(&mut drawn)?;
    Ok(drawn)
}

/// `N` random secret bytes.
pub(crate) fn secret<const N: usize>() -> Result<Secret<N>, Error> {
    Secret::try_filled(|bytes| fill(bytes))
}

fn draw_each<const N: usize, T>(
    count: usize,
    make: impl Fn(&[u8; N]) -> T,
) -> Result<Vec<T>, Error> {
    let mut drawn = Drawn(vec![[0_u8; N]; count]);
    fill(drawn.0.as_flattened_mut())?;
    Ok(drawn.0.iter().map(make).collect())
}

/// Draws that are erased at one stroke.
struct Drawn<const N: usize>(Vec<[u8; N]>);

impl<const N: usize> Drop for Drawn<N> {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

fn record_from(drawn: &[u8; 60]) -> RecordDraw {
    let (data_key, rest) = split::<32>(drawn);
    let (data_key_id, rest) = split::<16>(rest);
    let (iv, _) = split::<IV_LEN>(rest);
    RecordDraw {
        data_key: Secret::filled(|bytes| bytes.copy_from_slice(data_key)),
        data_key_id: *data_key_id,
        iv: SharedIv(*iv),
    }
}

fn message_from(drawn: &[u8; 28]) -> MessageDraw {
    let (message_id, rest) = split::<16>(drawn);
    let (iv, _) = split::<IV_LEN>(rest);
    MessageDraw {
        message_id: *message_id,
        iv: FreshIv(*iv),
    }
}

/// Splits `N` bytes off a draw whose length the callers above state.
fn split<const N: usize>(drawn: &[u8]) -> (&[u8; N], &[u8]) {
    #[allow(clippy::expect_used)] // the lengths are constants of this file
    drawn
        .split_first_chunk()
        .expect("a draw holds what is taken from it")
}

#[cfg(not(test))]
fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    system(bytes)
}

fn system(bytes: &mut [u8]) -> Result<(), Error> {
    use rand::TryRng as _;
    rand::rngs::SysRng
        .try_fill_bytes(bytes)
        .map_err(|error| Error::Io(std::io::Error::other(error.to_string())))
}

#[cfg(test)]
pub(crate) use fixed::with_fixed_randomness;

#[cfg(test)]
use fixed::fill;

/// Randomness that tests of this crate inject, for vectors that must never change.
#[cfg(test)]
mod fixed {
    use std::cell::RefCell;

    use crate::error::Error;

    thread_local! {
        static FIXED: RefCell<Option<Stream>> = const { RefCell::new(None) };
    }

    /// SHA-256 in counter mode over a name.
    struct Stream {
        name: String,
        block: u64,
        left: Vec<u8>,
    }

    impl Stream {
        fn next(&mut self) -> u8 {
            use sha2::Digest as _;
            if self.left.is_empty() {
                let mut hash = sha2::Sha256::new();
                hash.update(self.name.as_bytes());
                hash.update(self.block.to_be_bytes());
                self.block += 1;
                self.left = hash.finalize().iter().rev().copied().collect();
            }
            self.left.pop().unwrap_or_default()
        }
    }

    /// Runs `body` with every draw of this thread taken from a stream that `name` decides.
    pub(crate) fn with_fixed_randomness<T>(name: &str, body: impl FnOnce() -> T) -> T {
        FIXED.with(|fixed| {
            *fixed.borrow_mut() = Some(Stream {
                name: name.to_owned(),
                block: 0,
                left: Vec::new(),
            });
        });
        let out = body();
        FIXED.with(|fixed| *fixed.borrow_mut() = None);
        out
    }

    pub(super) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
        FIXED.with(|fixed| match &mut *fixed.borrow_mut() {
            Some(stream) => {
                bytes.fill_with(|| stream.next());
                Ok(())
            }
            None => super::system(bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_and_the_parts_of_a_draw_do_not_overlap() {
        let draws = records(64).unwrap();
        let mut keys: Vec<_> = draws.iter().map(|draw| *draw.data_key.as_bytes()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 64);
        let fixed = with_fixed_randomness("parts", || record().unwrap());
        let whole = with_fixed_randomness("parts", || bytes::<60>().unwrap());
        assert_eq!(fixed.data_key.as_bytes()[..], whole[..32]);
        assert_eq!(fixed.data_key_id[..], whole[32..48]);
        assert_eq!(fixed.iv.0[..], whole[48..]);
    }
}
