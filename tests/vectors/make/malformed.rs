//! Headers that break one rule of the format each, under right tags.

use super::craft::{Draft, pairs, slot, with_length};
use super::records::header_of;
use super::{Case, NOTE, PASSPHRASE, case};

pub(super) fn cases() -> Vec<Case> {
    [fixed_fields(), slots(), passphrase_slots(), labels()]
        .into_iter()
        .flatten()
        .collect()
}

/// A record made of `draft` after an edit.
fn edited(error: &'static str, edit: impl FnOnce(&mut Draft)) -> Case {
    let mut draft = Draft::record();
    edit(&mut draft);
    Case::record(draft.seal(NOTE)).key(1).fails(error)
}

fn fixed_fields() -> Vec<Case> {
    vec![
        case("record_newer_version", "Version 2.", || {
            edited("newer-version", |draft| draft.version = 2)
        }),
        case("record_version_0", "There never was a version 0.", || {
            edited("malformed/version", |draft| draft.version = 0)
        }),
        case("record_kind_0", "No kind of envelope.", || {
            edited("malformed/kind", |draft| draft.kind = 0)
        }),
        case(
            "record_kind_11",
            "A compact record's kind, which has no header.",
            || edited("malformed/kind", |draft| draft.kind = 11),
        ),
        case("record_kind_255", "No kind of envelope.", || {
            edited("malformed/kind", |draft| draft.kind = 255)
        }),
        case("record_kind_12", "No kind of envelope.", || {
            edited("malformed/kind", |draft| draft.kind = 12)
        }),
        case("record_flag_bit_2", "The lowest undefined flag.", || {
            edited("malformed/flags", |draft| draft.flags = Some(0b100))
        }),
        case("record_flag_bit_7", "The highest undefined flag.", || {
            edited("malformed/flags", |draft| draft.flags = Some(0b1000_0000))
        }),
        case(
            "record_block_length",
            "A record states a block length.",
            || edited("malformed/block-length", |draft| draft.block_length = 4096),
        ),
        case(
            "stream_detached_block_length",
            "A detached header states a block length.",
            || {
                let mut draft = Draft::detached();
                draft.block_length = 4096;
                let payload = draft.payload(&[NOTE]);
                Case::detached(draft.header(), payload)
                    .key(1)
                    .fails("malformed/block-length")
            },
        ),
        case(
            "record_header_of_16385_bytes",
            "A header one byte too long.",
            || {
                Case::record(header_of(16_385).seal(NOTE))
                    .key(1)
                    .fails("malformed/header-length")
            },
        ),
    ]
}

