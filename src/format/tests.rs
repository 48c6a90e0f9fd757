//! The lengths of a header, at their bounds.

use super::header::{Draft, EnvelopeKind, Header, TAG_LEN};
use super::limits::MAX_HEADER;
use super::slot::{EXTERNAL, KEYRING, SlotList, WrappedKey};
use super::text;
use crate::error::{Error, Limit, Malformed, Result};

const ID: [u8; 16] = [7; 16];

/// Slots that take `len` bytes.
fn slots(mut len: usize) -> SlotList {
    let mut slots = SlotList::default();
    for number in 0_u8.. {
        // What the slots around a wrapped key take: scheme, two lengths and a key id of three bytes.
        let take = len.min(4000);
        let wrapped = vec![0; take - 8];
        let key = WrappedKey::of(EXTERNAL, &[b"\x01n", &[number]], &wrapped).unwrap();
        slots.push(key).unwrap();
        len -= take;
        if len == 0 {
            break;
        }
    }
    slots
}

fn draft(message_id: bool, bindings_tag: bool, labels: &[u8]) -> Draft<'_> {
    Draft {
        kind: EnvelopeKind::Record,
        generation: 0,
        block_length: 0,
        data_key_id: &ID,
        message_id: message_id.then_some(&ID),
        labels,
        bindings_tag: bindings_tag.then_some(&[9; 32]),
    }
}

/// Every draft with and without what a header may have, its labels and the bytes beside its slots.
fn drafts() -> impl Iterator<Item = (Draft<'static>, usize)> {
    const LABELS: &[u8] = b"\x00\x05\x01k\x00\x01v";
    [(false, false), (false, true), (true, false), (true, true)]
        .into_iter()
        .flat_map(|(message_id, bindings_tag)| {
            [&[0, 0], LABELS].map(|labels| {
                let beside = 16 + 16 + labels.len() + TAG_LEN;
                let optional = usize::from(message_id) * 16 + usize::from(bindings_tag) * 32;
                (draft(message_id, bindings_tag, labels), beside + optional)
            })
        })
}

fn written(draft: &Draft<'_>, slots: &SlotList) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    draft.write(slots, &mut out)?;
    out.extend_from_slice(&[0; TAG_LEN]);
    Ok(out)
}

#[test]
fn a_draft_knows_how_long_its_header_is() {
    for (draft, beside) in drafts() {
        let slots = slots(100);
        assert_eq!(draft.len(&slots), beside + 100);
        assert_eq!(written(&draft, &slots).unwrap().len(), beside + 100);
    }
}

#[test]
fn the_longest_header_is_written_and_read_and_no_longer_one() {
    for (draft, beside) in drafts() {
        let full = written(&draft, &slots(MAX_HEADER - beside)).unwrap();
        assert_eq!(full.len(), MAX_HEADER);
        let (header, rest) = Header::parse(&full).unwrap();
        assert_eq!((header.bytes(), rest), (full.as_slice(), [].as_slice()));
        assert!(matches!(
            written(&draft, &slots(MAX_HEADER - beside + 1)),
            Err(Error::LimitExceeded(Limit::Header))
        ));
    }
}

#[test]
fn a_header_that_is_too_long_is_refused_before_its_tag_is_asked_for() {
    let mut bytes = Vec::new();
    let draft = draft(false, false, &[0, 0]);
    let slots = slots(MAX_HEADER - TAG_LEN - 34);
    draft.write(&slots, &mut bytes).unwrap();
    assert!(matches!(Header::parse(&bytes), Err(Error::Truncated)));
    // One byte more in the last slot's wrapped key.
    let at = bytes.len() - slots.encoded().len() % 4000 + 6;
    let len = u16::from_be_bytes([bytes[at], bytes[at + 1]]) + 1;
    bytes[at..at + 2].copy_from_slice(&len.to_be_bytes());
    bytes.push(0);
    assert!(matches!(
        Header::parse(&bytes),
        Err(Error::Malformed(Malformed::HeaderLength))
    ));
}

#[test]
fn a_slots_encoded_id_is_its_scheme_and_key_id_alone() {
    let key = WrappedKey::of(KEYRING, &[&[5; 16]], &[6; 60]).unwrap();
    let expected = [&[KEYRING, 0, 16][..], &[5; 16]].concat();
    assert_eq!(key.as_slot().unwrap().encoded_id(), expected);
}

#[test]
fn the_head_of_a_text_is_read_to_its_last_whole_group_and_all_of_a_text_to_its_end() {
    let text = text::encode(b"seven b"); // ten digits
    let head = |len: usize, whole| text::decode_head(&text.as_bytes()[..len], whole);
    assert_eq!(head(10, true).unwrap(), b"seven b");
    assert_eq!(head(10, false).unwrap(), b"seven ");
    assert_eq!(head(9, false).unwrap(), b"seven ");
    assert!(matches!(head(9, true), Err(Malformed::TextLength)));
}
