//! A sealed file, opened for reading at any place.

use std::fs::File;
use std::io;
use std::path::Path;

use zeroize::Zeroize as _;

use super::at::StreamHead;
use super::parallel::Buffers;
use crate::disk::Disk;
use crate::envelope::inline;
use crate::envelope::{Context, EnvelopeCipher, HeaderDamage, checked_segment_length, stream_key};
use crate::error::{Error, Malformed, Result};
use crate::floe::{self, HEADER_LEN, Layout, Opener, SegmentLength, Threads};
use crate::format::header::{EnvelopeKind, Header};
use crate::format::limits::MAX_HEADER;
use crate::format::payload_head;
use crate::memory;

/// A stream whose header and last segment were authenticated, so that its length is known.
#[derive(Debug)]
pub(super) struct Sealed {
    disk: Disk,
    file: File,
    /// Where in the file the FLOE message begins.
    payload_at: u64,
    opener: Opener,
    layout: Layout,
    damage: Option<HeaderDamage>,
}

impl Sealed {
    pub(super) fn open(
        disk: &Disk,
        cipher: &EnvelopeCipher,
        path: &Path,
        detached_header: Option<&Path>,
        context: &Context,
    ) -> Result<Self> {
        let file = disk.open_file(path)?;
        Self::of(disk, cipher, file, detached_header, context)
    }

    pub(super) fn of(
        disk: &Disk,
        cipher: &EnvelopeCipher,
        file: File,
        detached_header: Option<&Path>,
        context: &Context,
    ) -> Result<Self> {
        let key = match detached_header {
            None => inline_key(disk, cipher, &file, context, |_| Ok(()))?,
            Some(path) => detached_key(disk, cipher, &file, path, context)?,
        };
        Self::keyed(disk, file, key)
    }

    /// Opens an inline stream that is to be sealed anew: demands exactly its labels, and a further check of its header.
    pub(super) fn with_exact_labels(
        disk: &Disk,
        cipher: &EnvelopeCipher,
        file: File,
        context: &Context,
        check: impl Fn(&Header<'_>) -> Result<()>,
    ) -> Result<Self> {
        // Of the very header that gives the key: the file may change between two looks.
        let exact = |header: &Header<'_>| {
            context.check_exact_labels(header)?;
            check(header)
        };
        let key = inline_key(disk, cipher, &file, context, exact)?;
        Self::keyed(disk, file, key)
    }

    fn keyed(disk: &Disk, file: File, (key, aad, payload_at, damage): StreamKey) -> Result<Self> {
        let mut header = [0; HEADER_LEN];
        disk.read_exact_at(&file, &mut header, payload_at)?;
        let opener = Opener::new(&key, &aad, &header)?;
        checked_segment_length(opener.length().get())?;
        let len = disk.metadata_of(&file)?.len();
        // The end is where a read says so, and not where the file system states it.
        if disk.read_up_to_at(&file, &mut [0], len)? != 0 {
            return Err(Error::Io(io::Error::other(
                "the file grows, or its file system states a wrong length: open a copy, or pass it through a pipe",
            )));
        }
        let body = len
            .checked_sub(payload_at)
            .and_then(|message| message.checked_sub(HEADER_LEN as u64))
            .ok_or(Error::Truncated)?;
        let layout = Layout::of_body(opener.length(), body)?;
        let sealed = Self {
            disk: disk.clone(),
            file,
            payload_at,
            opener,
            layout,
            damage,
        };
        // A length read off the size of a file is believed only after the last segment was authenticated.
        sealed.open_segments(layout.last(), 1, &mut Vec::new(), &mut [])?;
        Ok(sealed)
    }

