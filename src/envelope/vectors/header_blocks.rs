//! Inline streams whose header blocks do not open.

use super::streams::{rewrapped_block, seal_inline, with_blocks, with_wrong_tag};
use super::{Case, case, cipher};
use crate::envelope::Context;
use crate::format::blocks;

pub(super) fn cases() -> Vec<Case> {
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
