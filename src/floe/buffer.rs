//! A buffer for plaintext.

use zeroize::Zeroizing;

use crate::error::Result;
use crate::memory::{no_memory, zeros};

/// The least that is allocated.
const LEAST: usize = 4096;

/// Bytes that are erased when dropped, and whose growth leaves no copy behind.
pub(super) struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    pub(super) fn new() -> Self {
        Self(Zeroizing::default())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends bytes. Room grows by doubling, up to `most` bytes or what they take. Fails, and changes nothing, where there is no
    /// memory.
    pub(super) fn extend(&mut self, bytes: &[u8], most: usize) -> Result<()> {
        let len = self.len().saturating_add(bytes.len());
        if len > self.0.capacity() {
            let doubled = self.0.capacity().saturating_mul(2).max(LEAST);
            let mut grown = Vec::new();
            grown
                .try_reserve_exact(len.max(doubled.min(most)))
                .map_err(no_memory)?;
            grown.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(grown);
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros up to a length. Fails, and changes nothing, where there is no memory.
    pub(super) fn grow(&mut self, len: usize) -> Result<()> {
        if len > self.len() {
            let mut grown = Zeroizing::new(zeros(len)?);
            let (head, _) = grown.split_at_mut(self.len());
            head.copy_from_slice(&self.0);
            self.0 = grown;
        }
        Ok(())
    }

    /// Removes the first bytes, `count` of them or all.
    pub(super) fn remove(&mut self, count: usize) {
        let count = count.min(self.len());
        self.0.drain(..count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_doubled_up_to_the_most_and_only_when_there_is_none() {
        let mut buffer = Buffer::new();
        let mut expected = Vec::new();
        for (bytes, room) in [
            (3000, LEAST),
            (LEAST - 3000, LEAST),
            (1, 2 * LEAST),
            (2 * LEAST, 3 * LEAST + 1),
            (LEAST, 4 * LEAST + 1),
        ] {
            let piece: Vec<u8> = (0..251).cycle().take(bytes).collect();
            buffer.extend(&piece, 3 * LEAST).unwrap();
            expected.extend(piece);
            assert_eq!(buffer.0.capacity(), room.max(expected.len()));
            assert_eq!(buffer.bytes(), expected);
        }
    }

    #[test]
    fn a_buffer_that_is_long_enough_stays_where_it_is() {
        let mut buffer = Buffer::new();
        buffer.grow(100).unwrap();
        assert_eq!(buffer.bytes(), [0; 100]);
        buffer.bytes_mut().fill(7);
        let place = buffer.bytes().as_ptr();
        buffer.grow(100).unwrap();
        buffer.grow(99).unwrap();
        assert_eq!(buffer.bytes(), [7; 100]);
        assert_eq!(buffer.bytes().as_ptr(), place);
    }

    #[test]
    fn memory_that_is_not_to_be_had_is_an_error_and_no_end() {
        let mut buffer = Buffer::new();
        buffer.extend(b"note", LEAST).unwrap();
        let refused = buffer.grow(isize::MAX.unsigned_abs() / 2).unwrap_err();
        assert!(refused.to_string().contains("memory"), "{refused}");
        assert_eq!(buffer.bytes(), b"note");
    }
}
