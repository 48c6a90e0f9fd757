//! The JSON of files of the format's own, shown by a keyring's (FORMAT §9.1).

use serde_json::json;

use super::keyrings::{content, fails, opens, sealed_bytes};
use super::{Case, case};

const JSON: &str = "malformed/keyring/json";
const NEWER: &str = "malformed/keyring/version";

pub(super) fn cases() -> Vec<Case> {
    [texts(), numbers(), nesting(), versions()]
        .into_iter()
        .flatten()
        .collect()
}

/// A file of this content, which does not open.
fn refused(
    name: &'static str,
    about: &'static str,
    error: &'static str,
    content: impl AsRef<[u8]>,
) -> Case {
    case(name, about, || {
        Case::keyring_file(sealed_bytes(1, content.as_ref()))
            .key(1)
            .fails(error)
    })
}

/// The content with another field in front.
fn with(field: &str) -> String {
    content()
        .to_string()
        .replacen('{', &format!("{{{field},"), 1)
}

/// A file with another field in front, which opens.
fn accepted(name: &'static str, about: &'static str, field: &str) -> Case {
    case(name, about, || {
        Case::keyring_file(sealed_bytes(1, with(field).as_bytes()))
            .key(1)
            .holds(&content())
    })
}

fn texts() -> Vec<Case> {
    let latin = [
        &b"{\"caf\xe9\":0,"[..],
        &content().to_string().as_bytes()[1..],
    ]
    .concat();
    vec![
        refused(
            "keyring_file_not_json",
            "The content is text.",
            JSON,
            "a keyring",
        ),
        refused("keyring_file_not_utf8", "A name in Latin-1.", JSON, latin),
        refused("keyring_file_empty", "No content.", JSON, ""),
        refused(
            "keyring_file_in_an_array",
            "The content is an array of a keyring.",
            JSON,
            format!("[{}]", content()),
        ),
        refused(
            "keyring_file_with_more_behind_it",
            "A second object behind the first.",
            JSON,
            format!("{}{{}}", content()),
        ),
        refused(
            "keyring_file_with_a_byte_order_mark",
            "U+FEFF in front.",
            JSON,
            format!("\u{feff}{}", content()),
        ),
        refused(
            "keyring_file_with_a_lone_surrogate",
            "The first half of a pair, in a field that this version does not know.",
            JSON,
            with(r#""x":"\ud83d""#),
        ),
        refused(
            "keyring_file_with_a_surrogate_in_a_name",
            "The second half of a pair, in the name of a field.",
            JSON,
            with(r#""\ude00":0"#),
        ),
        accepted(
            "keyring_file_with_a_pair_of_surrogates",
            "Both halves, in a field that this version does not know.",
            r#""x":"\ud83d\ude00""#,
        ),
        refused(
            "keyring_file_with_one_name_twice",
            "The revision, twice and equal.",
            JSON,
            with(r#""revision":1"#),
        ),
        refused(
            "keyring_file_with_one_unknown_name_twice",
            "A field that this version does not know, within another.",
            JSON,
            with(r#""x":[{"y":0,"y":0}]"#),
        ),
        refused(
            "keyring_file_with_one_name_twice_and_once_escaped",
            "Names are compared after unescaping.",
            JSON,
            with(r#""x":0,"\u0078":0"#),
        ),
        fails(
            "keyring_file_with_trailing_bits_in_base64",
            "The last character of an id has a bit that belongs to no byte.",
            JSON,
            |content| {
                let id = content["id"].as_str().unwrap();
                assert!(id.ends_with("Q=="));
                content["id"] = json!(id.replace("Q==", "R=="));
            },
        ),
        fails(
            "keyring_file_with_base64_not_padded",
            "An id without its padding.",
            JSON,
            |content| {
                let id = content["id"].as_str().unwrap();
                content["id"] = json!(id.trim_end_matches('='));
            },
        ),
        fails(
            "keyring_file_with_base64url",
            "The other alphabet.",
            JSON,
            |content| {
                content["id"] = json!("_________________A==".replace("_A", "_w"));
            },
        ),
        fails(
            "keyring_file_with_a_line_end_in_base64",
            "White space within an id.",
            JSON,
            |content| {
                let id = content["id"].as_str().unwrap();
                content["id"] = json!(format!("{id}\n"));
            },
        ),
    ]
}

fn numbers() -> Vec<Case> {
    vec![
        accepted(
            "keyring_file_with_the_greatest_number",
            "2^53 − 1, in a field that this version does not know.",
            r#""x":9007199254740991"#,
        ),
        refused(
            "keyring_file_with_a_greater_number",
            "2^53, in a field that this version does not know.",
            JSON,
            with(r#""x":9007199254740992"#),
        ),
        refused(
            "keyring_file_with_a_huge_number",
            "As many digits as fit into no integer.",
            JSON,
            with(r#""x":100000000000000000000000000000000"#),
        ),
        refused(
            "keyring_file_with_a_sign",
            "A negative number, in a field that this version does not know.",
            JSON,
            with(r#""x":-1"#),
        ),
        refused(
            "keyring_file_with_a_negative_zero",
            "A sign, whatever follows it.",
            JSON,
            with(r#""x":-0"#),
        ),
        refused(
            "keyring_file_with_a_fraction",
            "1.0 is no integer here.",
            JSON,
            with(r#""x":1.0"#),
        ),
        refused(
            "keyring_file_with_an_exponent",
            "1e2 is no integer here.",
            JSON,
            with(r#""x":1e2"#),
        ),
        refused(
            "keyring_file_whose_revision_has_a_fraction",
            "A known field keeps the same rule.",
            JSON,
            content()
                .to_string()
                .replace(r#""revision":1"#, r#""revision":1.0"#),
        ),
    ]
}

fn nesting() -> Vec<Case> {
    let deep = |depth: usize| format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    vec![
        accepted(
            "keyring_file_nested_32_deep",
            "31 arrays in the outermost object.",
            &deep(31),
        ),
        refused(
            "keyring_file_nested_33_deep",
            "32 arrays in the outermost object.",
            JSON,
            with(&deep(32)),
        ),
        refused(
            "keyring_file_nested_1000_deep",
            "Deeper than many a parser has room for.",
            JSON,
            with(&deep(1000)),
        ),
    ]
}

fn versions() -> Vec<Case> {
    let of_version = |version: &str| {
        let stated = format!(r#""version":{version}"#);
        content().to_string().replace(r#""version":1"#, &stated)
    };
    vec![
        refused(
            "keyring_file_of_version_2",
            "A later version of the content.",
            NEWER,
            of_version("2"),
        ),
        refused(
            "keyring_file_of_version_2_by_other_rules",
            "The version is read before all other rules but JSON's own.",
            NEWER,
            r#"{"version":2,"keys":-1.5,"x":0,"x":0}"#,
        ),
        refused(
            "keyring_file_whose_version_is_text",
            "A wrong type.",
            JSON,
            of_version("\"1\""),
        ),
        refused(
            "keyring_file_without_a_version",
            "The version is required.",
            JSON,
            content().to_string().replace(r#","version":1"#, ""),
        ),
        opens(
            "keyring_file_with_an_empty_list_of_critical_fields",
            "No field is critical.",
            |content| content["critical"] = json!([]),
        ),
        fails(
            "keyring_file_with_a_critical_field_of_a_later_version",
            "A name that this version does not know, of a field that is not there.",
            NEWER,
            |content| content["critical"] = json!(["lease", "quorum"]),
        ),
        fails(
            "keyring_file_whose_critical_fields_are_text",
            "A wrong type.",
            JSON,
            |content| content["critical"] = json!("lease"),
        ),
        fails(
            "keyring_file_whose_critical_fields_are_numbers",
            "A wrong type.",
            JSON,
            |content| content["critical"] = json!([1]),
        ),
    ]
}
