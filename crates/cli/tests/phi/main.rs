//! The program `phi`, as a shell meets it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod answers;
mod archives;
mod folders;
mod key_files;
mod keyrings;
mod kills;
#[cfg(target_os = "linux")]
mod limits;
mod names;
mod odd_folders;
#[cfg(target_os = "linux")]
mod process;
mod recipients;
mod retiring;
mod secrets;
mod streams;
mod support;
mod telling;

use std::fs;

use support::{PASSPHRASE, Shell};

/// The calls of the manual, as they stand there.
#[test]
fn nine_calls() {
    let shell = Shell::new().passphrase(PASSPHRASE);
    let ndjson = shell.plaintext("Patient.ndjson", 300_000);
    shell.done("keyring new ehr.keyring --label ehr-2026");
    shell.done(
        "encrypt --keyring ehr.keyring --label tenant=clinic-7 --bind export=42 Patient.ndjson -o Patient.ndjson.phi",
    );
    let inspected = shell.json("inspect Patient.ndjson.phi --json");
    let file = &inspected["files"][0];
    assert_eq!(file["kind"], "stream-inline");
    assert_eq!(file["labels"]["tenant"], "clinic-7");
    assert_eq!(file["plaintext_bytes"], 300_000);
    let old = file["slots"][0]["key_id"].clone();
    shell.done("verify  --keyring ehr.keyring --bind export=42 Patient.ndjson.phi");
    let cat = shell.done(
        "cat     --keyring ehr.keyring --bind export=42 --range 1000..1200 Patient.ndjson.phi",
    );
    assert_eq!(cat.stdout, &ndjson[1000..1200]);
    shell.done("keyring rotate ehr.keyring --label ehr-2027");
    shell.done("rewrap  --keyring ehr.keyring Patient.ndjson.phi");
    shell.done("decrypt --keyring ehr.keyring --bind export=42 Patient.ndjson.phi -o out.ndjson");
    assert_eq!(shell.read("out.ndjson"), ndjson);
    let rewrapped = shell.json("inspect Patient.ndjson.phi --json");
    assert_ne!(rewrapped["files"][0]["slots"][0]["key_id"], old);
    assert_eq!(rewrapped["files"][0]["generation"], 1);
    assert_eq!(
        shell.names(),
        [
            "Patient.ndjson",
            "Patient.ndjson.phi",
            "ehr.keyring",
            "out.ndjson"
        ]
    );
}

#[test]
fn exit_codes_and_kinds() {
    let shell = Shell::with_keyring();
    shell.plaintext("plain", 20_000);
    shell.done("encrypt --keyring k plain --bind export=42 --label tenant=clinic-7");
    shell.done("verify --keyring k --bind export=42 --label tenant=clinic-7 plain.phi");
    let refused = |call: &str, code: i32, kind: &str| {
        let ran = shell.run(&format!("{call} --json"));
        assert_eq!(ran.code, code, "{call}: {}", ran.text());
        let error = &ran.json()["error"];
        assert_eq!(
            (&error["kind"], &error["exit_code"]),
            (&kind.into(), &code.into()),
            "{call}"
        );
        assert!(error["message"].is_string());
        assert_eq!(shell.run(call).code, code);
        assert!(!shell.run(call).stderr.is_empty());
    };
    let whole = shell.read("plain.phi");
    shell.write("cut", &whole[..whole.len() - 10_000]);
    let mut flipped = whole.clone();
    flipped[15_000] ^= 1;
    shell.write("flipped", &flipped);
    shell.write("cut-in-header", &whole[..100]);
    refused("verify --keyring k --bind export=42 missing.phi", 1, "io");
    refused(
        "verify --keyring k --bind export=42 plain",
        1,
        "not-an-envelope",
    );
    refused(
        "verify --keyring k --bind export=42 cut-in-header",
        1,
        "truncated",
    );
    refused("encrypt --keyring k plain", 1, "io"); // plain.phi is there
    refused("encrypt --keyring nowhere plain -o new", 1, "io");
    refused("verify --keyring k --bind export=42", 2, "usage");
    refused(
        "verify --keyring k --bind export=42 --colour plain.phi",
        2,
        "usage",
    );
    refused("verify --keyring k --bind export plain.phi", 2, "usage");
    refused("decrypt --keyring k --bind export=42 plain", 2, "usage");
    refused(
        "cat --keyring k --bind export=42 --range 9..3 plain.phi",
        2,
        "usage",
    );
    refused(
        "encrypt --keyring k --segment-length 5 plain -o new",
        2,
        "usage",
    );
    refused("keyring set-state k 12 suspended", 2, "usage");
    refused("verify --keyring k --bind export=42 cut", 1, "truncated");
    refused(
        "verify --keyring k --bind export=42 flipped",
        3,
        "authentication-failed",
    );
    refused(
        "decrypt --keyring k --bind export=42 flipped -o new",
        3,
        "authentication-failed",
    );
    refused(
        "verify --keyring k --bind export=43 plain.phi",
        3,
        "context-mismatch",
    );
    refused("verify --keyring k plain.phi", 3, "context-mismatch");
    refused(
        "verify --keyring k --bind export=42 --label tenant=x plain.phi",
        3,
        "context-mismatch",
    );
    shell.done("keyring new other --label other");
    refused(
        "verify --keyring other --bind export=42 plain.phi",
        4,
        "no-matching-key",
    );
    assert!(!shell.exists("new"));
    let stranger = shell.with_other_secret();
    assert_eq!(stranger.run("keyring list k").code, 4);
}