fn slots() -> Vec<Case> {
    let with = |error, scheme: u8, key_id: &[u8], wrapped: &[u8]| {
        edited(error, |draft| {
            draft.slots.push(slot(scheme, key_id, wrapped))
        })
    };
    vec![
        case("record_no_slot", "A slot count of 0.", || {
            edited("malformed/no-slot", |draft| draft.slots.clear())
        }),
        case("record_33_slots", "One slot too many.", || {
            edited("malformed/too-many-slots", |draft| {
                draft
                    .slots
                    .extend((0..32).map(|number| slot(0x77, &[number], &[number])));
            })
        }),
        case(
            "record_slot_twice",
            "Two slots of one scheme and key id, equal byte for byte.",
            || {
                edited("malformed/duplicate-slot", |draft| {
                    draft.slots.push(draft.slots[0].clone())
                })
            },
        ),
        case(
            "record_passphrase_beside_scheme_9",
            "Both are schemes of passphrases, of which there is at most one slot.",
            || {
                let draft = Draft::record().with_passphrase("one");
                let draft = draft.with_slot(0x09, &[9; 16], b"wrapped");
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("malformed/two-passphrase-slots")
            },
        ),
        case(
            "record_two_slots_of_scheme_9",
            "The rule binds the reserved scheme alone too.",
            || {
                edited("malformed/two-passphrase-slots", |draft| {
                    draft
                        .slots
                        .extend([slot(0x09, &[8; 16], b"1"), slot(0x09, &[9; 16], b"2")]);
                })
            },
        ),
        case(
            "record_slot_of_an_unknown_scheme_twice",
            "The rule binds slots of unknown schemes too.",
            || {
                edited("malformed/duplicate-slot", |draft| {
                    draft
                        .slots
                        .extend([slot(0x77, b"k", b"1"), slot(0x77, b"k", b"2")]);
                })
            },
        ),
        case(
            "record_two_passphrase_slots",
            "Two passphrase slots, of different salts.",
            || {
                let draft = Draft::record()
                    .with_passphrase("one")
                    .with_passphrase("two");
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("malformed/two-passphrase-slots")
            },
        ),
        case("record_slot_of_scheme_0", "Scheme 0 is no scheme.", || {
            with("malformed/scheme-zero", 0, &[1; 16], &[1; 60])
        }),
        case(
            "record_key_id_empty",
            "A key id of no bytes, of an unknown scheme.",
            || with("malformed/key-id-length", 0x77, &[], &[1; 60]),
        ),
        case(
            "record_key_id_of_513_bytes",
            "A key id one byte too long, of an unknown scheme.",
            || with("malformed/key-id-length", 0x77, &[1; 513], &[1; 60]),
        ),
        case(
            "record_keyring_key_id_of_15_bytes",
            "A master key's id one byte too short.",
            || with("malformed/key-id-length", 0x01, &[1; 15], &[1; 60]),
        ),
        case(
            "record_keyring_key_id_of_17_bytes",
            "A master key's id one byte too long.",
            || with("malformed/key-id-length", 0x01, &[1; 17], &[1; 60]),
        ),
        case(
            "record_wrapped_key_empty",
            "A wrapped key of no bytes, of an unknown scheme.",
            || with("malformed/wrapped-key-length", 0x77, b"k", &[]),
        ),
        case(
            "record_wrapped_key_of_4097_bytes",
            "A wrapped key one byte too long, of an unknown scheme.",
            || with("malformed/wrapped-key-length", 0x77, b"k", &[0; 4097]),
        ),
        case(
            "record_keyring_wrapped_key_of_59_bytes",
            "A master key's wrapped key one byte too short.",
            || with("malformed/wrapped-key-length", 0x01, &[1; 16], &[1; 59]),
        ),
        case(
            "record_keyring_wrapped_key_of_61_bytes",
            "A master key's wrapped key one byte too long.",
            || with("malformed/wrapped-key-length", 0x01, &[1; 16], &[1; 61]),
        ),
        case(
            "record_external_slot_without_a_name",
            "The name has no bytes.",
            || with("malformed/external-key-id", 0xF0, b"\0key-7", &[1; 60]),
        ),
        case(
            "record_external_slot_without_an_id",
            "Nothing follows the name.",
            || with("malformed/external-key-id", 0xF0, b"\x05a.b.c", &[1; 60]),
        ),
        case(
            "record_external_slot_whose_name_overruns",
            "The name is longer than the key id.",
            || with("malformed/external-key-id", 0xF0, b"\x09a.b.c", &[1; 60]),
        ),
        case(
            "record_external_slot_of_a_name_not_ascii",
            "The name is UTF-8.",
            || {
                with(
                    "malformed/external-key-id",
                    0xF0,
                    b"\x06a.\xc3\xa9.ckey-7",
                    &[1; 60],
                )
            },
        ),
    ]
}

fn passphrase_slots() -> Vec<Case> {
    let costs = |memory_kib: u32, passes: u32, lanes: u32| {
        let costs = [memory_kib, passes, lanes].map(u32::to_be_bytes).concat();
        let wrapped = [costs.as_slice(), &[1; 92]].concat();
        Draft::record()
            .with_slot(0x02, &[2; 16], &wrapped)
            .seal(NOTE)
    };
    let refused = |record: Vec<u8>, error| Case::record(record).key(1).fails(error);
    let out_of_bounds = |memory_kib, passes, lanes| {
        refused(
            costs(memory_kib, passes, lanes),
            "malformed/passphrase-costs",
        )
    };
    let above_a_ceiling = |costs: [u32; 3], error| {
        let costs = costs.map(u32::to_be_bytes).concat();
        let wrapped = [costs.as_slice(), &[1; 92]].concat();
        let draft = Draft::new(1, vec![0, 0]).with_slot(0x02, &[2; 16], &wrapped);
        Case::record(draft.seal(NOTE))
            .passphrase(PASSPHRASE)
            .fails(error)
    };
    vec![
        case(
            "record_salt_of_15_bytes",
            "A passphrase slot's salt one byte too short.",
            || {
                let draft = Draft::record().with_slot(0x02, &[2; 15], &[1; 104]);
                refused(draft.seal(NOTE), "malformed/key-id-length")
            },
        ),
        case(
            "record_passphrase_wrapped_key_of_103_bytes",
            "A passphrase slot's wrapped key one byte too short.",
            || {
                let draft = Draft::record().with_slot(0x02, &[2; 16], &[1; 103]);
                refused(draft.seal(NOTE), "malformed/wrapped-key-length")
            },
        ),
        case(
            "record_argon2_memory_below_8_lanes",
            "m = 15 KiB for p = 2.",
            || out_of_bounds(15, 1, 2),
        ),
        case(
            "record_argon2_memory_above_1_gib",
            "m = 1,048,577 KiB.",
            || out_of_bounds(1_048_577, 1, 1),
        ),
        case("record_argon2_no_pass", "t = 0.", || {
            out_of_bounds(65_536, 0, 1)
        }),
        case("record_argon2_17_passes", "t = 17.", || {
            out_of_bounds(65_536, 17, 1)
        }),
        case("record_argon2_no_lane", "p = 0.", || {
            out_of_bounds(65_536, 1, 0)
        }),
        case("record_argon2_17_lanes", "p = 17.", || {
            out_of_bounds(65_536, 1, 17)
        }),
        case(
            "record_argon2_work_above_1_gib",
            "m·t = 1,048,580 KiB.",
            || out_of_bounds(262_145, 4, 1),
        ),
        case(
            "record_argon2_memory_above_the_ceiling",
            "m = 1,048,576 KiB is within the format and above the reader's ceiling of 256 MiB.",
            || above_a_ceiling([1_048_576, 1, 16], "limit-exceeded/passphrase-memory"),
        ),
        case(
            "record_argon2_work_above_the_ceiling",
            "m·t = 851,968 KiB is within the format and above four times the reader's own costs of 196,608 KiB.",
            || above_a_ceiling([65_536, 13, 4], "limit-exceeded/passphrase-work"),
        ),
        case(
            "record_argon2_at_the_limits",
            "The dearest costs that the format knows; the reader has the master key.",
            || Case::record(costs(1_048_576, 1, 16)).key(1).opens(NOTE),
        ),
    ]
}

