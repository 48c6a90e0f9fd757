//! Streams that open, some of them in spite of damage.

use std::io::Write as _;

use super::craft::Draft;
use super::{Case, Pairs, case, cipher, context, keyring, rotated, sample};
use crate::envelope::inline;
use crate::envelope::recipients::Change;
use crate::envelope::{Context, EnvelopeCipher};
use crate::format::blocks;

/// Plaintext of a full segment.
pub(super) const FULL: usize = 4096 - 32;
const LABELS: Pairs = &[("tenant", "clinic-7")];
const BINDINGS: Pairs = &[("export", "42")];

pub(super) fn cases() -> Vec<Case> {
    [detached(), inline(), damaged()]
        .into_iter()
        .flatten()
        .collect()
}

fn detached() -> Vec<Case> {
    let sealed = |len: usize| {
        let (header, payload) = seal_detached(&cipher(1), len);
        Case::detached(header, payload).key(1).opens(sample(len))
    };
    vec![
        case(
            "stream_detached_empty",
            "A stream of no bytes: one empty segment.",
            || sealed(0),
        ),
        case("stream_detached_one_segment", "One segment.", || {
            sealed(100)
        }),
        case(
            "stream_detached_full_segment",
            "One full segment, which is the last.",
            || sealed(FULL),
        ),
        case(
            "stream_detached_exact_multiple",
            "Two full segments; none is empty.",
            || sealed(2 * FULL),
        ),
        case(
            "stream_detached_one_byte_more",
            "A last segment of one byte.",
            || sealed(FULL + 1),
        ),
        case(
            "stream_detached_three_segments",
            "Three segments, the last of them short.",
            || sealed(2 * FULL + 100),
        ),
        case(
            "stream_detached_default_segment_length",
            "Segments of 65,536 bytes.",
            || {
                let (header, payload) = seal_detached(&EnvelopeCipher::new(keyring(1)), 100);
                Case::detached(header, payload).key(1).opens(sample(100))
            },
        ),
        case(
            "stream_detached_empty_last_segment",
            "An empty last segment after a full one, which a writer avoids and a reader accepts.",
            || {
                let draft = Draft::detached();
                let payload = draft.payload(&[&sample(FULL), b""]);
                Case::detached(draft.header(), payload)
                    .key(1)
                    .opens(sample(FULL))
            },
        ),
        case(
            "stream_detached_rewrapped",
            "The header moved to master key 2; the payload's bytes stay.",
            || {
                let (header, payload) = seal_detached(&cipher(1), 100);
                let header = rotated(1, 2).rewrap(header).unwrap();
                Case::detached(header, payload).key(2).opens(sample(100))
            },
        ),
        case(
            "stream_detached_from_inline",
            "An inline stream's header, detached by a change of kind; the payload's bytes stay.",
            || {
                let mut draft = Draft::new(2, vec![0, 0]).with_master(1);
                let payload = draft.payload(&[b"inline once"]);
                (draft.kind, draft.block_length, draft.generation) = (3, 0, 1);
                Case::detached(draft.header(), payload)
                    .key(1)
                    .opens("inline once")
            },
        ),
    ]
}

fn inline() -> Vec<Case> {
    let sealed = |len: usize, context: &Context| {
        let envelope = seal_inline(&cipher(1), len, context);
        Case::inline(envelope).key(1).opens(sample(len))
    };
    vec![
        case(
            "stream_inline_empty",
            "A stream of no bytes behind two header blocks.",
            || sealed(0, &Context::new()),
        ),
        case(
            "stream_inline_one_segment",
            "One segment behind two header blocks.",
            || sealed(100, &Context::new()),
        ),
        case(
            "stream_inline_three_segments",
            "Three segments, with labels and bindings.",
            || {
                sealed(2 * FULL + 100, &context(LABELS, BINDINGS))
                    .labels(LABELS)
                    .bindings(BINDINGS)
            },
        ),
        case(
            "stream_inline_rewrapped",
            "Both blocks hold the header of master key 2.",
            || {
                let envelope = seal_inline(&cipher(1), 100, &Context::new());
                let moved = rewrapped_block(&envelope, 1, 2);
                let envelope = with_blocks(&envelope, &moved, &moved);
                Case::inline(envelope).key(2).opens(sample(100))
            },
        ),
        case(
            "stream_inline_longer_blocks",
            "Blocks of 8,192 bytes.",
            || {
                let envelope = seal_inline(&longer_blocks(), 100, &Context::new());
                Case::inline(envelope).key(1).opens(sample(100))
            },
        ),
    ]
}

