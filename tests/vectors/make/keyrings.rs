//! Keyrings' files (FORMAT §9.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::craft::{Draft, pairs, with_length};
use super::{Case, Opens, PASSPHRASE, case};
use crate::error::KeyId;

/// A key that a keyring's file holds, without the key.
#[derive(Serialize)]
pub(super) struct HeldKey {
    id: &'static str,
    label: &'static str,
    state: &'static str,
    created: u64,
    changed: u64,
}

const HELD: &[HeldKey] = &[
    held("c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1", "ehr-2023", "destroyed"),
    held(
        "c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c2",
        "ehr-2024",
        "compromised",
    ),
    held("c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3", "ehr-2025", "suspended"),
    held(
        "c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4c4",
        "ehr-2026 \"é\"",
        "deactivated",
    ),
    held("c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5", "ehr-2027", "active"),
];

const fn held(id: &'static str, label: &'static str, state: &'static str) -> HeldKey {
    HeldKey {
        id,
        label,
        state,
        created: 1_767_225_600,
        changed: 1_798_761_600,
    }
}

/// An edit of a keyring's content.
pub(super) type Edit = fn(&mut Value);

pub(super) fn cases() -> Vec<Case> {
    [good(), envelopes()].into_iter().flatten().collect()
}

/// A file that opens after an edit of its content.
pub(super) fn opens(name: &'static str, about: &'static str, edit: Edit) -> Case {
    case(name, about, || {
        let mut content = content();
        edit(&mut content);
        Case::keyring_file(sealed(&content)).key(1).holds(&content)
    })
}

/// A file that does not open after an edit of its content.
pub(super) fn fails(
    name: &'static str,
    about: &'static str,
    error: &'static str,
    edit: Edit,
) -> Case {
    case(name, about, || {
        let mut content = content();
        edit(&mut content);
        Case::keyring_file(sealed(&content)).key(1).fails(error)
    })
}

fn good() -> Vec<Case> {
    vec![
        case(
            "keyring_file",
            "Five keys, one of each state, under a passphrase.",
            || {
                let file = new_file(1).with_passphrase(PASSPHRASE);
                Case::keyring_file(file.seal(content().to_string().as_bytes()))
                    .passphrase(PASSPHRASE)
                    .holds(&content())
            },
        ),
        opens(
            "keyring_file_under_a_master_key",
            "Sealed under a key from elsewhere.",
            |_| {},
        ),
        case(
            "keyring_file_of_a_later_generation",
            "The generation of the header goes on at each change.",
            || {
                let mut file = new_file(1);
                file.generation = 7;
                Case::keyring_file(file.with_master(1).seal(content().to_string().as_bytes()))
                    .key(1)
                    .holds(&content())
            },
        ),
        opens(
            "keyring_file_of_the_shortest_lease",
            "A lease of one second, which was changed once.",
            |content| {
                content["lease"] = json!(1);
                content["lease_changed"] = json!(1_798_761_600);
            },
        ),
        opens(
            "keyring_file_of_the_longest_lease",
            "A lease of a day.",
            |content| content["lease"] = json!(86_400),
        ),
        opens(
            "keyring_file_with_evidence_of_a_destroyed_key",
            "The hash of the evidence on which a key was destroyed.",
            |content| content["keys"][0]["evidence"] = encoded(&[0xE1; 32]),
        ),
        opens(
            "keyring_file_with_unknown_fields",
            "Fields that this version does not know are no error.",
            |content| {
                content["x-purpose"] =
                    json!({"of": ["a later version", 9_007_199_254_740_991_u64]});
                content["keys"][4]["x-origin"] = json!(null);
            },
        ),
        opens(
            "keyring_file_with_critical_fields",
            "A field of the top and one of a key, which this version knows.",
            |content| content["critical"] = json!(["lease", "evidence"]),
        ),
    ]
}

