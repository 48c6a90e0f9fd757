//! Whole folders sealed, verified and opened again.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{Ran, Shell};

/// What every call has, beside its own.
pub(crate) const BOUND: &str = "--keyring k --bind export=42 --bind-path";
/// The files of the folder `exports`.
pub(crate) const FILES: [(&str, usize); 5] = [
    ("a.ndjson", 5_000),
    ("deep/b.ndjson", 200_000),
    ("deep/er/c", 0),
    ("deep/er/d.phi", 4_096),
    ("e", 1),
];

/// A shell with a keyring `k` and a folder `exports`.
pub(crate) fn exports() -> Shell {
    let shell = Shell::with_keyring();
    fs::create_dir_all(shell.path("exports/deep/er")).unwrap();
    fs::create_dir_all(shell.path("exports/nothing")).unwrap();
    for (name, len) in FILES {
        shell.plaintext(&format!("exports/{name}"), len);
    }
    shell
}

/// The same, with all of it sealed in `sealed`.
pub(crate) fn sealed() -> Shell {
    let shell = exports();
    shell.done(&format!("encrypt -r exports -o sealed {BOUND}"));
    shell
}

fn assert_same(shell: &Shell, folder: &str) {
    for (name, _) in FILES {
        let (was, is) = (format!("exports/{name}"), format!("{folder}/{name}"));
        assert_eq!(shell.read(&was), shell.read(&is), "{name}");
    }
}

/// What each file came to, and the summary.
pub(crate) fn told(ran: &Ran) -> (BTreeMap<String, Value>, Value) {
    let mut lines = ran.lines();
    let summary = lines.pop().unwrap();
    let name = |line: &Value| line["path"].as_str().unwrap().to_owned();
    let by_name = lines.into_iter().map(|line| (name(&line), line));
    (by_name.collect(), summary)
}

#[test]
fn a_folder_is_sealed_verified_and_opened_again() {
    let shell = exports();
    shell.done(&format!(
        "encrypt -r exports -o sealed {BOUND} --report sealed.jsonl"
    ));
    shell.done(&format!("verify -r sealed {BOUND}"));
    shell.done(&format!("decrypt -r sealed -o restored {BOUND}"));
    assert_same(&shell, "restored");
    assert!(!shell.exists("sealed/nothing"));

    // Each file by itself has its path as a binding.
    let call = "verify --keyring k --bind export=42 sealed/deep/b.ndjson.phi --bind";
    shell.done(&format!("{call} path=deep/b.ndjson"));
    assert_eq!(shell.run(&format!("{call} path=b.ndjson")).code, 3);

    let report = String::from_utf8(shell.read("sealed.jsonl")).unwrap();
    let lines: Vec<Value> = report
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), FILES.len() + 1);
    for (name, len) in FILES {
        let path = format!("exports/{name}");
        let line = lines.iter().find(|line| line["path"] == *path).unwrap();
        assert_eq!(
            (&line["outcome"], &line["bytes"]),
            (&"sealed".into(), &len.into())
        );
    }
    let last = lines.last().unwrap();
    assert_eq!(last["command"], "encrypt");
    assert_eq!(last["summary"]["sealed"], FILES.len());
    assert_eq!(last["summary"]["failed"], 0);
}

#[cfg(unix)]
#[test]
fn outputs_let_in_whom_single_files_let_in() {
    use std::os::unix::fs::PermissionsExt as _;

    let shell = exports();
    shell.sh("chmod 750 exports/deep && chmod 640 exports/deep/b.ndjson");
    shell.done(&format!("encrypt -r exports -o new/sealed {BOUND}"));
    shell.done(&format!("decrypt -r new/sealed -o restored {BOUND}"));
    let mode = |name: &str| fs::metadata(shell.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("new/sealed/deep"), 0o750);
    assert_eq!(mode("new/sealed/deep/b.ndjson.phi"), 0o640);
    assert_eq!(mode("restored"), 0o700);
    assert_eq!(mode("restored/deep"), 0o700);
    assert_eq!(mode("restored/deep/b.ndjson"), 0o600);
}

