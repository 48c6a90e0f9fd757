//! Files of the format's own: their kinds, flags and labels (FORMAT §§2, 3), and who made them (§4).

use super::craft::{Draft, pairs, with_length};
use super::{Case, NOTE, case};

pub(super) fn cases() -> Vec<Case> {
    [well_formed(), opened_as_records(), malformed(), wraps()]
        .into_iter()
        .flatten()
        .collect()
}

/// With a slot of master key 1, and with bindings where the kind has them.
fn own(kind: u8) -> Draft {
    let mut draft = Draft::new(kind, vec![0, 0]).with_master(1);
    if matches!(kind, 0x08 | 0x0A) {
        draft.bindings = pairs(&[(b"store", b"x")]);
    }
    draft
}

fn well_formed() -> Vec<Case> {
    let inspected = |name, kind, called| {
        case(name, "What the header says, without a key.", || {
            Case::inspected(own(kind).seal(NOTE)).names(called, &own(kind))
        })
    };
    vec![
        inspected("inspected_keyring", 0x04, "keyring"),
        inspected("inspected_evidence", 0x05, "evidence"),
        inspected("inspected_identity", 0x06, "identity"),
        inspected("inspected_compartment_root", 0x07, "compartment-root"),
        inspected("inspected_compartment_entry", 0x08, "compartment-entry"),
        inspected("inspected_shred_receipt", 0x09, "shred-receipt"),
        inspected("inspected_audit_segment_head", 0x0A, "audit-segment-head"),
    ]
}

/// A call that opens records refuses them before any key work.
fn opened_as_records() -> Vec<Case> {
    let refused = |name, kind| {
        case(name, "The kind is another, whatever the keys are.", || {
            Case::record(own(kind).seal(NOTE))
                .key(1)
                .fails("malformed/other-kind")
        })
    };
    vec![
        refused("record_that_is_a_keyring", 0x04),
        refused("record_that_is_evidence", 0x05),
        refused("record_that_is_an_identity", 0x06),
        refused("record_that_is_a_compartment_root", 0x07),
        refused("record_that_is_a_compartment_entry", 0x08),
        refused("record_that_is_a_shred_receipt", 0x09),
        refused("record_that_is_an_audit_segment_head", 0x0A),
        case(
            "stream_inline_that_is_a_keyring",
            "The kind is another, whatever the keys are.",
            || {
                Case::inline(own(0x04).seal(NOTE))
                    .key(1)
                    .fails("malformed/other-kind")
            },
        ),
        case(
            "text_of_a_keyring",
            "Only a record has a text form.",
            || {
                use base64::Engine as _;
                let file = own(0x04).seal(NOTE);
                let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(file);
                Case::text(text).key(1).fails("malformed/other-kind")
            },
        ),
    ]
}

fn malformed() -> Vec<Case> {
    let with_flags = |kind, flags: u8| {
        let mut draft = own(kind);
        draft.bindings.clear();
        if flags & 1 != 0 {
            draft.bindings = pairs(&[(b"store", b"x")]);
        }
        if flags & 2 != 0 {
            draft.message_id = Some([0x4D; 16]);
        }
        Case::inspected(draft.seal(NOTE)).fails("malformed/flags")
    };
    let labelled = |kind| {
        let labels = with_length(&pairs(&[(b"tenant", b"clinic-7")]));
        let mut draft = Draft::new(kind, labels).with_master(1);
        draft.bindings = own(kind).bindings;
        Case::inspected(draft.seal(NOTE)).fails("malformed/labels-of-own-file")
    };
    let cut = |kind: u8| {
        let file = own(kind).seal(NOTE);
        Case::inspected(&file[..own(kind).header().len() + 27]).fails("truncated")
    };
    vec![
        case(
            "keyring_with_a_message_id",
            "No kind from 0x04 on has one.",
            || with_flags(0x04, 2),
        ),
        case("keyring_with_bindings", "A keyring has none.", || {
            with_flags(0x04, 1)
        }),
        case(
            "keyring_with_labels",
            "No kind from 0x04 on has labels.",
            || labelled(0x04),
        ),
        case(
            "keyring_without_its_payload",
            "27 bytes follow the header.",
            || cut(0x04),
        ),
        case(
            "evidence_with_a_message_id",
            "No kind from 0x04 on has one.",
            || with_flags(0x05, 2),
        ),
        case(
            "evidence_with_labels",
            "No kind from 0x04 on has labels.",
            || labelled(0x05),
        ),
        case("identity_with_bindings", "An identity has none.", || {
            with_flags(0x06, 1)
        }),
        case(
            "compartment_root_with_bindings",
            "A compartment store's root has none.",
            || with_flags(0x07, 1),
        ),
        case(
            "compartment_entry_without_bindings",
            "A compartment store's entry always has them.",
            || with_flags(0x08, 0),
        ),
        case(
            "compartment_entry_with_a_message_id",
            "No kind from 0x04 on has one.",
            || with_flags(0x08, 3),
        ),
        case(
            "compartment_entry_with_labels",
            "No kind from 0x04 on has labels.",
            || labelled(0x08),
        ),
        case("shred_receipt_with_bindings", "A receipt has none.", || {
            with_flags(0x09, 1)
        }),
        case(
            "audit_segment_head_without_bindings",
            "An audit segment's head always has them.",
            || with_flags(0x0A, 0),
        ),
        case(
            "keyring_with_a_block_length",
            "A keyring states a block length.",
            || {
                let mut draft = own(0x04);
                draft.block_length = 4096;
                Case::inspected(draft.seal(NOTE)).fails("malformed/block-length")
            },
        ),
    ]
}

/// What is authenticated beside a data key differs by the kind, so that no slot serves another.
fn wraps() -> Vec<Case> {
    let moved = |from: u8, to: u8| {
        let mut draft = Draft::new(from, vec![0, 0]).with_master(1);
        draft.kind = to;
        draft
    };
    vec![
        case(
            "record_with_the_slot_of_a_keyring",
            "The data key of a keyring's file, under a right tag of a record.",
            || {
                Case::record(moved(0x04, 0x01).seal(NOTE))
                    .key(1)
                    .fails("authentication-failed/wrapped-key")
            },
        ),
        case(
            "keyring_file_with_the_slot_of_a_record",
            "The data key of a record, under a right tag of a keyring's file.",
            || {
                Case::keyring_file(moved(0x01, 0x04).seal(NOTE))
                    .key(1)
                    .fails("authentication-failed/wrapped-key")
            },
        ),
        case(
            "keyring_file_with_the_slot_of_evidence",
            "The data key of evidence, under a right tag of a keyring's file.",
            || {
                Case::keyring_file(moved(0x05, 0x04).seal(NOTE))
                    .key(1)
                    .fails("authentication-failed/wrapped-key")
            },
        ),
        case(
            "stream_detached_with_the_slot_of_a_record",
            "Records and streams share what is authenticated.",
            || {
                let draft = moved(0x01, 0x03);
                Case::detached(draft.header(), draft.payload(&[NOTE]))
                    .key(1)
                    .opens(NOTE)
            },
        ),
    ]
}