/// Whole keyrings in an envelope that is no keyring's file, or that the reader cannot open.
fn envelopes() -> Vec<Case> {
    let refused = |file: Draft, error| {
        Case::keyring_file(file.seal(content().to_string().as_bytes()))
            .key(1)
            .fails(error)
    };
    vec![
        case(
            "keyring_file_that_is_a_record",
            "A record with the content of a keyring.",
            || refused(Draft::record(), "malformed/other-kind"),
        ),
        case(
            "keyring_file_that_is_evidence",
            "Evidence with the content of a keyring.",
            || {
                let file = Draft::new(0x05, vec![0, 0]).with_master(1);
                refused(file, "malformed/other-kind")
            },
        ),
        case(
            "keyring_file_with_labels",
            "A keyring's file has no labels.",
            || {
                let labels = with_length(&pairs(&[(b"tenant", b"clinic-7")]));
                let file = Draft::new(0x04, labels).with_master(1);
                refused(file, "malformed/labels-of-own-file")
            },
        ),
        case(
            "keyring_file_with_bindings",
            "A keyring's file has no bindings.",
            || {
                let mut file = new_file(1).with_master(1);
                file.bindings = pairs(&[(b"patient", b"MRN-0042")]);
                refused(file, "malformed/flags")
            },
        ),
        case(
            "keyring_file_under_another_passphrase",
            "The passphrase is wrong.",
            || {
                let file = new_file(1).with_passphrase(PASSPHRASE);
                Case::keyring_file(file.seal(content().to_string().as_bytes()))
                    .passphrase("another")
                    .fails("wrong-passphrase")
            },
        ),
        case(
            "keyring_file_under_another_master_key",
            "The reader has another key.",
            || {
                Case::keyring_file(sealed(&content()))
                    .key(2)
                    .fails("no-matching-key")
            },
        ),
        case(
            "keyring_file_a_byte_short",
            "The last byte is missing.",
            || {
                let file = sealed(&content());
                Case::keyring_file(&file[..file.len() - 1])
                    .key(1)
                    .fails("authentication-failed/record")
            },
        ),
        case(
            "keyring_file_of_a_public_key_alone",
            "A slot of scheme 0x03, whose holder could not say who made the file.",
            || {
                let public = [&[0x64, 0x7A][..], &[3; 32]].concat();
                let file = new_file(1).with_slot(0x03, &public, &[3; 1168]);
                refused(file, "no-matching-key")
            },
        ),
    ]
}

impl Case {
    /// The file opens, and lists what its content says.
    pub(super) fn holds(mut self, content: &Value) -> Self {
        let id = STANDARD.decode(content["id"].as_str().unwrap()).unwrap();
        self.opens = Some(Opens::Keyring {
            id: super::hex(&id),
            revision: content["revision"].as_u64().unwrap(),
            lease: content["lease"].as_u64().unwrap_or(900),
            keys: HELD,
        });
        self
    }
}

pub(super) fn encoded(bytes: &[u8]) -> Value {
    json!(STANDARD.encode(bytes))
}

/// In the order of names, which every map of `serde_json` keeps.
pub(super) fn content() -> Value {
    let key = |held: &HeldKey| {
        let id: KeyId = held.id.parse().unwrap();
        let material = (held.state != "destroyed").then(|| STANDARD.encode([id.as_bytes()[0]; 32]));
        json!({
            "changed": held.changed,
            "created": held.created,
            "id": STANDARD.encode(id.as_bytes()),
            "key": material,
            "label": held.label,
            "state": held.state,
        })
    };
    json!({
        "before": [],
        "id": STANDARD.encode([0x1D; 16]),
        "keys": HELD.iter().map(key).collect::<Vec<_>>(),
        "revision": 1,
        "version": 1,
    })
}

/// A keyring's file whose data key was made at this revision, without a slot.
pub(super) fn new_file(made_at: u64) -> Draft {
    let mut file = Draft::new(0x04, vec![0, 0]);
    file.data_key_id[..8].copy_from_slice(&made_at.to_be_bytes());
    file
}

/// A keyring's file under master key 1, whose data key is as new as its content.
pub(super) fn sealed(content: &Value) -> Vec<u8> {
    let made_at = content["revision"].as_u64().unwrap_or(1);
    sealed_bytes(made_at, content.to_string().as_bytes())
}

pub(super) fn sealed_bytes(made_at: u64, content: &[u8]) -> Vec<u8> {
    new_file(made_at).with_master(1).seal(content)
}
