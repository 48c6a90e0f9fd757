//! Keyrings' files whose content breaks a rule of FORMAT §9.2, or of §11 as far as such a file needs it.

use serde_json::{Value, json};

use super::Case;
use super::keyrings::{encoded, fails, opens};

pub(super) fn cases() -> Vec<Case> {
    [keys(), fields(), index_keys()]
        .into_iter()
        .flatten()
        .collect()
}

fn keys() -> Vec<Case> {
    vec![
        fails(
            "keyring_file_of_an_unknown_state",
            "A state that there is not.",
            "malformed/keyring/json",
            |content| content["keys"][1]["state"] = json!("retired"),
        ),
        fails(
            "keyring_file_with_a_short_id",
            "A key's id of 15 bytes.",
            "malformed/keyring/json",
            |content| content["keys"][1]["id"] = encoded(&[1; 15]),
        ),
        fails(
            "keyring_file_with_a_short_key",
            "A key of 31 bytes.",
            "malformed/master-key-text",
            |content| content["keys"][1]["key"] = encoded(&[1; 31]),
        ),
        fails(
            "keyring_file_without_an_active_key",
            "The active key is deactivated.",
            "malformed/keyring/active-keys",
            |content| content["keys"][4]["state"] = json!("deactivated"),
        ),
        fails(
            "keyring_file_with_two_active_keys",
            "A second key is active.",
            "malformed/keyring/active-keys",
            |content| content["keys"][3]["state"] = json!("active"),
        ),
        fails(
            "keyring_file_with_one_id_twice",
            "Two keys have one id.",
            "malformed/keyring/duplicate-id",
            |content| content["keys"][3]["id"] = content["keys"][4]["id"].clone(),
        ),
        fails(
            "keyring_file_with_a_destroyed_key_that_is_there",
            "A destroyed key has its material.",
            "malformed/keyring/material",
            |content| content["keys"][0]["key"] = encoded(&[1; 32]),
        ),
        fails(
            "keyring_file_with_a_key_that_is_gone",
            "A deactivated key has no material.",
            "malformed/keyring/material",
            |content| content["keys"][3]["key"] = Value::Null,
        ),
        fails(
            "keyring_file_with_a_key_without_its_field",
            "A destroyed key's material is null, and the field is there.",
            "malformed/keyring/json",
            |content| {
                content["keys"][0].as_object_mut().unwrap().remove("key");
            },
        ),
        fails(
            "keyring_file_with_evidence_of_a_key_in_use",
            "A deactivated key has the hash of evidence.",
            "malformed/keyring/material",
            |content| content["keys"][3]["evidence"] = encoded(&[0xE1; 32]),
        ),
        fails(
            "keyring_file_with_short_evidence",
            "A hash of 31 bytes.",
            "malformed/keyring/json",
            |content| content["keys"][0]["evidence"] = encoded(&[0xE1; 31]),
        ),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        fails(
            "keyring_file_without_keys",
            "No list of keys.",
            "malformed/keyring/json",
            |content| content["keys"] = Value::Null,
        ),
        fails(
            "keyring_file_without_an_id",
            "The keyring's id is required.",
            "malformed/keyring/json",
            |content| {
                content.as_object_mut().unwrap().remove("id");
            },
        ),
        fails(
            "keyring_file_with_a_long_id",
            "The keyring's id has 17 bytes.",
            "malformed/keyring/json",
            |content| content["id"] = encoded(&[1; 17]),
        ),
        fails(
            "keyring_file_without_a_revision",
            "The revision is required.",
            "malformed/keyring/json",
            |content| {
                content.as_object_mut().unwrap().remove("revision");
            },
        ),
        fails(
            "keyring_file_of_no_lease",
            "A lease of 0 seconds.",
            "malformed/keyring/lease",
            |content| content["lease"] = json!(0),
        ),
        fails(
            "keyring_file_of_a_longer_lease",
            "A lease of a day and a second.",
            "malformed/keyring/lease",
            |content| content["lease"] = json!(86_401),
        ),
        fails(
            "keyring_file_whose_lease_is_text",
            "A wrong type.",
            "malformed/keyring/json",
            |content| content["lease"] = json!("900"),
        ),
        fails(
            "keyring_file_whose_change_of_lease_is_text",
            "A wrong type.",
            "malformed/keyring/json",
            |content| content["lease_changed"] = json!("never"),
        ),
    ]
}

// FORMAT §11, as far as a keyring's file needs it.
fn index_keys() -> Vec<Case> {
    const INDEX_KEYS: &str = "malformed/keyring/index-keys";
    vec![
        opens(
            "keyring_file_with_index_keys",
            "Three index keys, one of each state.",
            |content| {
                content["index_keys"] = json!([
                    index_key(1, "destroyed"),
                    index_key(2, "previous"),
                    index_key(255, "active"),
                ]);
            },
        ),
        fails(
            "keyring_file_with_an_index_key_0",
            "Numbers begin at 1.",
            INDEX_KEYS,
            |content| content["index_keys"] = json!([index_key(0, "active")]),
        ),
        fails(
            "keyring_file_with_an_index_key_256",
            "255 is the last number.",
            INDEX_KEYS,
            |content| content["index_keys"] = json!([index_key(256, "active")]),
        ),
        fails(
            "keyring_file_with_one_index_number_twice",
            "Numbers never repeat.",
            INDEX_KEYS,
            |content| {
                let mut other = index_key(1, "previous");
                other["id"] = encoded(&[9; 16]);
                content["index_keys"] = json!([index_key(1, "active"), other]);
            },
        ),
        fails(
            "keyring_file_with_two_active_index_keys",
            "At most one index key is active.",
            INDEX_KEYS,
            |content| {
                content["index_keys"] = json!([index_key(1, "active"), index_key(2, "active")]);
            },
        ),
    ]
}

fn index_key(number: u64, state: &str) -> Value {
    let [.., byte] = number.to_be_bytes();
    json!({
        "changed": 1_798_761_600,
        "created": 1_767_225_600,
        "id": encoded(&[byte; 16]),
        "key": if state == "destroyed" { Value::Null } else { encoded(&[byte; 32]) },
        "label": "mrn",
        "number": number,
        "state": state,
    })
}