    pub(super) fn len(&self) -> u64 {
        self.layout.plaintext()
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes of each of the two header blocks of an inline stream.
    pub(super) fn block_length(&self) -> usize {
        usize::try_from(self.payload_at / 2).unwrap_or(0)
    }

    pub(super) fn segment_length(&self) -> SegmentLength {
        self.opener.length()
    }

    pub(super) fn damage(&self) -> Option<HeaderDamage> {
        self.damage
    }

    /// Fills `out` with the plaintext from `offset` on, as far as there is any, and returns how much that is.
    pub(super) fn read_at(
        &self,
        out: &mut [u8],
        offset: u64,
        buffers: &mut Buffers,
    ) -> Result<usize> {
        let left = self.len().saturating_sub(offset);
        let len = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        let segment = self.segment_length().plain_len();
        let mut done = 0;
        while done < len {
            let at = offset.saturating_add(done as u64);
            let position = at / segment as u64;
            let within = usize::try_from(at % segment as u64).map_err(|_| Error::Truncated)?;
            let rest = out.get_mut(done..len).unwrap_or_default();
            // Whole segments go straight to where they are wanted; so does the message's last.
            let whole = rest.len() / segment + usize::from(self.ends_with(position, rest.len()));
            if within == 0 && whole > 0 {
                let straight = rest.len().min(whole * segment);
                let rest = rest.get_mut(..straight).unwrap_or_default();
                self.open_segments(position, whole, &mut buffers.sealed, rest)?;
                done += straight;
            } else {
                let filled = self.plain_len(position);
                buffers.resize_plain(filled)?;
                self.open_segments(position, 1, &mut buffers.sealed, &mut buffers.plain)?;
                let part = buffers.plain.get(within..).unwrap_or_default();
                let len = rest.len().min(part.len());
                rest.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
                done += len;
            }
        }
        Ok(len)
    }

    /// Whether `len` bytes of plaintext from the segment at `position` end within the message's last, which is not full.
    fn ends_with(&self, position: u64, len: usize) -> bool {
        let segment = self.segment_length().plain_len();
        let last = position.saturating_add((len / segment) as u64);
        last == self.layout.last()
            && len % segment == self.plain_len(last)
            && !len.is_multiple_of(segment)
    }

    /// Bytes of plaintext in a segment.
    fn plain_len(&self, position: u64) -> usize {
        let full = self.segment_length().plain_len();
        let before = position.saturating_mul(full as u64);
        usize::try_from(self.len().saturating_sub(before)).map_or(full, |left| left.min(full))
    }

    /// Opens whole segments into `out`, which has room for their plaintext; with none, they are authenticated alone.
    fn open_segments(
        &self,
        position: u64,
        count: usize,
        sealed: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<()> {
        let length = self.segment_length().sealed_len();
        let ends = position.saturating_add(count as u64) > self.layout.last();
        let bytes = if ends {
            let last = usize::try_from(self.layout.last_len()).map_err(|_| Error::Truncated)?;
            count
                .saturating_sub(1)
                .saturating_mul(length)
                .saturating_add(last)
        } else {
            count.saturating_mul(length)
        };
        memory::resize(sealed, bytes)?;
        let at = self.payload_at.saturating_add(self.layout.offset(position));
        self.disk.read_exact_at(&self.file, sealed, at)?;
        let opened = if out.is_empty() {
            let opened = self
                .opener
                .open_in_place(position, sealed, ends, Threads::One);
            sealed.zeroize();
            opened
        } else {
            self.opener.open(position, sealed, ends, out, Threads::One)
        };
        Ok(opened?)
    }
}

type StreamKey = (floe::Key, Vec<u8>, u64, Option<HeaderDamage>);

// FORMAT §7: a lock-free reader that finds no candidate reads once more before it gives up: a rewrap may be under way.
fn inline_key(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    file: &File,
    context: &Context,
    check: impl Fn(&Header<'_>) -> Result<()>,
) -> Result<StreamKey> {
    let open = |head: &[u8]| {
        let candidates = inline::candidates(head)?;
        let (opened, damage) = cipher.open_inline(&candidates, context)?;
        check(opened.header())?;
        let (key, aad) = stream_key(&opened);
        let payload_at = u64::try_from(2 * candidates.block_length);
        Ok((
            key,
            aad,
            payload_at.map_err(|_| Malformed::BlockLength)?,
            damage,
        ))
    };
    let head = StreamHead::read(disk, file)?.blocks;
    match open(&head) {
        Err(
            error @ (Error::Malformed(_) | Error::AuthenticationFailed(_) | Error::NotAnEnvelope),
        ) => {
            let again = StreamHead::read(disk, file)?.blocks;
            // The same bytes would say the same, at the price of the same calls and derivations once more.
            if again == head {
                Err(error)
            } else {
                open(&again)
            }
        }
        outcome => outcome,
    }
}

// FORMAT §2: a reader compares the id with the header's before any key work and refuses another.
fn detached_key(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    payload: &File,
    path: &Path,
    context: &Context,
) -> Result<StreamKey> {
    let bytes = read_detached_header(disk, path)?;
    let (header, rest) = Header::parse(&bytes)?;
    if header.kind() != EnvelopeKind::StreamDetached {
        return Err(header.other_kind(EnvelopeKind::StreamDetached));
    }
    if !rest.is_empty() {
        return Err(Malformed::TrailingBytes.into());
    }
    let mut head = [0; payload_head::LEN];
    let len = disk.read_up_to_at(payload, &mut head, 0)?;
    payload_head::check(head.get(..len).unwrap_or_default(), header.message_id())?;
    let (key, aad) = stream_key(&cipher.open_header(header, context)?);
    Ok((key, aad, payload_head::LEN as u64, None))
}

/// The bytes of a file that is to be a detached header, and one more than any has.
pub(super) fn read_detached_header(disk: &Disk, path: &Path) -> Result<Vec<u8>> {
    let file = disk.open_file(path)?;
    let mut bytes = vec![0; MAX_HEADER + 1];
    let len = disk.read_up_to_at(&file, &mut bytes, 0)?;
    bytes.truncate(len);
    Ok(bytes)
}
