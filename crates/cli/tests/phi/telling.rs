//! What is told and to whom: answers that nobody takes, and names that command a terminal.

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};

use crate::support::{Ran, Shell};

/// Every command that changes something, in an order in which each has something to change.
const CHANGING: [&str; 9] = [
    "keyring new n --label one",
    "keyring rotate k --label two",
    "encrypt --keyring k plain",
    "rewrap --keyring k a.phi b.phi",
    "reencrypt --keyring k a.phi",
    "repack --keyring k --block-length 8192 a.phi",
    "recipient add --keyring k --to-keyring c a.phi",
    "decrypt --keyring k a.phi -o out",
    "keyring passwd k --new-master-key-file .other-master",
];

fn prepared() -> Shell {
    let shell = Shell::with_keyring();
    shell.done("keyring new c --label third");
    for name in ["plain", "a", "b"] {
        shell.plaintext(name, 5_000);
    }
    shell.done("encrypt --keyring k a");
    shell.done("encrypt --keyring k b");
    shell
}

/// A stdout whose reader is gone.
fn closed_pipe() -> Stdio {
    let mut gone = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = gone.stdin.take().unwrap();
    gone.wait().unwrap();
    pipe.into()
}

fn full() -> Option<Stdio> {
    let full = OpenOptions::new().write(true).open("/dev/full");
    full.ok().map(Into::into)
}

fn is_done_but(ran: &Ran, call: &str) {
    let told = ran.stderr_text();
    assert_eq!(ran.code, 5, "{call}: {told}");
    assert_eq!(told.lines().count(), 1, "{call}: {told}");
    assert!(
        told.starts_with("phi: done, but stdout: "),
        "{call}: {told}"
    );
}

#[test]
fn an_answer_that_cannot_be_written_is_no_failure_of_the_work() {
    if full().is_none() {
        eprintln!("skipped: there is no /dev/full");
        return;
    }
    for json in ["", " --json"] {
        let shell = prepared();
        for call in CHANGING {
            let ran = shell.run_to(&format!("{call}{json}"), full().unwrap());
            is_done_but(&ran, call);
        }
        let keyring = shell.with_other_secret();
        assert_eq!(shell.run("keyring list k").code, 4); // it has the new secret
        let keys = keyring.json("keyring list k --json")["keys"].clone();
        assert_eq!(keys.as_array().unwrap().len(), 2);
        assert_eq!(shell.read("out"), shell.read("a"));
        // The second file was moved although nobody took the line about the first.
        let again = keyring.json("rewrap --keyring k b.phi --json");
        assert_eq!(again["files"][0]["changed"], false);
    }
}

#[test]
fn a_reader_that_is_gone_is_told_of_once() {
    let shell = prepared();
    for call in CHANGING {
        is_done_but(&shell.run_to(call, closed_pipe()), call);
    }
}

#[test]
fn of_an_answer_and_of_the_work_the_work_counts() {
    let shell = prepared();
    let ran = shell.run_to("rewrap --keyring k a.phi missing b.phi", closed_pipe());
    assert_eq!(ran.code, 1);
    let told = ran.stderr_text();
    assert!(told.starts_with("phi: missing: "), "{told}");
    assert!(told.contains("\nphi: stdout: "), "{told}");
    // What failed is said on stderr where the answer in JSON cannot be written.
    let ran = shell.run_to("decrypt --keyring k missing.phi --json", closed_pipe());
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr_text().contains("missing.phi"),
        "{}",
        ran.stderr_text()
    );
}

#[test]
fn a_command_that_only_tells_ends_where_nobody_listens() {
    let shell = prepared();
    for call in [
        "inspect a.phi b.phi",
        "keyring list k",
        "inspect a.phi --json",
    ] {
        let ran = shell.run_to(call, closed_pipe());
        assert_eq!(ran.code, 5, "{call}: {}", ran.stderr_text());
    }
    // A file that was verified is verified, whoever hears it.
    let ran = shell.run_to("verify --keyring k a.phi b.phi", closed_pipe());
    is_done_but(&ran, "verify");
}

