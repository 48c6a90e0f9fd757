//! Inline streams whose header blocks do not open.

use super::streams::{rewrapped_block, seal_inline, with_blocks, with_wrong_tag};
use super::{Case, case, cipher};
use crate::envelope::Context;
use crate::format::blocks;

pub(super) fn cases() -> Vec<Case> {
    [ours(), of_a_later_version()]
        .into_iter()
        .flatten()
        .collect()
}

/// A whole block of version 2, of which this version knows nothing but its digest.
fn later(length: usize) -> Vec<u8> {
    let content = [&b"PHIE\x02"[..], &vec![7; length - 13]].concat();
    blocks::write(&content, length).unwrap()
}

// FORMAT §7: also a block that begins with `PHIE` and a version above 1 and whose digest is right at a length from 4,096 to 65,536,
// at offset 0, at the length of A where A is a candidate, else at each offset equal to its own length.
fn of_a_later_version() -> Vec<Case> {
    let stopped = |envelope: Vec<u8>| Case::inline(envelope).key(1).fails("newer-version");
    let envelope = || seal_inline(&cipher(1), 100, &Context::new());
    // What stands from an offset on is replaced; the bytes behind it are as many as there were.
    let with = |envelope: Vec<u8>, at: usize, block: &[u8]| {
        let mut envelope = envelope;
        let end = at + block.len();
        if envelope.len() < end {
            envelope.resize(end, 0);
        }
        envelope[at..end].copy_from_slice(block);
        envelope
    };
    vec![
        case(
            "stream_inline_first_block_of_a_later_version",
            "A later version wrote the first block; the second opens, and the reader does not fall back to it.",
            || stopped(with(envelope(), 0, &later(4096))),
        ),
        case(
            "stream_inline_second_block_of_a_later_version",
            "A later version wrote the second block; the first opens, and the reader does not fall back to it.",
            || stopped(with(envelope(), 4096, &later(4096))),
        ),
        case(
            "stream_inline_second_block_of_a_later_version_and_another_length",
            "The second block is longer than the first.",
            || stopped(with(envelope(), 4096, &later(8192))),
        ),
        case(
            "stream_inline_first_longer_block_of_a_later_version",
            "The first block has 65,536 bytes.",
            || stopped(with(envelope(), 0, &later(65_536))),
        ),
        case(
            "stream_inline_second_block_of_a_later_version_behind_a_damaged_one",
            "The first block is no candidate, and a block of a later version stands at its own length.",
            || {
                let mut envelope = with(envelope(), 12_288, &later(12_288));
                envelope[40] ^= 1;
                stopped(envelope)
            },
        ),
        case(
            "stream_inline_second_block_of_a_later_version_damaged",
            "The digest is wrong: a damaged block is none.",
            || {
                let mut envelope = with(envelope(), 4096, &later(4096));
                envelope[8191] ^= 1;
                Case::inline(envelope)
                    .key(1)
                    .opens(super::sample(100))
                    .damage("second-block")
            },
        ),
        case(
            "stream_inline_payload_that_looks_like_a_later_block",
            "What stands in the payload is no block, since the first block is a candidate.",
            || {
                let draft = super::craft::Draft::new(2, vec![0, 0]).with_master(1);
                let floe = draft
                    .floe()
                    .message(&[&super::sample(4096 - 32), &super::sample(100)]);
                let envelope = [draft.block(), draft.block(), floe].concat();
                let mut envelope = with(envelope, 12_288, &later(12_288));
                envelope.truncate(20_000);
                Case::inline(envelope)
                    .key(1)
                    .fails("authentication-failed/segment")
            },
        ),
    ]
}

fn ours() -> Vec<Case> {
    let envelope = || seal_inline(&cipher(1), 100, &Context::new());
    let fails = |envelope: Vec<u8>, error| Case::inline(envelope).key(1).fails(error);
    // Both blocks, and digests over them.
    let both = |edit: fn(&mut Vec<u8>), error| {
        let envelope = envelope();
        let mut content = envelope[..4096 - 8].to_vec();
        edit(&mut content);
        let block = blocks::write(&content, 4096).unwrap();
        fails(with_blocks(&envelope, &block, &block), error)
    };
    vec![
        case(
            "stream_inline_both_blocks_damaged",
            "One bit of each block is flipped.",
            || {
                let mut envelope = envelope();
                envelope[40] ^= 1;
                envelope[4096 + 40] ^= 1;
                fails(envelope, "malformed/no-header-block")
            },
        ),
        case(
            "stream_inline_both_digests_damaged",
            "A bit of each block's digest.",
            || {
                let mut envelope = envelope();
                envelope[4095] ^= 1;
                envelope[8191] ^= 1;
                fails(envelope, "malformed/no-header-block")
            },
        ),
        case(
            "stream_inline_padding_not_zero",
            "A bit of each block's padding, under right digests.",
            || both(|block| block[3000] = 1, "malformed/no-header-block"),
        ),
        case(
            "stream_inline_tag_flipped_in_both",
            "A bit of each block's header tag, under right digests.",
            || both(|block| block[146] ^= 1, "authentication-failed/header"),
        ),
        case(
            "stream_inline_block_length_of_both_changed",
            "4,096 becomes 8,192 in each block, under right digests.",
            || both(|block| block[14] = 32, "malformed/no-header-block"),
        ),
        case(
            "stream_inline_block_length_of_both_no_multiple",
            "4,096 becomes 4,097 in each block, under right digests.",
            || both(|block| block[15] = 1, "malformed/block-length"),
        ),
        case(
            "stream_inline_block_length_of_both_0",
            "4,096 becomes 0 in each block, under right digests.",
            || both(|block| block[14] = 0, "malformed/block-length"),
        ),
        case(
            "stream_inline_newer_block_of_another_key",
            "The newer block has no slot that the reader knows: no falling back to the older.",
            || {
                let envelope = envelope();
                let moved = rewrapped_block(&envelope, 1, 2);
                fails(
                    with_blocks(&envelope, &envelope[..4096], &moved),
                    "no-matching-key",
                )
            },
        ),
        case(
            "stream_inline_neither_tag_verifies",
            "Two generations, both with wrong tags under right digests.",
            || {
                let envelope = envelope();
                let older = with_wrong_tag(&envelope[..4096]);
                let newer = with_wrong_tag(&rewrapped_block(&envelope, 1, 2));
                let envelope = with_blocks(&envelope, &older, &newer);
                Case::inline(envelope)
                    .key(1)
                    .key(2)
                    .fails("authentication-failed/header")
            },
        ),
        case(
            "stream_inline_blocks_of_two_streams",
            "Block B and the payload of another stream: A and B verify, and A's payload key is wrong.",
            || {
                let (ours, theirs) = (envelope(), envelope());
                fails(
                    with_blocks(&theirs, &ours[..4096], &theirs[4096..8192]),
                    "authentication-failed/stream-header",
                )
            },
        ),
        case(
            "stream_inline_cut_in_its_first_block",
            "The first 4,000 bytes.",
            || fails(envelope()[..4000].to_vec(), "truncated"),
        ),
        case(
            "stream_inline_cut_after_its_first_block",
            "Block A alone.",
            || fails(envelope()[..4096].to_vec(), "truncated"),
        ),
        case(
            "stream_inline_without_payload",
            "Both blocks and nothing else.",
            || fails(envelope()[..8192].to_vec(), "truncated"),
        ),
        case(
            "stream_inline_of_one_block",
            "Block A and the payload.",
            || {
                let envelope = envelope();
                fails([&envelope[..4096], &envelope[8192..]].concat(), "truncated")
            },
        ),
    ]
}