#[test]
fn to_run_it_again_is_to_go_on() {
    let shell = sealed();
    let before = shell.read("sealed/e.phi");
    fs::remove_file(shell.path("sealed/a.ndjson.phi")).unwrap();
    let again = shell.done(&format!("encrypt -r exports -o sealed {BOUND} --json"));
    let (lines, last) = told(&again);
    assert_eq!(lines["exports/a.ndjson"]["outcome"], "sealed");
    assert_eq!(lines["exports/deep/b.ndjson"]["outcome"], "present");
    assert_eq!(lines["exports/deep/b.ndjson"]["bytes"], 200_000);
    assert_eq!(last["summary"]["present"], FILES.len() - 1);
    assert_eq!(shell.read("sealed/e.phi"), before);

    // What is there and is something else is no output of this run.
    shell.write("exports/e", b"2");
    let whole = shell.read("sealed/deep/b.ndjson.phi");
    shell.write("sealed/deep/b.ndjson.phi", &whole[..whole.len() - 20_000]);
    let call = format!("encrypt -r exports -o sealed {BOUND}");
    let refused = shell.run(&format!("{call} --json"));
    assert_eq!(refused.code, 1);
    let (lines, last) = told(&refused);
    for name in ["exports/e", "exports/deep/b.ndjson"] {
        assert_eq!(lines[name]["outcome"], "failed");
        let why = lines[name]["message"].as_str().unwrap();
        assert!(why.contains("--overwrite"), "{why}");
    }
    assert_eq!(lines["exports/deep/b.ndjson"]["kind"], "truncated");
    assert_eq!(last["summary"]["failed"], 2);
    assert_eq!(shell.read("sealed/e.phi"), before);
    shell.done(&format!("{call} --overwrite"));
    shell.done(&format!("verify -r sealed {BOUND}"));

    // Another context is another file.
    let other = shell.run("encrypt -r exports -o sealed --keyring k --bind export=43 --bind-path");
    assert_eq!(other.code, 3);
    let labelled = shell.run(&format!("{call} --label tenant=clinic-7"));
    assert_eq!(labelled.code, 3, "{}", labelled.text());
    shell.done(&format!("{call} --label tenant=clinic-7 --overwrite"));
    // Fewer labels are other ones.
    assert_eq!(shell.run(&call).code, 1);
}

#[test]
fn an_opened_folder_is_compared_with_what_is_there() {
    let shell = sealed();
    let call = format!("decrypt -r sealed -o restored {BOUND}");
    shell.done(&call);
    fs::remove_file(shell.path("restored/deep/er/c")).unwrap();
    let (lines, last) = told(&shell.done(&format!("{call} --json")));
    assert_eq!(lines["sealed/deep/er/c.phi"]["outcome"], "opened");
    assert_eq!(last["summary"]["present"], FILES.len() - 1);
    for other in [&b"2"[..], b"", b"12"] {
        shell.write("restored/e", other);
        let refused = shell.run(&call);
        assert_eq!(refused.code, 1);
        let told = refused.stderr_text();
        assert!(
            told.contains("sealed/e.phi: ") && told.contains("--overwrite"),
            "{told}"
        );
        assert_eq!(shell.read("restored/e"), other);
    }
    shell.done(&format!("{call} --overwrite"));
    assert_same(&shell, "restored");
}

#[test]
fn a_failure_of_one_file_stops_no_other() {
    let shell = sealed();
    let whole = shell.read("sealed/deep/b.ndjson.phi");
    let mut flipped = whole.clone();
    flipped[100_000] ^= 1;
    shell.write("sealed/flipped.phi", &flipped);
    shell.write("sealed/cut.phi", &whole[..whole.len() - 1]);
    shell.write("sealed/moved.phi", &whole);
    shell.write("sealed/plain", b"nothing sealed");
    shell.write("sealed/.phi", &whole);
    shell.done(
        "encrypt --keyring k exports/e -o sealed/unnamed --bind export=42 --bind path=unnamed",
    );
    shell.done("keyring new other --label other");
    shell.done(
        "encrypt --keyring other exports/e -o sealed/other.phi --bind export=42 --bind path=other",
    );

    let ran = shell.run(&format!("verify -r sealed {BOUND} --json"));
    assert_eq!(ran.code, 4);
    let (lines, last) = told(&ran);
    let kind = |name: &str| lines[&format!("sealed/{name}")]["kind"].clone();
    assert_eq!(kind("flipped.phi"), "context-mismatch"); // the path
    assert_eq!(kind("moved.phi"), "context-mismatch");
    assert_eq!(kind("plain"), "not-an-envelope");
    assert_eq!(kind("other.phi"), "no-matching-key");
    assert_eq!(lines["sealed/unnamed"]["outcome"], "verified");
    assert_eq!(last["summary"]["verified"], FILES.len() + 1);
    assert_eq!(last["error"]["kind"], "no-matching-key");

    let ran = shell.run(&format!(
        "decrypt -r sealed -o restored {BOUND} --exclude other.phi --json"
    ));
    assert_eq!(ran.code, 3);
    let (lines, last) = told(&ran);
    let kind = |name: &str| lines[&format!("sealed/{name}")]["kind"].clone();
    assert_eq!(kind("plain"), "not-an-envelope");
    assert_eq!(
        (kind("unnamed"), kind(".phi")),
        ("failed".into(), "failed".into())
    );
    assert_eq!(last["summary"]["excluded"], 1);
    assert_same(&shell, "restored");
    for name in ["flipped", "cut", "moved", "plain", "unnamed"] {
        assert!(!shell.exists(&format!("restored/{name}")), "{name}");
    }
    // Without the path, what is damaged shows.
    fs::remove_dir_all(shell.path("sealed")).unwrap();
    shell.done("encrypt -r exports -o sealed --keyring k");
    let whole = shell.read("sealed/deep/b.ndjson.phi");
    shell.write("sealed/cut.phi", &whole[..whole.len() - 1]);
    shell.write("sealed/head.phi", &whole[..100]);
    let (lines, _) = told(&shell.run("verify -r sealed --keyring k --json"));
    assert_eq!(lines["sealed/cut.phi"]["outcome"], "failed");
    assert_eq!(lines["sealed/head.phi"]["kind"], "truncated");

    let stopped = shell.run("verify -r exports --keyring k --max-failures 2 --threads 1 --json");
    assert_eq!(stopped.code, 1);
    let summary = &stopped.last()["summary"];
    assert_eq!(summary["stopped"], true);
    assert!(summary["failed"].as_u64().unwrap() >= 3);
}

