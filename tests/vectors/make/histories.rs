//! A keyring's data key id, the chain of its revisions, its recipients, and what counts as rolled back (FORMAT §9.2).

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::craft::Draft;
use super::keyrings::{content, encoded, new_file, sealed, sealed_bytes};
use super::{Case, Least, case, pieces};
use crate::crypto::derive;

pub(super) fn cases() -> Vec<Case> {
    [data_keys(), chains(), rolled_back(), told(), recipients()]
        .into_iter()
        .flatten()
        .collect()
}

/// The content at a revision, each of which is the one before with a hash of it.
fn at(revision: u64) -> Value {
    (1..revision).fold(content(), |content, _| after(&content))
}

/// The next revision.
fn after(content: &Value) -> Value {
    let mut next = content.clone();
    let hash = Sha256::digest(content.to_string());
    let mut before = vec![encoded(&hash)];
    before.extend(content["before"].as_array().unwrap().iter().cloned());
    before.truncate(64);
    next["before"] = json!(before);
    next["revision"] = json!(content["revision"].as_u64().unwrap() + 1);
    next
}

fn data_keys() -> Vec<Case> {
    let of = |made_at: u64| {
        let content = at(3);
        Case::keyring_file(sealed_bytes(made_at, content.to_string().as_bytes())).key(1)
    };
    let refused = |made_at| of(made_at).fails("malformed/keyring/data-key-revision");
    vec![
        case(
            "keyring_file_of_a_kept_data_key",
            "Revision 3, whose data key was made at revision 1.",
            || of(1).holds(&at(3)),
        ),
        case(
            "keyring_file_of_a_data_key_of_revision_0",
            "Revisions begin at 1.",
            || refused(0),
        ),
        case(
            "keyring_file_of_a_data_key_of_a_later_revision",
            "A data key that was made at revision 4 of a keyring of revision 3.",
            || refused(4),
        ),
        case(
            "keyring_file_of_a_data_key_of_the_greatest_revision",
            "All bits of the number.",
            || refused(u64::MAX),
        ),
        case(
            "keyring_file_of_another_data_key_revision",
            "The number is changed under a right tag: the wrap authenticates it.",
            || {
                let mut file = new_file(1).with_master(1);
                file.data_key_id[7] = 2;
                Case::keyring_file(file.seal(at(2).to_string().as_bytes()))
                    .key(1)
                    .fails("authentication-failed/wrapped-key")
            },
        ),
    ]
}

fn chains() -> Vec<Case> {
    let of = |revision: u64| {
        Case::keyring_file(sealed(&at(revision)))
            .key(1)
            .holds(&at(revision))
    };
    let edited = |edit: fn(&mut Value)| {
        let mut content = at(3);
        edit(&mut content);
        Case::keyring_file(sealed(&content))
            .key(1)
            .fails("malformed/keyring/before")
    };
    vec![
        case("keyring_file_of_revision_2", "One hash.", || of(2)),
        case("keyring_file_of_revision_65", "64 hashes.", || of(65)),
        case("keyring_file_of_revision_66", "64 hashes of 65.", || of(66)),
        case(
            "keyring_file_with_a_hash_too_few",
            "One hash at revision 3.",
            || {
                edited(|content| {
                    content["before"].as_array_mut().unwrap().pop();
                })
            },
        ),
        case(
            "keyring_file_with_a_hash_too_many",
            "Three hashes at revision 3.",
            || {
                edited(|content| {
                    let before = content["before"].as_array_mut().unwrap();
                    before.push(encoded(&[1; 32]));
                })
            },
        ),
        case(
            "keyring_file_of_revision_0",
            "Revisions begin at 1.",
            || {
                let mut content = content();
                content["revision"] = json!(0);
                Case::keyring_file(sealed_bytes(1, content.to_string().as_bytes()))
                    .key(1)
                    .fails("malformed/keyring/before")
            },
        ),
        case(
            "keyring_file_with_a_short_hash",
            "A hash of 31 bytes.",
            || {
                let mut content = at(2);
                content["before"][0] = encoded(&[1; 31]);
                Case::keyring_file(sealed(&content))
                    .key(1)
                    .fails("malformed/keyring/json")
            },
        ),
    ]
}