fn labels() -> Vec<Case> {
    let encoded = |error, labels: &[u8]| {
        let draft = Draft::of_labels(with_length(labels));
        Case::record(draft.seal(NOTE)).key(1).fails(error)
    };
    let of = |error, labels: &[(&[u8], &[u8])]| encoded(error, &pairs(labels));
    vec![
        case(
            "record_labels_of_4097_bytes",
            "Labels one byte too long.",
            || {
                let keys: Vec<[u8; 64]> = (b'A'..b'A' + 13).map(|key| [key; 64]).collect();
                let (long, rest) = ([b'v'; 256], [b'w'; 4097 - 12 * 323 - 67]);
                let mut labels: Vec<(&[u8], &[u8])> =
                    keys.iter().map(|key| (&key[..], &long[..])).collect();
                labels[12].1 = &rest;
                assert_eq!(pairs(&labels).len(), 4097);
                of("malformed/labels-length", &labels)
            },
        ),
        case("record_33_labels", "One label too many.", || {
            let keys: Vec<[u8; 1]> = (b'A'..b'A' + 33).map(|key| [key]).collect();
            let labels: Vec<(&[u8], &[u8])> =
                keys.iter().map(|key| (&key[..], &b"v"[..])).collect();
            of("malformed/too-many-labels", &labels)
        }),
        case(
            "record_label_key_empty",
            "A label's key of no bytes.",
            || of("malformed/label-key-length", &[(b"", b"v")]),
        ),
        case(
            "record_label_key_of_65_bytes",
            "A label's key one byte too long.",
            || of("malformed/label-key-length", &[(&[b'k'; 65], b"v")]),
        ),
        case(
            "record_label_value_empty",
            "A label's value of no bytes.",
            || of("malformed/label-value-length", &[(b"k", b"")]),
        ),
        case(
            "record_label_value_of_257_bytes",
            "A label's value one byte too long.",
            || of("malformed/label-value-length", &[(b"k", &[b'v'; 257])]),
        ),
        case(
            "record_label_key_not_utf8",
            "A label's key in Latin-1.",
            || of("malformed/label-utf8", &[(b"caf\xe9", b"v")]),
        ),
        case(
            "record_label_value_not_utf8",
            "A surrogate in a label's value.",
            || of("malformed/label-utf8", &[(b"k", b"\xed\xa0\x80")]),
        ),
        case(
            "record_label_of_the_format",
            "A key that the format keeps for itself.",
            || of("malformed/label-reserved", &[(b"phi-envelope", b"v")]),
        ),
        case(
            "record_label_of_the_format_in_another_case",
            "The case of ASCII letters does not matter.",
            || of("malformed/label-reserved", &[(b"PHI-Envelope", b"v")]),
        ),
        case(
            "record_label_that_begins_as_those_of_the_format",
            "What a key service sees beside the labels.",
            || of("malformed/label-reserved", &[(b"phi-envelope:kind", b"04")]),
        ),
        case("record_labels_out_of_order", "The keys decrease.", || {
            of("malformed/label-order", &[(b"b", b"1"), (b"a", b"2")])
        }),
        case(
            "record_label_twice",
            "The keys do not strictly increase.",
            || of("malformed/label-order", &[(b"a", b"1"), (b"a", b"2")]),
        ),
        case("record_label_prefix_last", "A prefix comes first.", || {
            of("malformed/label-order", &[(b"ab", b"1"), (b"a", b"2")])
        }),
        case(
            "record_label_overruns",
            "The last label's value is longer than the labels.",
            || encoded("malformed/label-overrun", b"\x01k\x00\x05four"),
        ),
        case(
            "record_label_ends_in_its_length",
            "The labels end within the length of a value.",
            || encoded("malformed/label-overrun", b"\x01k\x00"),
        ),
    ]
}