#[test]
fn several_folders_are_verified_at_once() {
    let shell = sealed();
    fs::create_dir(shell.path("more")).unwrap();
    shell.done("encrypt -r exports/deep -o more/sealed --keyring k --bind export=42 --bind-path");
    shell.done(&format!("verify -r sealed more/sealed {BOUND}"));
    // Each is bound to its path below the folder that is named.
    assert_eq!(shell.run(&format!("verify -r sealed more {BOUND}")).code, 3);
    let missing = shell.run(&format!("verify -r sealed nowhere {BOUND} --json"));
    assert_eq!(missing.code, 1);
    assert_eq!(missing.last()["summary"]["verified"], FILES.len());
    // A file that is named is bound to its name.
    shell.done("encrypt -r exports/e -o one --keyring k --bind-path");
    shell.done("verify --keyring k --bind path=e one/e.phi");
    assert_eq!(
        shell
            .run("encrypt -r exports more -o both --keyring k")
            .code,
        2
    );
}

#[test]
fn bindings_of_each_file() {
    let shell = exports();
    let lines: Vec<_> = FILES
        .iter()
        .enumerate()
        .map(|(mrn, (name, _))| {
            format!(r#"{{"path": "{name}", "bind": {{"patient": "MRN-{mrn}"}}}}"#)
        })
        .collect();
    shell.write("bindings", lines.join("\n").as_bytes());
    let with = "--keyring k --bind export=42 --bind-from bindings";
    shell.done(&format!("encrypt -r exports -o sealed {with}"));
    shell.done("verify --keyring k --bind export=42 --bind patient=MRN-1 sealed/deep/b.ndjson.phi");
    shell.done(&format!("verify -r sealed {with}"));
    shell.done(&format!("decrypt -r sealed -o restored {with}"));
    assert_same(&shell, "restored");
    let with_path = format!("encrypt -r exports -o both {with} --bind-path");
    shell.done(&with_path);
    shell.done("verify --keyring k --bind export=42 --bind patient=MRN-4 --bind path=e both/e.phi");

    // A file without a line fails, and no other does.
    shell.write("bindings", lines[..4].join("\n").as_bytes());
    let ran = shell.run(&format!("verify -r sealed {with} --json"));
    assert_eq!(ran.code, 1);
    let (told, last) = told(&ran);
    assert_eq!(last["summary"]["verified"], 4);
    assert_eq!(told["sealed/e.phi"]["kind"], "failed");

    for (text, why) in [
        ("", "no bindings"),
        ("{}", "line 1"),
        ("x", "line 1"),
        (r#"{"path": "e", "bind": {}}"#, "line 1"),
        (r#"{"path": "e", "bind": {"a": 1}}"#, "line 1"),
        (r#"{"path": "e", "bind": {"a": "b"}, "x": 1}"#, "line 1"),
        (r#"{"path": "e", "bind": {"a": "b", "a": "c"}}"#, "line 1"),
        (r#"{"path": "e", "bind": {"export": "c"}}"#, "line 1"),
        (
            "\n{\"path\": \"e\", \"bind\": {\"a\": \"b\"}}\n{\"path\": \"e\", \"bind\": {\"a\": \"b\"}}",
            "line 3",
        ),
    ] {
        shell.write("bindings", text.as_bytes());
        let ran = shell.run(&format!("verify -r sealed {with}"));
        assert_eq!(ran.code, 2, "{text}");
        let told = ran.stderr_text();
        assert!(told.contains(why), "{text}: {told}");
        // What is wrong may be private.
        assert!(!told.contains('c') || !text.contains("\"c\"") || !told.contains("\"c\""));
    }
}