fn rolled_back() -> Vec<Case> {
    // The reader has seen one file, and then meets another in its place.
    let follows = |seen: &Value, met: &Value| {
        let mut case = Case::keyring_file(sealed(met)).key(1);
        case.seen = Some(pieces(&sealed(seen)));
        case
    };
    let opens = |seen: u64, met: u64| follows(&at(seen), &at(met)).holds(&at(met));
    let refused = |seen: &Value, met: &Value, error| follows(seen, met).fails(error);
    vec![
        case(
            "keyring_file_that_follows",
            "Revision 2 after revision 1.",
            || opens(1, 2),
        ),
        case(
            "keyring_file_that_follows_64_revisions_later",
            "The last hash is that of the revision that was seen.",
            || opens(2, 66),
        ),
        case(
            "keyring_file_that_follows_65_revisions_later",
            "No hash speaks of the revision that was seen.",
            || refused(&at(1), &at(66), "rolled-back/too-far"),
        ),
        case(
            "keyring_file_sealed_again",
            "The same revision and content under another data key of the same number.",
            || opens(3, 3),
        ),
        case(
            "keyring_file_rolled_back",
            "Revision 2 after revision 3.",
            || refused(&at(3), &at(2), "rolled-back/revision"),
        ),
        case(
            "keyring_file_of_another_content_at_the_same_revision",
            "A label was changed without a new revision.",
            || {
                let mut other = at(3);
                other["keys"][4]["label"] = json!("ehr-2028");
                refused(&at(3), &other, "rolled-back/same-revision")
            },
        ),
        case(
            "keyring_file_of_another_history",
            "Revision 4, whose hash of revision 3 is that of another.",
            || {
                let mut other = at(3);
                other["keys"][4]["label"] = json!("ehr-2028");
                refused(&at(3), &after(&other), "rolled-back/chain")
            },
        ),
        case(
            "keyring_file_of_another_keyring",
            "Another id, at a later revision.",
            || {
                let mut other = at(3);
                other["id"] = encoded(&[0x2D; 16]);
                refused(&at(2), &other, "rolled-back/other-keyring")
            },
        ),
        case(
            "keyring_file_of_an_older_data_key",
            "Revision 4 under a data key of revision 2, after revision 3 under one of its own.",
            || {
                let older = sealed_bytes(2, at(4).to_string().as_bytes());
                let mut case = Case::keyring_file(older).key(1);
                case.seen = Some(pieces(&sealed(&at(3))));
                case.fails("rolled-back/data-key")
            },
        ),
        case(
            "keyring_file_of_the_same_data_key",
            "Revision 4 under the data key of revision 3.",
            || {
                let kept = sealed_bytes(3, at(4).to_string().as_bytes());
                let mut case = Case::keyring_file(kept).key(1);
                case.seen = Some(pieces(&sealed(&at(3))));
                case.holds(&at(4))
            },
        ),
        case(
            "keyring_file_of_a_newer_data_key_at_the_same_revision",
            "Revision 3 under a data key of its own, after the same content under one of revision 2.",
            || {
                let mut case = Case::keyring_file(sealed(&at(3))).key(1);
                case.seen = Some(pieces(&sealed_bytes(2, at(3).to_string().as_bytes())));
                case.fails("rolled-back/same-revision")
            },
        ),
    ]
}

