//! Keyrings' files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::craft::{Draft, pairs};
use super::{Case, PASSPHRASE, Pairs, case, cipher, context, keyring, passphrase};
use crate::envelope::EnvelopeCipher;
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

const LABELS: Pairs = &[("phi-envelope", "keyring/1")];

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

pub(super) fn cases() -> Vec<Case> {
    [good(), contents(), envelopes()]
        .into_iter()
        .flatten()
        .collect()
}

fn good() -> Vec<Case> {
    vec![
        case(
            "keyring_file",
            "Five keys, one of each state, under a passphrase.",
            || sealed(&content()).passphrase(PASSPHRASE).holds(),
        ),
        case(
            "keyring_file_under_a_master_key",
            "Sealed under a key from elsewhere.",
            || {
                let json = content().to_string();
                let file = cipher(1).encrypt(json, &context(LABELS, &[])).unwrap();
                Case::keyring_file(file).key(1).holds()
            },
        ),
        case(
            "keyring_file_updated",
            "The same data key and slot as before, and so a message id.",
            || {
                let mut draft = Draft::labelled(&[(b"phi-envelope", b"keyring/1")]);
                draft.message_id = Some([0x4D; 16]);
                Case::keyring_file(draft.seal(content().to_string().as_bytes()))
                    .key(1)
                    .holds()
            },
        ),
        case(
            "keyring_file_with_unknown_fields",
            "Fields that this version does not know are no error.",
            || {
                let mut content = content();
                content["x-purpose"] = json!({"of": ["a later version"]});
                content["keys"][4]["x-origin"] = json!("a ceremony");
                sealed(&content).passphrase(PASSPHRASE).holds()
            },
        ),
    ]
}

/// Whole envelopes whose content is no keyring.
fn contents() -> Vec<Case> {
    let fails = |error: &'static str, edit: fn(&mut Value)| {
        let mut content = content();
        edit(&mut content);
        sealed(&content).passphrase(PASSPHRASE).fails(error)
    };
    vec![
        case("keyring_file_not_json", "The content is text.", || {
            sealed_bytes(b"a keyring")
                .passphrase(PASSPHRASE)
                .fails("malformed/keyring/json")
        }),
        case(
            "keyring_file_not_utf8",
            "The content is JSON in Latin-1.",
            || {
                sealed_bytes(b"{\"version\": 1, \"keys\": [], \"caf\xe9\": 0}")
                    .passphrase(PASSPHRASE)
                    .fails("malformed/keyring/json")
            },
        ),
        case(
            "keyring_file_of_version_2",
            "A later version of the content.",
            || {
                fails("malformed/keyring/version", |content| {
                    content["version"] = json!(2)
                })
            },
        ),
        case("keyring_file_without_keys", "No list of keys.", || {
            fails("malformed/keyring/json", |content| {
                content["keys"] = Value::Null
            })
        }),
        case(
            "keyring_file_of_an_unknown_state",
            "A state that there is not.",
            || {
                fails("malformed/keyring/json", |content| {
                    content["keys"][1]["state"] = json!("retired")
                })
            },
        ),
        case("keyring_file_with_a_short_id", "An id of 15 bytes.", || {
            fails("malformed/keyring/json", |content| {
                content["keys"][1]["id"] = json!(STANDARD.encode([1; 15]));
            })
        }),
        case(
            "keyring_file_with_a_short_key",
            "A key of 31 bytes.",
            || {
                fails("malformed/master-key-text", |content| {
                    content["keys"][1]["key"] = json!(STANDARD.encode([1; 31]));
                })
            },
        ),
        case(
            "keyring_file_without_an_active_key",
            "The active key is deactivated.",
            || {
                fails("malformed/keyring/active-keys", |content| {
                    content["keys"][4]["state"] = json!("deactivated");
                })
            },
        ),
        case(
            "keyring_file_with_two_active_keys",
            "A second key is active.",
            || {
                fails("malformed/keyring/active-keys", |content| {
                    content["keys"][3]["state"] = json!("active");
                })
            },
        ),
        case(
            "keyring_file_with_one_id_twice",
            "Two keys have one id.",
            || {
                fails("malformed/keyring/duplicate-id", |content| {
                    content["keys"][3]["id"] = content["keys"][4]["id"].clone();
                })
            },
        ),
        case(
            "keyring_file_with_a_destroyed_key_that_is_there",
            "A destroyed key has its material.",
            || {
                fails("malformed/keyring/material", |content| {
                    content["keys"][0]["key"] = json!(STANDARD.encode([1; 32]));
                })
            },
        ),
        case(
            "keyring_file_with_a_key_that_is_gone",
            "A deactivated key has no material.",
            || {
                fails("malformed/keyring/material", |content| {
                    content["keys"][3]["key"] = Value::Null
                })
            },
        ),
    ]
}

/// Whole keyrings in an envelope that is no keyring's file, or that the reader cannot open.
fn envelopes() -> Vec<Case> {
    let labelled = |labels: &[(&[u8], &[u8])]| {
        let draft = Draft::labelled(labels);
        Case::keyring_file(draft.seal(content().to_string().as_bytes()))
            .key(1)
            .fails("malformed/keyring/label")
    };
    vec![
        case(
            "keyring_file_without_its_label",
            "A record without labels.",
            || labelled(&[]),
        ),
        case(
            "keyring_file_of_another_label",
            "A record labelled as evidence.",
            || labelled(&[(b"phi-envelope", b"evidence/1")]),
        ),
        case(
            "keyring_file_of_a_further_label",
            "A label beside the one that there is to be.",
            || labelled(&[(b"phi-envelope", b"keyring/1"), (b"tenant", b"clinic-7")]),
        ),
        case(
            "keyring_file_with_bindings",
            "A keyring's file has no bindings.",
            || {
                let mut draft = Draft::labelled(&[(b"phi-envelope", b"keyring/1")]);
                draft.bindings = pairs(&[(b"patient", b"MRN-0042")]);
                Case::keyring_file(draft.seal(content().to_string().as_bytes()))
                    .key(1)
                    .fails("malformed/keyring/label")
            },
        ),
        case(
            "keyring_file_under_another_passphrase",
            "The passphrase is wrong.",
            || {
                sealed(&content())
                    .passphrase("another")
                    .fails("wrong-passphrase")
            },
        ),
        case(
            "keyring_file_under_another_master_key",
            "The reader has another key.",
            || {
                let cipher = EnvelopeCipher::new(keyring(1));
                let json = content().to_string();
                Case::keyring_file(cipher.encrypt(json, &context(LABELS, &[])).unwrap())
                    .key(2)
                    .fails("no-matching-key")
            },
        ),
    ]
}

impl Case {
    fn holds(mut self) -> Self {
        self.opens = Some(super::Opens::Keys { keys: HELD });
        self
    }
}

/// In the order of names, which every map of `serde_json` keeps.
fn content() -> Value {
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
    json!({"keys": HELD.iter().map(key).collect::<Vec<_>>(), "version": 1})
}

fn sealed(content: &Value) -> Case {
    sealed_bytes(content.to_string().as_bytes())
}

fn sealed_bytes(content: &[u8]) -> Case {
    let cipher = EnvelopeCipher::new(passphrase(PASSPHRASE));
    Case::keyring_file(cipher.encrypt(content, &context(LABELS, &[])).unwrap())
}
