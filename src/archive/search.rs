//! Envelopes sought inside files that are none.

use std::fs::File;
use std::io;

use memchr::memmem::Finder;

use crate::disk::Disk;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// Bytes that the longest mark has but one: so many of a chunk stay for the next.
const OVERLAP: usize = 6;

/// An envelope's first bytes, up to its kind (FORMAT §3).
const ENVELOPE: &[u8] = b"PHIE\x01";
/// A detached payload's (FORMAT §2).
const PAYLOAD: &[u8] = b"PHIP\x01\x03";
/// Those of a text, in base64 and base64url alike (FORMAT §8).
const TEXT: &[u8] = b"UEhJRQE";

/// What finds the first bytes of envelopes, of detached payloads and of their texts.
pub(super) struct Marks {
    envelope: Finder<'static>,
    payload: Finder<'static>,
    text: Finder<'static>,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self {
            envelope: Finder::new(ENVELOPE),
            payload: Finder::new(PAYLOAD),
            text: Finder::new(TEXT),
        }
    }

    /// Where the first of them is.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<usize> {
        let envelope = self.envelope.find_iter(bytes).find(|at| {
            let kind = bytes.get(at + ENVELOPE.len());
            kind.is_some_and(|kind| (0x01..=0x0B).contains(kind))
        });
        let others = [self.payload.find(bytes), self.text.find(bytes)];
        others.into_iter().flatten().chain(envelope).min()
    }

    /// Where the first of them is behind the first byte: the next one, in what begins with one.
    pub(super) fn find_next(&self, bytes: &[u8]) -> Option<usize> {
        self.find(bytes.get(1..)?).map(|at| at + 1)
    }

    /// Where the first of them is in a file, which is read from `offset` to its end.
    pub(super) fn find_in(
        &self,
        disk: &Disk,
        file: &File,
        mut offset: u64,
    ) -> io::Result<Option<u64>> {
        let mut chunk = vec![0; CHUNK];
        let mut kept = 0;
        loop {
            let room = chunk.get_mut(kept..).unwrap_or_default();
            let read = disk.read_up_to_at(file, room, offset + kept as u64)?;
            let filled = kept + read;
            let bytes = chunk.get(..filled).unwrap_or_default();
            if let Some(at) = self.find(bytes) {
                return Ok(Some(offset + at as u64));
            }
            if read == 0 {
                return Ok(None);
            }
            kept = filled.min(OVERLAP);
            chunk.copy_within(filled - kept..filled, 0);
            offset += (filled - kept) as u64;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test stops where something is not as it says
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn marks_are_found_wherever_they_stand() {
        let marks = Marks::new();
        for kind in 0..=0xFF_u8 {
            let bytes = [b"PHIE\x01", &[kind][..]].concat();
            let is_one = (0x01..=0x0B).contains(&kind);
            assert_eq!(marks.find(&bytes).is_some(), is_one, "{kind}");
        }
        for (bytes, found) in [
            (&b"xPHIP\x01\x03"[..], Some(1)),
            (b"PHIP\x01\x04", None),
            (b"{\"note\":\"UEhJRQEB", Some(9)),
            (b"UEhJRQ", None),
            (b"PHIE\x02\x01", None),
            // One that is none does not hide the next.
            (b"PHIE\x01\xFFPHIE\x01\x01", Some(6)),
            (b"PHIE\x01", None),
            (b"", None),
        ] {
            assert_eq!(marks.find(bytes), found, "{bytes:?}");
        }
    }

    #[test]
    fn a_mark_across_two_chunks_is_found() {
        let marks = Marks::new();
        for mark in [&b"PHIE\x01\x0B"[..], b"PHIP\x01\x03", b"UEhJRQE"] {
            for before in CHUNK - 8..CHUNK + 2 {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&vec![b'P'; before]).unwrap();
                file.write_all(mark).unwrap();
                let found = marks.find_in(&Disk::default(), &file, 0).unwrap();
                assert_eq!(found, Some(before as u64));
            }
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'P'; 3 * CHUNK]).unwrap();
        assert_eq!(marks.find_in(&Disk::default(), &file, 0).unwrap(), None);
    }
}
