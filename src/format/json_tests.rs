//! The rules of FORMAT §9.1, each by itself.

use super::json::{JsonFault, decode, encode, read};

fn fault(json: &str) -> Option<JsonFault> {
    read(json.as_bytes(), &["keys", "id"]).err()
}

#[test]
fn the_rules_hold_for_fields_that_nobody_knows() {
    let with = |value: &str| fault(&format!(r#"{{"version": 1, "x": {{"y": [{value}]}}}}"#));
    for fine in [
        "0",
        "9007199254740991",
        r#""𝄞""#,
        r#""\ud834\udd1e""#,
        "null",
        "true",
        "{}",
        r#"{"a": 1, "b": 1}"#,
    ] {
        assert_eq!(with(fine), None, "{fine}");
    }
    let refused = [
        "-1",
        "-0",
        "1.0",
        "1e0",
        "1E2",
        "0.5",
        "9007199254740992",
        "18446744073709551615",
        "18446744073709551616",
        "1e999",
        "01",
        "+1",
        "NaN",
        r#""\ud834""#,
        r#""\udd1e""#,
        r#"{"a": 1, "a": 1}"#,
        r#"{"a": 1, "\u0061": 1}"#,
        "\u{feff}1",
        "1,",
        "'a'",
    ];
    for value in refused {
        assert_eq!(with(value), Some(JsonFault::Malformed), "{value}");
    }
    assert_eq!(
        fault("\u{feff}{\"version\": 1}"),
        Some(JsonFault::Malformed)
    );
    assert_eq!(fault("{\"version\": 1} x"), Some(JsonFault::Malformed));
    assert_eq!(fault("{\"version\": 1}\n "), None);
    assert_eq!(fault("[1]"), Some(JsonFault::Malformed));
    assert_eq!(fault(""), Some(JsonFault::Malformed));
}

#[test]
fn values_stand_32_deep_at_most() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        fault(&format!(r#"{{"version": 1, "x": {open}{close}}}"#))
    };
    assert_eq!(nested(32), None);
    assert_eq!(nested(33), Some(JsonFault::Malformed));
    assert_eq!(nested(100_000), Some(JsonFault::Malformed));
}

#[test]
fn the_version_is_read_before_all_other_rules_but_jsons_own() {
    for newer in ["2", "0", "9007199254740992"] {
        let json = format!(r#"{{"a": -1, "a": 1.5, "version": {newer}}}"#);
        assert_eq!(fault(&json), Some(JsonFault::Newer), "{newer}");
    }
    for malformed in [
        "-1",
        "1.0",
        "\"1\"",
        "null",
        "1, \"version\": 2",
        "2, \"version\": 1",
    ] {
        let json = format!(r#"{{"version": {malformed}}}"#);
        assert_eq!(fault(&json), Some(JsonFault::Malformed), "{malformed}");
    }
    assert_eq!(fault("{\"version\": 2"), Some(JsonFault::Malformed));
    assert_eq!(fault("{}"), Some(JsonFault::Malformed));
}

#[test]
fn a_critical_field_that_nobody_knows_is_newer() {
    let with = |critical: &str| fault(&format!(r#"{{"version": 1, "critical": {critical}}}"#));
    assert_eq!(with("[]"), None);
    assert_eq!(with(r#"["keys", "id"]"#), None);
    assert_eq!(with(r#"["keys", "quorum"]"#), Some(JsonFault::Newer));
    for malformed in ["null", "\"keys\"", "[1]", "[[]]", "{}"] {
        assert_eq!(with(malformed), Some(JsonFault::Malformed), "{malformed}");
    }
}

#[test]
fn base64_is_strict() {
    let good = encode(&[0xff; 32]);
    assert_eq!(*decode::<32>(&good).unwrap(), [0xff; 32]);
    let long = encode(&[0xff; 33]);
    for text in [
        "",
        good.trim_end_matches('='),
        &good.replace('/', "_"),
        &good.replace("8=", "9="),
        &format!("{good}\n"),
        &long,
        &encode(&[1; 3000]),
    ] {
        assert!(decode::<32>(text).is_err(), "{text}");
    }
}

#[test]
fn an_object_is_written_as_it_was_read_and_shows_no_text() {
    let json = br#"{"a":[{"key":"c2VjcmV0","n":1}],"b":"text","version":1}"#;
    let mut object = read(json, &[]).unwrap();
    assert!(!format!("{object:?}").contains("c2VjcmV0"));
    object.put("version", 1);
    assert_eq!(&object.to_json().unwrap()[..], json);
}
