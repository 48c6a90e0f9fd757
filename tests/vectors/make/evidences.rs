//! Evidence as a file (FORMAT §9.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::craft::Draft;
use super::keyrings::{Edit, encoded};
use super::{Case, Opens, PASSPHRASE, case, hex};

const CONTENT: &str = "evidence/content";
const NEWER: &str = "evidence/newer";

pub(super) fn cases() -> Vec<Case> {
    [good(), contents(), envelopes()]
        .into_iter()
        .flatten()
        .collect()
}

fn opens(name: &'static str, about: &'static str, edit: Edit) -> Case {
    case(name, about, || {
        let mut content = content();
        edit(&mut content);
        Case::evidence_file(sealed(&content)).key(1).shows(&content)
    })
}

fn fails(name: &'static str, about: &'static str, error: &'static str, edit: Edit) -> Case {
    case(name, about, || {
        let mut content = content();
        edit(&mut content);
        Case::evidence_file(sealed(&content)).key(1).fails(error)
    })
}

fn good() -> Vec<Case> {
    vec![
        opens("evidence_file", "A key of a keyring is out of use.", |_| {}),
        case(
            "evidence_file_under_a_passphrase",
            "Sealed under a passphrase.",
            || {
                let file = Draft::new(0x05, vec![0, 0]).with_passphrase(PASSPHRASE);
                Case::evidence_file(file.seal(content().to_string().as_bytes()))
                    .passphrase(PASSPHRASE)
                    .shows(&content())
            },
        ),
        opens(
            "evidence_file_of_a_services_key",
            "Evidence of a key that is in no keyring.",
            |content| {
                content["keyring"] = Value::Null;
                content["key"] = json!({"id": encoded(b"arn:aws:kms:e:1:key/1"), "scheme": 4});
            },
        ),
        opens(
            "evidence_file_with_findings",
            "What was found, in two lists, what was accepted of it, and the evidence before.",
            |content| {
                content["findings"] = json!([
                    {"class": "link-out", "path": "/archive/2019", "rule": "leads to another place"},
                    {
                        "class": "not-an-envelope",
                        "path": "/archive/caf\\xe9",
                        "path_base64": encoded(b"/archive/caf\xe9"),
                        "rule": "not-an-envelope",
                    },
                ]);
                content["more"] = json!([{"class": "link-out", "count": 3}]);
                content["accepted"] = json!([
                    {"class": "link-out", "count": 4},
                    {"class": "not-an-envelope", "count": 1},
                ]);
                content["previous"] = encoded(&[0xE1; 32]);
            },
        ),
        opens(
            "evidence_file_of_every_class",
            "A finding of each class.",
            |content| {
                content["findings"] = CLASSES
                    .iter()
                    .map(|class| json!({"class": class, "path": "/archive/x", "rule": "r"}))
                    .collect();
            },
        ),
        opens(
            "evidence_file_of_three_kinds_of_places",
            "A tree whose name is not UTF-8, rows and objects.",
            |content| {
                content["places"] = json!([
                    {
                        "bytes": 1,
                        "envelopes": 1,
                        "kind": "tree",
                        "name": "/caf\\xe9",
                        "path_base64": encoded(b"/caf\xe9"),
                    },
                    {"bytes": 2, "envelopes": 2, "kind": "rows", "name": "observations"},
                    {"bytes": 0, "envelopes": 0, "kind": "objects", "name": "s3://archive"},
                ]);
            },
        ),
        opens(
            "evidence_file_with_unknown_fields",
            "Fields that this version does not know are no error.",
            |content| {
                content["x-host"] = json!("scanner-1");
                content["places"][0]["x-shards"] = json!([1, 2]);
            },
        ),
    ]
}

const CLASSES: [&str; 12] = [
    "link-out",
    "not-an-envelope",
    "envelope-inside",
    "more-links",
    "empty-folder",
    "payload-alone",
    "header-alone",
    "excluded",
    "unreadable",
    "failed",
    "shrunk",
    "moved",
];