#[test]
fn wrong_passphrase_and_none() {
    let shell = Shell::new().passphrase(PASSPHRASE);
    shell.done("keyring new k --label one");
    let wrong = shell
        .clone()
        .passphrase("wrong-horse")
        .run("keyring list k --json");
    assert_eq!(
        (wrong.code, &wrong.json()["error"]["kind"]),
        (4, &"wrong-passphrase".into())
    );
    // No terminal: a usage error, and no waiting.
    let none = shell.clone().no_passphrase();
    for call in [
        "keyring list k",
        "keyring new n --label n",
        "keyring passwd k",
    ] {
        let ran = none.run(call);
        assert_eq!(ran.code, 2, "{call}");
        assert!(
            ran.stderr_text().contains("PHI_PASSPHRASE"),
            "{}",
            ran.stderr_text()
        );
    }
    let no_new = shell.run("keyring passwd k");
    assert_eq!(no_new.code, 2);
    assert!(no_new.stderr_text().contains("PHI_NEW_PASSPHRASE"));
    assert_eq!(shell.clone().passphrase("").run("keyring list k").code, 2);
}

#[test]
fn of_several_files_the_worst_code() {
    let shell = Shell::with_keyring();
    shell.plaintext("a", 5_000);
    shell.plaintext("b", 5_000);
    shell.done("encrypt --keyring k a");
    shell.done("encrypt --keyring k b --bind x=y");
    let verified = shell.run("verify --keyring k b.phi missing a.phi --json");
    assert_eq!(verified.code, 3);
    let json = verified.json();
    assert_eq!(json["error"]["kind"], "context-mismatch");
    assert_eq!(json["files"][0]["error"]["kind"], "context-mismatch");
    assert_eq!(json["files"][1]["error"]["exit_code"], 1);
    assert_eq!(json["files"][2]["plaintext_bytes"], 5_000);
    // No key comes before a wrong context, which comes before a file that is not there.
    shell.done("keyring new other --label other");
    shell.done("encrypt --keyring other a -o c");
    for files in ["c missing b.phi", "missing b.phi c", "b.phi c a.phi"] {
        let verified = shell.run(&format!("verify --keyring k {files}"));
        assert_eq!(verified.code, 4, "{files}");
    }
    shell.done("keyring rotate k --label two");
    let rewrapped = shell.run("rewrap --keyring k a.phi missing b.phi");
    assert_eq!(rewrapped.code, 1);
    assert_eq!(
        rewrapped.stdout_text(),
        "a.phi: rewrapped\nb.phi: rewrapped\n"
    );
    assert!(rewrapped.stderr_text().starts_with("phi: missing: "));
    shell.done("rewrap --keyring k a.phi b.phi");
    assert_eq!(shell.run("inspect a.phi k missing b.phi").code, 1);
}

#[test]
fn links_pipes_and_closed_folders() {
    let shell = Shell::with_keyring();
    let plain = shell.plaintext("plain", 200_000);
    if cfg!(unix) {
        shell.sh("ln -s plain linked && mkfifo pipe");
        shell.done("encrypt --keyring k linked -o linked.phi");
        shell.sh("ln -s linked.phi link.phi");
        shell.done("keyring rotate k --label two");
        shell.done("rewrap --keyring k link.phi");
        assert!(
            fs::symlink_metadata(shell.path("link.phi"))
                .unwrap()
                .is_symlink()
        );
        shell.done("decrypt --keyring k link.phi");
        assert_eq!(shell.read("link"), plain);

        let fed = |from: &str, call: &str| {
            let mut feeder = shell.spawn_sh(&format!("cat {from} > pipe"));
            let ran = shell.done(call);
            assert!(feeder.wait().unwrap().success());
            ran
        };
        fed("plain", "encrypt --keyring k pipe -o piped.phi");
        fed("piped.phi", "verify --keyring k pipe");
        fed("piped.phi", "decrypt --keyring k pipe -o piped");
        assert_eq!(shell.read("piped"), plain);
        let range = fed("piped.phi", "cat --keyring k --range 199990.. pipe");
        assert_eq!(range.stdout, &plain[199_990..]);

        shell.sh("mkdir closed && chmod 500 closed");
        if fs::write(shell.path("closed/probe"), "").is_ok() {
            eprintln!("skipped: root writes into a read-only folder");
        } else {
            assert_eq!(shell.run("encrypt --keyring k plain -o closed/x").code, 1);
        }
        shell.sh("chmod 700 closed && cp k open && chmod 644 open");
        let open = shell.run("keyring list open");
        assert_eq!(open.code, 1);
        assert!(
            open.stderr_text().contains("chmod 600"),
            "{}",
            open.stderr_text()
        );
    }
    assert_eq!(shell.run("encrypt --keyring k . -o folder.phi").code, 1);
    assert_eq!(
        shell
            .run("encrypt --keyring k plain -o plain --overwrite")
            .code,
        1
    );
    assert_eq!(shell.read("plain"), plain);
}
