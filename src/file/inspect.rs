//! What a file says about itself, without a key.

use std::path::Path;

use super::change::At;
use crate::disk::Disk;
use crate::envelope::{Inspection, inline, inspect};
use crate::error::Result;
use crate::floe::{HEADER_LEN, Layout, stated_segment_length};
use crate::format::header::Kind;

/// What a sealed file says about itself. **Nothing of it is verified**: without a key it is a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileInspection {
    /// What its header says.
    pub header: Inspection,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// The encrypted length of its segments, where it is an inline stream with a payload.
    pub segment_length: Option<u32>,
    /// Bytes of plaintext, where its size tells.
    pub plaintext_bytes: Option<u64>,
    /// Whether its two header blocks are there and alike; true where it has none.
    pub blocks_alike: bool,
}

/// What a sealed file says about itself: an inline stream, a detached header or a record. Reads its head alone and needs no key.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), and those of a malformed or truncated envelope.
pub fn inspect_file(path: impl AsRef<Path>) -> Result<FileInspection> {
    let disk = Disk::default();
    let file = disk.open(path.as_ref())?;
    let file_bytes = disk.metadata_of(&file)?.len();
    let head = inline::read_head(&mut At::new(&disk, &file, 0))?;
    let header = inspect(&head)?;
    let mut inspection = FileInspection {
        segment_length: None,
        plaintext_bytes: None,
        blocks_alike: true,
        file_bytes,
        header,
    };
    match inspection.header.kind {
        Kind::Record => {
            let overhead = (inspection.header.header_len as u64).saturating_add(28);
            inspection.plaintext_bytes = file_bytes.checked_sub(overhead);
        }
        Kind::StreamInline => {
            inspection.blocks_alike = inline::candidates(&head)?.identical;
            let payload_at = 2 * u64::from(inspection.header.block_length);
            let mut stream = [0; HEADER_LEN];
            if disk.read_up_to_at(&file, &mut stream, payload_at)? == HEADER_LEN {
                let length = stated_segment_length(&stream)?;
                let body = file_bytes.checked_sub(payload_at + HEADER_LEN as u64);
                let layout = body.and_then(|body| Layout::of_body(length, body).ok());
                inspection.segment_length = Some(length.get());
                inspection.plaintext_bytes = layout.map(|layout| layout.plaintext());
            }
        }
        Kind::StreamDetached => {}
    }
    Ok(inspection)
}