fn damaged() -> Vec<Case> {
    let envelope = || seal_inline(&cipher(1), 100, &Context::new());
    let opens = |envelope: Vec<u8>| Case::inline(envelope).opens(sample(100));
    vec![
        case(
            "stream_inline_first_block_damaged",
            "One bit of Block A is flipped; B opens.",
            || {
                let mut envelope = envelope();
                envelope[40] ^= 1;
                opens(envelope).key(1).damage("first-block")
            },
        ),
        case(
            "stream_inline_first_block_zero",
            "Block A is all zero, so that B is sought.",
            || {
                let mut envelope = envelope();
                envelope[..4096].fill(0);
                opens(envelope).key(1).damage("first-block")
            },
        ),
        case(
            "stream_inline_first_longer_block_zero",
            "Block A of 8,192 bytes is all zero; B is found at the second multiple of 4,096.",
            || {
                let mut envelope = seal_inline(&longer_blocks(), 100, &Context::new());
                envelope[..8192].fill(0);
                opens(envelope).key(1).damage("first-block")
            },
        ),
        case(
            "stream_inline_second_block_damaged",
            "One bit of Block B's padding is flipped; A opens.",
            || {
                let mut envelope = envelope();
                envelope[4096 + 2000] ^= 1;
                opens(envelope).key(1).damage("second-block")
            },
        ),
        case(
            "stream_inline_blocks_differ_second_newer",
            "A rewrap stopped between its two writes: B is newer and current.",
            || {
                let envelope = envelope();
                let moved = rewrapped_block(&envelope, 1, 2);
                opens(with_blocks(&envelope, &envelope[..4096], &moved))
                    .key(2)
                    .damage("differ")
            },
        ),
        case(
            "stream_inline_blocks_differ_first_newer",
            "A is newer and current.",
            || {
                let envelope = envelope();
                let moved = rewrapped_block(&envelope, 1, 2);
                opens(with_blocks(&envelope, &moved, &envelope[..4096]))
                    .key(2)
                    .damage("differ")
            },
        ),
        case(
            "stream_inline_equal_generations_differ",
            "Two headers of one generation: A is current. Only it has a slot that the reader knows.",
            || {
                let envelope = envelope();
                let first = rewrapped_block(&envelope, 1, 2);
                let second = rewrapped_block(&envelope, 1, 3);
                opens(with_blocks(&envelope, &first, &second))
                    .key(2)
                    .damage("differ")
            },
        ),
        case(
            "stream_inline_newer_block_unverified",
            "B is newer and whole, but its header tag is wrong: A opens.",
            || {
                let envelope = envelope();
                let forged = with_wrong_tag(&rewrapped_block(&envelope, 1, 2));
                opens(with_blocks(&envelope, &envelope[..4096], &forged))
                    .key(1)
                    .key(2)
                    .damage("second-block")
            },
        ),
    ]
}

pub(super) fn seal_detached(cipher: &EnvelopeCipher, len: usize) -> (Vec<u8>, Vec<u8>) {
    let context = Context::new();
    let (header, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context)
        .unwrap();
    out.write_all(&sample(len)).unwrap();
    let payload = out.finish().unwrap();
    if payload.starts_with(b"PHIP") {
        return (header, payload);
    }
    let head = [&b"PHIP\x01\x03\0\0"[..], &header[16..32]].concat();
    (header, [head, payload].concat())
}

pub(super) fn seal_inline(cipher: &EnvelopeCipher, len: usize, context: &Context) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), context).unwrap();
    out.write_all(&sample(len)).unwrap();
    out.finish().unwrap()
}

/// The block that a rewrap of `envelope` from master key `from` to `to` writes.
pub(super) fn rewrapped_block(envelope: &[u8], from: u8, to: u8) -> Vec<u8> {
    let cipher = rotated(from, to);
    let candidates = inline::candidates(&envelope[..2 * 4096]).unwrap();
    let verified = cipher.verify_inline(&candidates).unwrap().verified;
    let header = cipher.changed_header(&verified, Change::Rewrap).unwrap();
    blocks::write(&header.unwrap(), 4096).unwrap()
}

/// A whole block, its digest right, whose header has a wrong tag.
pub(super) fn with_wrong_tag(block: &[u8]) -> Vec<u8> {
    let (header, _) = crate::format::header::Header::parse(block).unwrap();
    let mut header = header.bytes().to_vec();
    *header.last_mut().unwrap() ^= 1;
    blocks::write(&header, block.len()).unwrap()
}

pub(super) fn with_blocks(envelope: &[u8], first: &[u8], second: &[u8]) -> Vec<u8> {
    [first, second, &envelope[first.len() + second.len()..]].concat()
}

fn longer_blocks() -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder().encrypt_for(keyring(1));
    builder.block_length(8192).unwrap().build().unwrap()
}