// FORMAT §9.2: who is told only the least numbers checks only these.
fn told() -> Vec<Case> {
    let of = |revision, data_key_revision| {
        let content = at(4);
        let mut case = Case::keyring_file(sealed_bytes(3, content.to_string().as_bytes())).key(1);
        case.least = Some(Least {
            revision,
            data_key_revision,
        });
        case
    };
    vec![
        case(
            "keyring_file_of_the_least_revisions",
            "Revision 4 under a data key of revision 3: as old as they may be.",
            || of(4, 3).holds(&at(4)),
        ),
        case(
            "keyring_file_of_a_lower_revision_than_the_least",
            "Revision 4 where 5 is the least.",
            || of(5, 0).fails("rolled-back/revision"),
        ),
        case(
            "keyring_file_of_a_lower_data_key_revision_than_the_least",
            "A data key of revision 3 where 4 is the least.",
            || of(4, 4).fails("rolled-back/data-key"),
        ),
    ]
}

/// A public key whose numbers of 12 bits are small, and its id.
fn public_key() -> ([u8; 1216], [u8; 34]) {
    let mut key = [0x11; 1216];
    key[1184..].copy_from_slice(&[9; 32]);
    (key, derive::recipient_id(0x647A, &key))
}

fn recipients() -> Vec<Case> {
    use base64::Engine as _;
    let text = |key: &[u8], check: &[u8]| {
        let bytes = [key, check].concat();
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        format!("phi-recipient:mlkem768-x25519:{encoded}")
    };
    let good = || {
        let (key, id) = public_key();
        text(&key, &id[2..6])
    };
    let with_slot = |file: Draft| file.with_slot(0x03, &public_key().1, &[3; 1168]);
    let naming = |recipients: Value| {
        let mut content = content();
        content["recipients"] = recipients;
        content
    };
    let file = |file: Draft, content: &Value| {
        Case::keyring_file(file.with_master(1).seal(content.to_string().as_bytes())).key(1)
    };
    vec![
        case(
            "keyring_file_with_a_recipient",
            "A public key that has a slot.",
            || {
                let content = naming(json!([good()]));
                file(with_slot(new_file(1)), &content).holds(&content)
            },
        ),
        case(
            "keyring_file_with_a_recipient_without_a_slot",
            "The recipients are those of the slots.",
            || {
                file(new_file(1), &naming(json!([good()])))
                    .fails("malformed/keyring/recipients-differ")
            },
        ),
        case(
            "keyring_file_with_a_slot_without_a_recipient",
            "The recipients are those of the slots.",
            || {
                file(with_slot(new_file(1)), &content())
                    .fails("malformed/keyring/recipients-differ")
            },
        ),
        case(
            "keyring_file_with_one_recipient_twice",
            "No id stands there twice.",
            || {
                file(with_slot(new_file(1)), &naming(json!([good(), good()])))
                    .fails("malformed/keyring/recipients")
            },
        ),
        case(
            "keyring_file_with_a_recipient_of_a_later_kem",
            "The name of a KEM that this version does not know.",
            || {
                let later = good().replace("mlkem768-x25519", "mlkem2048-x448");
                file(with_slot(new_file(1)), &naming(json!([later])))
                    .fails("malformed/keyring/version")
            },
        ),
        case(
            "keyring_file_with_a_recipient_of_another_check",
            "A bit of the four bytes behind the public key.",
            || {
                let (key, mut id) = public_key();
                id[5] ^= 1;
                file(
                    with_slot(new_file(1)),
                    &naming(json!([text(&key, &id[2..6])])),
                )
                .fails("malformed/keyring/recipients")
            },
        ),
        case(
            "keyring_file_with_a_recipient_of_a_shorter_key",
            "A public key of 1,215 bytes.",
            || {
                let (key, id) = public_key();
                file(
                    with_slot(new_file(1)),
                    &naming(json!([text(&key[1..], &id[2..6])])),
                )
                .fails("malformed/keyring/recipients")
            },
        ),
        case(
            "keyring_file_with_a_recipient_that_is_none",
            "A text of another program.",
            || {
                file(new_file(1), &naming(json!(["age1qqqqqqqq"])))
                    .fails("malformed/keyring/recipients")
            },
        ),
    ]
}
