//! Names that command a terminal, and names that are not UTF-8.
#![cfg(unix)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use serde_json::Value;

use crate::support::{Ran, Shell};

/// ESC, BEL, a newline that feigns a line of its own, and a mark that turns the text around.
const HOSTILE: &str = "a\x1b[2K\x07\nphi: all is well\u{202e}";

fn run(shell: &Shell, call: &str, more: &[&OsStr]) -> Ran {
    let mut command = shell.command(call);
    shell.ran(command.args(more))
}

fn is_harmless(ran: &Ran, call: &str) {
    for text in [ran.stdout_text(), ran.stderr_text()] {
        let harmful = |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
        assert!(!text.contains(harmful), "{call}: {text:?}");
        assert!(
            !text
                .lines()
                .any(|line| line.starts_with("phi: all is well")),
            "{call}: {text:?}"
        );
    }
}

#[test]
fn names_are_escaped_for_people() {
    let shell = Shell::with_keyring();
    shell.done("keyring new c --label third");
    let sealed = format!("{HOSTILE}.phi");
    shell.plaintext(HOSTILE, 5_000);
    let (name, sealed) = (OsStr::new(HOSTILE), OsStr::new(&sealed));
    let done = |call: &str, more: &[&OsStr]| {
        let ran = run(&shell, call, more);
        assert_eq!(ran.code, 0, "{call}: {}", ran.text());
        is_harmless(&ran, call);
        ran
    };
    let said = done("encrypt --keyring k", &[name]).stdout_text();
    assert!(
        said.starts_with(r"a\u{1b}[2K\u{7}\nphi: all is well\u{202e} -> a\u{1b}"),
        "{said}"
    );
    done("verify --keyring k", &[sealed]);
    done("inspect", &[sealed]);
    done("rewrap --keyring k", &[sealed]);
    done("repack --keyring k --block-length 8192", &[sealed]);
    done("reencrypt --keyring k", &[sealed]);
    done("recipient add --keyring k --to-keyring c", &[sealed]);
    done("decrypt --keyring k --overwrite", &[sealed]);
    let mut damaged = shell.read(sealed.to_str().unwrap());
    damaged[40] ^= 1;
    fs::write(shell.path("").join(sealed), &damaged).unwrap();
    assert!(!done("verify --keyring k", &[sealed]).stderr.is_empty()); // a warning
    done("inspect", &[sealed]);

    let refused = |call: &str, more: &[&OsStr]| {
        for json in ["", " --json"] {
            let ran = run(&shell, &format!("{call}{json}"), more);
            assert_ne!(ran.code, 0, "{call}");
            is_harmless(&ran, call);
        }
    };
    let missing = OsStr::new("b\x1b[2K\x07\nphi: all is well");
    let key = OsStr::new("--keyring");
    for call in [
        "encrypt --keyring k",
        "decrypt --keyring k -o x",
        "cat --keyring k",
        "verify --keyring k",
        "inspect",
        "rewrap --keyring k",
        "reencrypt --keyring k",
        "repack --keyring k --block-length 8192",
        "recipient add --keyring k --to-keyring c",
        "keyring list",
        "keyring rotate --label x",
    ] {
        refused(call, &[missing]);
    }
    refused("verify sealed", &[key, missing]);
    refused("verify --keyring k sealed --bind-file", &[missing]);
    refused("keyring new x --label x --passphrase-file", &[missing]);
    refused("keyring list k", &[OsStr::new("--\x1b[2K\x07")]);
    refused("keyring new --label x", &[name]); // it is there
}

#[test]
fn names_that_are_not_utf8_stay_apart_in_json() {
    let shell = Shell::with_keyring();
    let names = [&b"n\xe9"[..], b"n\xe8"].map(|name| OsString::from_vec(name.to_vec()));
    if fs::write(shell.path("").join(&names[0]), "x").is_err() {
        eprintln!("skipped: this file system takes no such names");
        return;
    }
    fs::write(shell.path("").join(&names[1]), "y").unwrap();
    for name in &names {
        let ran = run(&shell, "encrypt --keyring k", &[name]);
        assert_eq!(ran.code, 0);
        assert!(
            ran.stdout_text().starts_with(r"n\xe"),
            "{}",
            ran.stdout_text()
        );
    }
    let json = |call: &str, more: &[&OsStr]| run(&shell, call, more).json();
    let sealed = names
        .clone()
        .map(|name| OsString::from_vec([name.as_bytes(), b".phi"].concat()));
    let [first, second] = [&sealed[0], &sealed[1]].map(OsString::as_os_str);
    let answer = json("verify --keyring k --json", &[first, second]);
    assert_eq!(answer["files"][0]["path"], answer["files"][1]["path"]);
    assert_eq!(answer["files"][0]["path_base64"], "bukucGhp");
    assert_eq!(answer["files"][1]["path_base64"], "bugucGhp");
    for call in ["inspect --json", "rewrap --keyring k --json"] {
        assert_eq!(
            json(call, &[first])["files"][0]["path_base64"],
            "bukucGhp",
            "{call}"
        );
    }
    for call in [
        "reencrypt --keyring k --json",
        "repack --keyring k --block-length 8192 --json",
    ] {
        assert_eq!(json(call, &[first])["path_base64"], "bukucGhp", "{call}");
    }
    let opened = json("decrypt --keyring k --overwrite --json", &[first]);
    assert_eq!(opened["input_base64"], "bukucGhp");
    assert_eq!(opened["output_base64"], "buk=");
    // What is UTF-8 has no such field.
    fs::write(shell.path("plain"), "x").unwrap();
    let answer = json("encrypt --keyring k plain --json", &[]);
    assert_eq!(answer["input_base64"], Value::Null);
}
