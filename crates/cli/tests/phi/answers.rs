//! The JSON of every command has these fields and no others.

use serde_json::Value;

use crate::archives::{archive, key_of};
use crate::support::Shell;

const FILE: &str = "header_damage path plaintext_bytes seconds";
const INSPECTED: &str = "block_length blocks_alike data_key_id file_bytes generation has_bindings header_bytes kind labels \
     message_id path plaintext_bytes segment_length slots";

const TALLY: &str = "bytes files";

#[test]
fn json_lines_have_stable_fields() {
    let shell = archive();
    let old = key_of(&shell);
    shell.done("keyring rotate k --label two");
    let lines = |call: &str| {
        let mut lines = shell.run(&format!("{call} --json")).lines();
        let last = lines.pop().unwrap();
        (lines, last)
    };
    let of = |lines: &[Value], path: &str| {
        let line = lines.iter().find(|line| line["path"] == path);
        fields(line.unwrap())
    };
    let (files, last) = lines("inventory arch --keyring k --files");
    assert_eq!(fields(&last), "changes command summary verified");
    assert_eq!(
        fields(&last["summary"]),
        "blocks_differ compact_records damaged detached_headers detached_payloads excluded files keys not_envelopes own_files records special streams symlinks \
         taken temporary unreadable"
    );
    assert_eq!(fields(&last["summary"]["files"]), TALLY);
    assert_eq!(
        fields(&last["summary"]["keys"]["listed"][0]),
        "key_id label name newest oldest scheme state tally"
    );
    let sealed = "blocks_alike bytes generation is labels modified path slots";
    assert_eq!(of(&files, "arch/a"), sealed);
    let damaged = "bytes error is message modified path";
    assert_eq!(of(&files, "arch/damaged"), damaged);

    let (files, last) = lines(&format!("exposure arch --key {old} --files"));
    assert_eq!(fields(&last), "command summary verified");
    assert_eq!(
        fields(&last["summary"]),
        "damaged detached_payloads not_envelopes not_readable not_readable_but_changed not_readable_under passed_over readable \
         readable_by readable_keyrings taken unreadable"
    );
    let readable = "bytes exposed generation keys modified path";
    assert_eq!(of(&files, "arch/a"), readable);

    let (files, last) = lines("rewrap -r arch --keyring k");
    assert_eq!(fields(&last), "command dry_run error summary");
    let rewrapped = "bytes current done failed not_envelopes not_kept passed_over reencrypted stopped would_change";
    assert_eq!(fields(&last["summary"]), rewrapped);
    let failed = "bytes error message outcome path";
    assert_eq!(of(&files, "arch/damaged"), failed);

    let (files, last) = lines(&format!("retire {old} arch --keyring k --evidence e"));
    assert_eq!(fields(&last), "command error evidence key summary");
    assert_eq!(
        fields(&last["summary"]),
        "destroyed evidence found in_use not_before rewrapped"
    );
    assert_eq!(fields(&last["summary"]["rewrapped"]), rewrapped);
    assert_eq!(
        fields(&last["summary"]["evidence"]),
        "accepted began ended findings in_use key keyring more opened places previous settled_since version"
    );
    assert_eq!(of(&files, "arch/damaged"), failed);
}