#[test]
fn data_that_cannot_be_written_is_a_failure() {
    let shell = prepared();
    for call in [
        "cat --keyring k a.phi",
        "encrypt --keyring k a -o -",
        "decrypt --keyring k a.phi -o -",
    ] {
        let ran = shell.run_to(call, closed_pipe());
        assert_eq!(ran.code, 1, "{call}: {}", ran.stderr_text());
    }
}

#[test]
fn a_message_names_the_file_and_the_way_out() {
    let shell = prepared();
    shell.write("empty", b"");
    shell.write("pairs", b"x=y");
    let told = |call: &str, expected: &str| {
        let ran = shell.run(call);
        assert_ne!(ran.code, 0, "{call}");
        let told = ran.stderr_text();
        assert!(
            told.starts_with(&format!("phi: {expected}")),
            "{call}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{call}: {told}");
    };
    // Once, also where the library says it too.
    fs::create_dir(shell.path("odd\u{1b}")).unwrap();
    told("inspect odd\u{1b}", "odd\\u{1b}: this is no regular file\n");
    told(
        "encrypt --keyring k a",
        "a -> a.phi: the output exists; --overwrite replaces it",
    );
    told("encrypt --keyring k missing", "missing: No such file");
    told(
        "encrypt --keyring k plain -o nowhere/x",
        "folder nowhere: No such file",
    );
    told("encrypt --keyring nowhere plain", "nowhere: No such file");
    told("encrypt --keyring k --detached a plain", "header a: ");
    told(
        "verify --keyring k --detached missing a.phi",
        "header missing: No such file",
    );
    told(
        "cat --keyring k --detached missing a.phi",
        "header missing: No such file",
    );
    told(
        "decrypt --keyring k --detached missing a.phi -o x",
        "header missing: No such file",
    );
    told(
        "encrypt --to-passphrase-file empty plain",
        "empty: the passphrase is empty",
    );
    told(
        "encrypt --keyring k --bind-file empty plain",
        "--bind-file empty: it holds no bindings",
    );
    told(
        "encrypt --keyring k --bind-file missing plain",
        "missing: No such file",
    );
    told("keyring rotate missing --label x", "missing: No such file");
    // Nothing that opens the file is overwritten by it.
    for call in [
        "encrypt --keyring k plain -o k --overwrite",
        "encrypt --keyring k plain -o .master --overwrite",
        "encrypt --keyring k --to-keyring c plain -o c --overwrite",
        "encrypt --keyring k --bind-file pairs plain -o pairs --overwrite",
        "encrypt --keyring k --to-passphrase-file .other-master plain -o .other-master --overwrite",
        "decrypt --keyring k --bind-file pairs a.phi -o pairs --overwrite",
    ] {
        let ran = shell.run(call);
        assert_eq!(ran.code, 2, "{call}: {}", ran.text());
        assert!(ran.stderr_text().contains("a file of secrets"));
    }
    assert_eq!(shell.read("pairs"), b"x=y");
}

#[test]
fn an_answer_on_stderr_that_cannot_be_written_counts_too() {
    let shell = prepared();
    for (call, code) in [
        ("cat --keyring k a.phi --json", 5),
        ("cat --keyring k a.phi", 0),
        ("encrypt --keyring k a -o -", 5),
    ] {
        let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
            eprintln!("skipped: there is no /dev/full");
            return;
        };
        let mut command = shell.command(call);
        let status = command.stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{call}");
    }
}

#[test]
fn help_that_nobody_reads_is_not_given() {
    let shell = Shell::new();
    assert_eq!(shell.run("--help").code, 0);
    assert_eq!(shell.run("--version").code, 0);
    if let Some(full) = full() {
        assert_eq!(shell.run_to("--help", full).code, 5);
    }
}
