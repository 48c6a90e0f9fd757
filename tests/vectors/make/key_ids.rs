//! Key ids of several parts: those of Transit and of PKCS#11 (FORMAT §4, schemes 0x05 and 0x06).

use super::Case;
use super::craft::slot;
use super::layouts::{LATIN, passed_over, refused};

/// U+0085, which is a control character outside of ASCII.
const NEXT_LINE: &[u8] = b"a\xc2\x85b";

pub(super) fn cases() -> Vec<Case> {
    [transit(), pkcs11()].into_iter().flatten().collect()
}

/// A key id of scheme 0x05.
pub(super) fn transit_key(version: u32, realm: &[u8], mount: &[u8], name: &[u8]) -> Vec<u8> {
    let counted = |text: &[u8]| [&[u8::try_from(text.len()).unwrap()], text].concat();
    [
        version.to_be_bytes().to_vec(),
        counted(realm),
        counted(mount),
        name.to_vec(),
    ]
    .concat()
}

fn transit() -> Vec<Case> {
    let good = transit_key(3, b"east", b"team/transit", b"phi-key_1.x");
    let bad = |name, about, key_id: &[u8], error| {
        refused(name, about, slot(0x05, key_id, &[5; 60]), error)
    };
    vec![
        passed_over(
            "record_transit_slot_passed_over",
            "First a slot of scheme 0x05.",
            slot(0x05, &good, &[5; 60]),
        ),
        passed_over(
            "record_transit_slot_of_the_shortest_passed_over",
            "Version 1, no realm, a mount and a name of one byte.",
            slot(0x05, &transit_key(1, b"", b"m", b"n"), &[5; 60]),
        ),
        passed_over(
            "record_transit_slot_of_the_longest_passed_over",
            "Version 4,294,967,295, and as long as each part may be.",
            slot(
                0x05,
                &transit_key(u32::MAX, &[b'r'; 63], &[b'm'; 191], &[b'n'; 200]),
                &[5; 60],
            ),
        ),
        bad(
            "record_transit_slot_of_version_0",
            "Versions begin at 1.",
            &transit_key(0, b"", b"m", b"n"),
            "malformed/slot-number",
        ),
        bad(
            "record_transit_slot_of_a_longer_realm",
            "A realm of 64 bytes.",
            &transit_key(1, &[b'r'; 64], b"m", b"n"),
            "malformed/key-id-length",
        ),
        bad(
            "record_transit_slot_without_a_mount",
            "A mount of no bytes.",
            &transit_key(1, b"", b"", b"n"),
            "malformed/key-id-length",
        ),
        bad(
            "record_transit_slot_of_a_longer_mount",
            "A mount of 192 bytes.",
            &transit_key(1, b"", &[b'm'; 192], b"n"),
            "malformed/key-id-length",
        ),
        bad(
            "record_transit_slot_without_a_name",
            "A name of no bytes.",
            &transit_key(1, b"", b"m", b""),
            "malformed/key-id-length",
        ),
        bad(
            "record_transit_slot_of_a_longer_name",
            "A name of 201 bytes.",
            &transit_key(1, b"", b"m", &[b'n'; 201]),
            "malformed/key-id-length",
        ),
        bad(
            "record_transit_slot_whose_mount_overruns",
            "The mount is longer than the key id.",
            &[0, 0, 0, 1, 0, 9, b'm', b'n'],
            "malformed/key-id-length",
        ),
        bad(
            "record_transit_slot_cut_in_its_version",
            "A key id of three bytes.",
            &[0, 0, 1],
            "malformed/key-id-length",
        ),
        bad(
            "record_transit_slot_with_a_control_character",
            "A line feed in the realm.",
            &transit_key(1, b"a\nb", b"m", b"n"),
            "malformed/slot-text",
        ),
        bad(
            "record_transit_slot_with_a_control_character_outside_of_ascii",
            "U+0085 in the mount.",
            &transit_key(1, b"", NEXT_LINE, b"n"),
            "malformed/slot-text",
        ),
        bad(
            "record_transit_slot_not_utf8",
            "A name in Latin-1.",
            &transit_key(1, b"", b"m", LATIN),
            "malformed/slot-text",
        ),
        refused(
            "record_transit_slot_a_byte_short",
            "A wrapped key of 59 bytes.",
            slot(0x05, &good, &[5; 59]),
            "malformed/wrapped-key-length",
        ),
        refused(
            "record_transit_slot_a_byte_long",
            "A wrapped key of 61 bytes.",
            slot(0x05, &good, &[5; 61]),
            "malformed/wrapped-key-length",
        ),
    ]
}

fn pkcs11() -> Vec<Case> {
    let key = |label: &[u8], id: &[u8]| [&[u8::try_from(label.len()).unwrap()], label, id].concat();
    let bad = |name, about, key_id: &[u8], error| {
        refused(name, about, slot(0x06, key_id, &[6; 60]), error)
    };
    vec![
        passed_over(
            "record_pkcs11_slot_passed_over",
            "First a slot of scheme 0x06, whose token has a label beyond ASCII.",
            slot(0x06, &key("Schlüssel".as_bytes(), &[0, 1]), &[6; 60]),
        ),
        passed_over(
            "record_pkcs11_slot_of_the_longest_passed_over",
            "A label of 32 and an id of 64 bytes.",
            slot(0x06, &key(&[b'l'; 32], &[0xFF; 64]), &[6; 60]),
        ),
        bad(
            "record_pkcs11_slot_without_a_label",
            "A label of no bytes.",
            &key(b"", &[1]),
            "malformed/key-id-length",
        ),
        bad(
            "record_pkcs11_slot_of_a_longer_label",
            "A label of 33 bytes.",
            &key(&[b'l'; 33], &[1]),
            "malformed/key-id-length",
        ),
        bad(
            "record_pkcs11_slot_without_an_id",
            "Nothing follows the label.",
            &key(b"HSM", b""),
            "malformed/key-id-length",
        ),
        bad(
            "record_pkcs11_slot_of_a_longer_id",
            "An id of 65 bytes.",
            &key(b"HSM", &[1; 65]),
            "malformed/key-id-length",
        ),
        bad(
            "record_pkcs11_slot_whose_label_overruns",
            "The label is longer than the key id.",
            b"\x09HSM",
            "malformed/key-id-length",
        ),
        bad(
            "record_pkcs11_slot_with_a_control_character",
            "ESC in the label.",
            &key(b"\x1b[2J", &[1]),
            "malformed/slot-text",
        ),
        bad(
            "record_pkcs11_slot_not_utf8",
            "A label in Latin-1.",
            &key(LATIN, &[1]),
            "malformed/slot-text",
        ),
        refused(
            "record_pkcs11_slot_a_byte_long",
            "A wrapped key of 61 bytes.",
            slot(0x06, &key(b"HSM", &[1]), &[6; 61]),
            "malformed/wrapped-key-length",
        ),
    ]
}