fn contents() -> Vec<Case> {
    vec![
        fails(
            "evidence_file_of_version_2",
            "A later version of the content.",
            NEWER,
            |content| content["version"] = json!(2),
        ),
        fails(
            "evidence_file_with_a_critical_field_of_a_later_version",
            "A name that this version does not know.",
            NEWER,
            |content| content["critical"] = json!(["witnesses"]),
        ),
        fails(
            "evidence_file_without_previous",
            "The field is null where there is none, and it is there.",
            CONTENT,
            |content| {
                content.as_object_mut().unwrap().remove("previous");
            },
        ),
        fails(
            "evidence_file_without_a_keyring",
            "The field is null for a key of a service, and it is there.",
            CONTENT,
            |content| {
                content.as_object_mut().unwrap().remove("keyring");
            },
        ),
        fails(
            "evidence_file_of_an_unknown_class",
            "A class of findings that there is not.",
            CONTENT,
            |content| {
                content["findings"] = json!([{"class": "harmless", "path": "/x", "rule": "r"}]);
            },
        ),
        fails(
            "evidence_file_that_accepts_an_unknown_class",
            "A class of findings that there is not.",
            CONTENT,
            |content| content["accepted"] = json!([{"class": "all", "count": 1}]),
        ),
        fails(
            "evidence_file_of_an_unknown_place",
            "A kind of places that there is not.",
            CONTENT,
            |content| content["places"][0]["kind"] = json!("tapes"),
        ),
        fails(
            "evidence_file_of_scheme_256",
            "A scheme is one byte.",
            CONTENT,
            |content| content["key"]["scheme"] = json!(256),
        ),
        fails(
            "evidence_file_of_a_negative_count",
            "No number has a sign.",
            CONTENT,
            |content| content["in_use"] = json!(-1),
        ),
        fails(
            "evidence_file_without_a_count",
            "How many envelopes use the key is required.",
            CONTENT,
            |content| {
                content.as_object_mut().unwrap().remove("in_use");
            },
        ),
        fails(
            "evidence_file_with_a_short_previous",
            "A hash of 31 bytes.",
            CONTENT,
            |content| content["previous"] = encoded(&[1; 31]),
        ),
        case(
            "evidence_file_with_one_name_twice",
            "How many envelopes use the key, twice.",
            || {
                let content = content().to_string();
                let twice = content.replacen(r#""in_use":0"#, r#""in_use":9,"in_use":0"#, 1);
                assert_ne!(content, twice);
                let file = Draft::new(0x05, vec![0, 0]).with_master(1);
                Case::evidence_file(file.seal(twice.as_bytes()))
                    .key(1)
                    .fails(CONTENT)
            },
        ),
    ]
}

fn envelopes() -> Vec<Case> {
    let refused = |file: Draft, error| {
        Case::evidence_file(file.seal(content().to_string().as_bytes()))
            .key(1)
            .fails(error)
    };
    vec![
        case(
            "evidence_file_that_is_a_record",
            "A record with the content of evidence.",
            || refused(Draft::record(), "malformed/other-kind"),
        ),
        case(
            "evidence_file_that_is_a_keyring",
            "A keyring's file with the content of evidence.",
            || {
                let file = super::keyrings::new_file(1).with_master(1);
                refused(file, "malformed/other-kind")
            },
        ),
        case(
            "evidence_file_of_a_service_that_does_not_authenticate",
            "The service would open it, is not asked, and nobody knows the maker.",
            || {
                let file = Draft::new(0x05, vec![0, 0]);
                let file = file.with_service(super::FAR.name, b"key-1", false);
                Case::evidence_file(file.seal(content().to_string().as_bytes()))
                    .service(super::FAR, 0)
                    .fails("maker-unknown")
            },
        ),
        case(
            "evidence_file_under_another_master_key",
            "The reader has another key.",
            || {
                Case::evidence_file(sealed(&content()))
                    .key(2)
                    .fails("no-matching-key")
            },
        ),
    ]
}

impl Case {
    /// The file opens, and says what its content says.
    fn shows(mut self, content: &Value) -> Self {
        let hexed = |text: &Value| hex(&STANDARD.decode(text.as_str().unwrap()).unwrap());
        let stated = &content["keyring"];
        self.opens = Some(Opens::Evidence {
            keyring: (!stated.is_null()).then(|| hexed(&stated["id"])),
            revision: stated["revision"].as_u64(),
            scheme: content["key"]["scheme"].as_u64().unwrap(),
            key_id: hexed(&content["key"]["id"]),
            began: content["began"].as_u64().unwrap(),
            places: content["places"].as_array().unwrap().len(),
            findings: content["findings"].as_array().unwrap().len(),
            in_use: content["in_use"].as_u64().unwrap(),
        });
        self
    }
}

pub(super) fn content() -> Value {
    json!({
        "accepted": [],
        "began": 1_800_000_000,
        "ended": 1_800_000_050,
        "findings": [],
        "in_use": 0,
        "key": {"id": encoded(&[0xC4; 16]), "scheme": 1},
        "keyring": {"id": encoded(&[0x1D; 16]), "revision": 7},
        "opened": 4,
        "places": [{"bytes": 5_000, "envelopes": 4, "kind": "tree", "name": "/archive"}],
        "previous": null,
        "settled_since": 1_799_998_799,
        "version": 1,
    })
}

fn sealed(content: &Value) -> Vec<u8> {
    let file = Draft::new(0x05, vec![0, 0]).with_master(1);
    file.seal(content.to_string().as_bytes())
}
