//! The layout of every slot: what a reader passes over, and what it refuses at parsing (FORMAT §4).

use super::craft::{Draft, slot};
use super::{Case, NOTE, case};

const ARN: &[u8] =
    b"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
pub(super) const LATIN: &[u8] = b"caf\xe9";

pub(super) fn cases() -> Vec<Case> {
    [
        public_keys(),
        services(),
        compartments(),
        others(),
        all_at_once(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A record whose first slot is this one; the reader has the key of the second.
pub(super) fn passed_over(name: &'static str, about: &'static str, slot: Vec<u8>) -> Case {
    case(name, about, || {
        let mut draft = Draft::new(1, vec![0, 0]);
        draft.slots.push(slot);
        Case::record(draft.with_master(1).seal(NOTE))
            .key(1)
            .opens(NOTE)
    })
}

/// A record with a slot that breaks a rule, behind one that opens.
pub(super) fn refused(
    name: &'static str,
    about: &'static str,
    slot: Vec<u8>,
    error: &'static str,
) -> Case {
    case(name, about, || {
        let mut draft = Draft::record();
        draft.slots.push(slot);
        Case::record(draft.seal(NOTE)).key(1).fails(error)
    })
}

// FORMAT §4, scheme 0x03
fn public_keys() -> Vec<Case> {
    let slot = |kem: u16, hash: usize, wrapped: usize| {
        let key_id = [&kem.to_be_bytes()[..], &vec![3; hash]].concat();
        slot(0x03, &key_id, &vec![3; wrapped])
    };
    vec![
        passed_over(
            "record_public_key_slot_passed_over",
            "First a slot of KEM 0x647A, MLKEM768-X25519.",
            slot(0x647A, 32, 1168),
        ),
        passed_over(
            "record_public_key_slot_of_the_other_kem_passed_over",
            "First a slot of KEM 0x0051, MLKEM1024-P384.",
            slot(0x0051, 32, 1713),
        ),
        passed_over(
            "record_public_key_slot_of_an_unlisted_kem_passed_over",
            "First a slot of a KEM that is not listed, of the shortest key id: an unknown slot.",
            slot(0x0052, 1, 1),
        ),
        refused(
            "record_public_key_slot_of_a_kem_alone",
            "A key id of two bytes.",
            slot(0x0052, 0, 1168),
            "malformed/key-id-length",
        ),
        refused(
            "record_public_key_slot_of_a_shorter_hash",
            "A hash of 31 bytes.",
            slot(0x647A, 31, 1168),
            "malformed/key-id-length",
        ),
        refused(
            "record_public_key_slot_of_a_longer_hash",
            "A hash of 33 bytes.",
            slot(0x0051, 33, 1713),
            "malformed/key-id-length",
        ),
        refused(
            "record_public_key_slot_of_another_kems_length",
            "A wrapped key of MLKEM1024-P384 under MLKEM768-X25519.",
            slot(0x647A, 32, 1713),
            "malformed/wrapped-key-length",
        ),
        refused(
            "record_public_key_slot_of_the_other_kem_a_byte_short",
            "A wrapped key of 1,712 bytes.",
            slot(0x0051, 32, 1712),
            "malformed/wrapped-key-length",
        ),
    ]
}

// FORMAT §4, schemes 0x04, 0x07 and 0x08
fn services() -> Vec<Case> {
    let google = b"projects/p/locations/europe/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";
    let azure = b"https://phi.vault.azure.net/keys/phi/0123456789abcdef0123456789abcdef";
    vec![
        passed_over(
            "record_aws_kms_slot_passed_over",
            "First a slot of scheme 0x04.",
            slot(0x04, ARN, &[4; 184]),
        ),
        passed_over(
            "record_aws_kms_slot_of_20_bytes_passed_over",
            "The shortest key id of scheme 0x04; a parser does not read what it says.",
            slot(0x04, &[b'a'; 20], &[4; 1]),
        ),
        passed_over(
            "record_aws_kms_slot_of_512_bytes_passed_over",
            "The longest key id of scheme 0x04.",
            slot(0x04, &[b'a'; 512], &[4; 4096]),
        ),
        refused(
            "record_aws_kms_slot_of_19_bytes",
            "A key id of 19 bytes.",
            slot(0x04, &[b'a'; 19], &[4; 184]),
            "malformed/key-id-length",
        ),
        passed_over(
            "record_google_kms_slot_passed_over",
            "First a slot of scheme 0x07.",
            slot(0x07, google, &[7; 113]),
        ),
        refused(
            "record_google_kms_slot_with_a_control_character",
            "DEL in a resource name.",
            slot(0x07, b"projects/p\x7f", &[7; 113]),
            "malformed/slot-text",
        ),
        passed_over(
            "record_azure_slot_passed_over",
            "First a slot of scheme 0x08.",
            slot(0x08, azure, &[8; 256]),
        ),
        refused(
            "record_azure_slot_not_utf8",
            "A key identifier in Latin-1.",
            slot(0x08, LATIN, &[8; 256]),
            "malformed/slot-text",
        ),
    ]
}

fn compartments() -> Vec<Case> {
    let key_id = |number: u32| [&[0x0A; 16][..], &number.to_be_bytes()].concat();
    let alone = |kind, slot| {
        let mut draft = Draft::new(kind, vec![0, 0]);
        draft.slots.push(slot);
        draft
    };
    let refused = |slot, error| Case::record(alone(1, slot).seal(NOTE)).key(1).fails(error);
    vec![
        case(
            "record_of_a_compartment",
            "A slot of scheme 0x0A, whose key the reader does not have.",
            || refused(slot(0x0A, &key_id(1), &[10; 60]), "no-matching-key"),
        ),
        case(
            "stream_detached_of_a_compartment",
            "A detached header with a slot of scheme 0x0A.",
            || {
                let draft = alone(3, slot(0x0A, &key_id(u32::MAX), &[10; 60]));
                Case::detached(draft.header(), draft.payload(&[NOTE]))
                    .key(1)
                    .fails("no-matching-key")
            },
        ),
        case(
            "record_of_a_compartments_key_0",
            "Numbers begin at 1.",
            || refused(slot(0x0A, &key_id(0), &[10; 60]), "malformed/slot-number"),
        ),
        case(
            "record_of_a_compartment_with_a_short_key_id",
            "A key id of 19 bytes.",
            || {
                let key_id = key_id(1);
                refused(
                    slot(0x0A, &key_id[1..], &[10; 60]),
                    "malformed/key-id-length",
                )
            },
        ),
        case(
            "record_of_a_compartment_with_a_short_wrapped_key",
            "A wrapped key of 59 bytes.",
            || {
                refused(
                    slot(0x0A, &key_id(1), &[10; 59]),
                    "malformed/wrapped-key-length",
                )
            },
        ),
        case(
            "record_master_key_beside_a_compartment",
            "A slot of scheme 0x0A stands alone.",
            || {
                let draft = alone(1, slot(0x0A, &key_id(1), &[10; 60])).with_master(1);
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("malformed/compartment-slot")
            },
        ),
        case(
            "record_compartment_beside_a_master_key",
            "A slot of scheme 0x0A stands alone, whatever the order.",
            || {
                let draft = Draft::record().with_slot(0x0A, &key_id(1), &[10; 60]);
                Case::record(draft.seal(NOTE))
                    .key(1)
                    .fails("malformed/compartment-slot")
            },
        ),
        case(
            "keyring_of_a_compartment",
            "A slot of scheme 0x0A belongs to records and streams alone.",
            || {
                let draft = alone(4, slot(0x0A, &key_id(1), &[10; 60]));
                Case::inspected(draft.seal(NOTE)).fails("malformed/compartment-slot")
            },
        ),
    ]
}

/// Reserved schemes, and providers from outside.
fn others() -> Vec<Case> {
    vec![
        passed_over(
            "record_slot_of_scheme_9_passed_over",
            "First a slot of the reserved scheme of passphrases: its lengths are those of any slot.",
            slot(0x09, b"salt", b"wrapped"),
        ),
        passed_over(
            "record_slot_of_scheme_15_passed_over",
            "First a slot of the last reserved scheme.",
            slot(0x0F, &[0], &[0]),
        ),
        passed_over(
            "record_slot_of_scheme_255_passed_over",
            "First a slot of the last scheme.",
            slot(0xFF, &[0], &[0]),
        ),
        passed_over(
            "record_external_slot_of_the_longest_name_passed_over",
            "A name of 255 bytes, of the first and the last character that there may be.",
            slot(0xF0, &[&[255, b'!'][..], &[b'~'; 254], b"k"].concat(), &[1]),
        ),
        refused(
            "record_external_slot_with_a_space_in_its_name",
            "0x20 is no character of a name.",
            slot(0xF0, b"\x05a b.ckey-7", &[1; 60]),
            "malformed/external-key-id",
        ),
        refused(
            "record_external_slot_with_a_control_character_in_its_name",
            "0x7F is no character of a name.",
            slot(0xF0, b"\x05a\x7fb.ckey-7", &[1; 60]),
            "malformed/external-key-id",
        ),
    ]
}

fn all_at_once() -> Vec<Case> {
    let all = || {
        let public = [&[0x64, 0x7A][..], &[3; 32]].concat();
        Draft::new(1, vec![0, 0])
            .with_slot(0x03, &public, &[3; 1168])
            .with_slot(0x04, ARN, &[4; 184])
            .with_slot(
                0x05,
                &super::key_ids::transit_key(3, b"", b"transit", b"phi"),
                &[5; 60],
            )
            .with_slot(0x06, b"\x03HSM\x01", &[6; 60])
            .with_slot(0x07, b"projects/p", &[7; 113])
            .with_slot(0x08, b"https://v.vault.azure.net/keys/k/1", &[8; 256])
            .with_slot(0x09, &[9; 16], &[9; 60])
            .with_slot(0x77, b"k", b"w")
            .with_slot(0xF0, b"\x0forg.example.kmskey-7", &[0xF0; 60])
            .with_master(1)
    };
    vec![
        case(
            "record_slots_of_every_scheme_passed_over",
            "The slot that opens stands behind one of each other scheme but the passphrase and the compartment.",
            || Case::record(all().seal(NOTE)).key(1).opens(NOTE),
        ),
        case(
            "inspected_record_with_slots_of_every_scheme",
            "What the slots say of themselves.",
            || Case::inspected(all().seal(NOTE)).names("record", &all()),
        ),
    ]
}