#[test]
fn every_command_has_stable_fields() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 5_000);
    shell.done("keyring new c --label third");
    let on_stdout = |call: &str, name: &str, expected: &str| {
        let ran = shell.done(&format!("{call} --json"));
        assert!(ran.stderr.is_empty(), "{call}: {}", ran.stderr_text());
        let json = ran.json();
        assert_eq!(json["command"], name);
        assert_eq!(fields(&json), expected, "{call}");
        json
    };
    let key_fields = "changed created evidence id label state";
    let keyring = "command id key keys last_confirmed lease lease_changed path revision slots";
    let made = on_stdout("keyring new n --label one", "keyring new", keyring);
    assert_eq!(fields(&made["key"]), key_fields);
    let id = made["key"]["id"].as_str().unwrap();
    assert_eq!(id.len(), 32);
    let rotated = on_stdout("keyring rotate n --label two", "keyring rotate", keyring);
    assert_eq!(rotated["key"]["label"], "two");
    let listed = on_stdout("keyring list n", "keyring list", keyring);
    assert_eq!(listed["key"], Value::Null);
    assert_eq!(fields(&listed["keys"][1]), key_fields);
    assert!(listed["keys"][0]["created"].as_u64().unwrap() > 1_700_000_000);
    let set = format!("keyring set-state n {id} suspended");
    on_stdout(&set, "keyring set-state", keyring);
    let destroy = format!("keyring destroy n {id} --yes-destroy --without-evidence");
    on_stdout(&destroy, "keyring destroy", keyring);
    let passwd = "keyring passwd n --new-master-key-file .other-master";
    on_stdout(passwd, "keyring passwd", "command path");

    let sealed = "command header input output plaintext_bytes seconds";
    let json = on_stdout("encrypt --keyring k plain", "encrypt", sealed);
    assert_eq!(json["output"], "plain.phi");
    let opened = "command header_damage input output plaintext_bytes seconds";
    on_stdout("decrypt --keyring k plain.phi -o out", "decrypt", opened);
    let verified = on_stdout("verify --keyring k plain.phi", "verify", "command files");
    assert_eq!(fields(&verified["files"][0]), FILE);
    let inspected = on_stdout("inspect plain.phi k", "inspect", "command files verified");
    assert_eq!(inspected["verified"], false);
    for file in inspected["files"].as_array().unwrap() {
        assert_eq!(fields(file), INSPECTED);
        assert_eq!(
            fields(&file["slots"][0]),
            "key_id name scheme scheme_number"
        );
    }
    assert_eq!(inspected["files"][1]["kind"], "keyring");
    let rewrapped = on_stdout("rewrap --keyring k plain.phi", "rewrap", "command files");
    assert_eq!(fields(&rewrapped["files"][0]), "changed path");
    let anew = "command header_damage path plaintext_bytes seconds";
    on_stdout("reencrypt --keyring k plain.phi", "reencrypt", anew);
    let repack = "repack --keyring k --block-length 8192 plain.phi";
    on_stdout(repack, "repack", "command path");
    let add = "recipient add --keyring k --to-keyring c plain.phi";
    on_stdout(add, "recipient add", "command path");
    let replace =
        "recipient replace --keyring k --from-keyring k --to-passphrase-file .master plain.phi";
    // Read with c from here on.
    on_stdout(replace, "recipient replace", "command path");
    let remove = "recipient remove --keyring c --from-passphrase plain.phi";
    on_stdout(remove, "recipient remove", "command path");

    let cat = shell.done("cat --keyring c --range 5..9 plain.phi --json");
    let json = cat.stderr_json();
    assert_eq!(
        fields(&json),
        "bytes command header_damage input seconds start"
    );
    assert_eq!((&json["bytes"], cat.stdout.len()), (&4.into(), 4));
    let failed = shell.run("cat --keyring k plain.phi --json");
    assert_eq!(fields(&failed.stderr_json()), "error");
    assert_eq!(
        fields(&failed.stderr_json()["error"]),
        "exit_code kind message"
    );
}

fn fields(object: &Value) -> String {
    let mut names: Vec<_> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.join(" ")
}

/// A frozen envelope that has a slot of each scheme but a passphrase's.
#[test]
fn inspect_names_every_slot_and_every_kind() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let shell = Shell::with_keyring();
    let vector =
        include_str!("../../../../tests/vectors/inspected_record_with_slots_of_every_scheme.json");
    let vector: Value = serde_json::from_str(vector).unwrap();
    let lines = vector["envelope"].as_array().unwrap();
    let text: String = lines.iter().map(|line| line.as_str().unwrap()).collect();
    shell.write("slots", &STANDARD.decode(text).unwrap());
    let answer = shell.json("inspect slots k --json");
    let file = &answer["files"][0];
    let mut schemes = Vec::new();
    for slot in file["slots"].as_array().unwrap() {
        let (scheme, name) = (
            slot["scheme"].as_str().unwrap(),
            slot["name"].as_str().unwrap(),
        );
        let number = slot["scheme_number"].as_u64().unwrap();
        if scheme == "unknown" {
            assert!(
                name.starts_with(&format!("scheme {number:#04x} ")),
                "{name}"
            );
        } else if scheme != "external" {
            assert!(name.starts_with(scheme), "{scheme}: {name}");
        }
        schemes.push(scheme);
    }
    for scheme in [
        "keyring",
        "recipient",
        "aws-kms",
        "transit",
        "pkcs11",
        "google-kms",
        "azure-key-vault",
        "external",
    ] {
        assert!(schemes.contains(&scheme), "{scheme}: {schemes:?}");
    }
    let told = shell.done("inspect slots").stdout_text();
    assert!(told.contains("aws-kms arn:"), "{told}");
    assert_eq!(answer["files"][1]["kind"], "keyring");
}
