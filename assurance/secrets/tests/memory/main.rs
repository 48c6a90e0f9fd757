//! The memory of a process that has dropped its secrets holds none of them: looked at from outside.
//!
//! A program does what a user would with keys and records, says when it holds them and when it has dropped them, and waits.
//! This test has given it the secrets, computes all keys that follow from them, and reads all memory that the program may
//! write, through `/proc/PID/mem`. Where the system does not allow that, the test says so and passes, unless
//! `ASSURANCE_MUST_RUN` is set.

#![cfg(target_os = "linux")]

mod known;
mod scan;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use phi_envelope_secrets::{DROPPED, GIVEN, HOLDING, PLAIN};
use rand::TryRng as _;

use known::{Known, learn, learn_master};
use scan::{Scan, WINDOW, Windows};

/// The secrets of one run, by their names.
struct Secrets(Vec<(&'static str, Vec<u8>)>);

impl Secrets {
    fn draw() -> Self {
        let draw = |(name, len): (&'static str, usize)| {
            let mut bytes = vec![0; len];
            rand::rngs::SysRng.try_fill_bytes(&mut bytes).unwrap();
            if name == "master key in base64" {
                use base64::Engine as _;
                let text = base64::engine::general_purpose::STANDARD.encode(&bytes[..32]);
                bytes = text.into_bytes();
            } else if name.contains("passphrase") || name == "binding" {
                let letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
                bytes
                    .iter_mut()
                    .for_each(|byte| *byte = letters[usize::from(*byte % 64)]);
            }
            (name, bytes)
        };
        Self(GIVEN.into_iter().map(draw).collect())
    }

    fn of(&self, name: &str) -> &[u8] {
        let named = |(known, _): &&(&str, Vec<u8>)| *known == name;
        &self.0.iter().find(named).unwrap().1
    }
}

/// The program, which waits at a place.
struct Holder {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Holder {
    fn start(scenario: &str, folder: &Path, secrets: &Secrets) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hold"))
            .arg(scenario)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.as_mut().unwrap();
        for (_, bytes) in &secrets.0 {
            input.write_all(bytes).unwrap();
        }
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word, "the program did not get so far");
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(&[1]).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What both looks at one run of the program found.
struct Run {
    windows: Windows,
    data_keys: usize,
    held: Scan,
    dropped: Scan,
}

/// Runs a scenario, or says that this system lets nobody look.
fn run(scenario: &str) -> Option<Run> {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::draw();
    fs::write(folder.path().join(PLAIN), secrets.of("stream")).unwrap();
    let mut holder = Holder::start(scenario, folder.path(), &secrets);
    holder.expect(HOLDING);

    let (mut windows, mut known) = (Windows::default(), Known::default());
    for (name, bytes) in &secrets.0 {
        if *name != "master key" && *name != "master key in base64" {
            windows.add(*name, bytes);
        }
    }
    let master = secrets.of("master key").try_into().unwrap();
    learn_master("master key", master, &mut known, &mut windows);
    let other = {
        use base64::Engine as _;
        let text = secrets.of("master key in base64");
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    };
    let other = other.try_into().unwrap();
    learn_master("master key in base64", other, &mut known, &mut windows);
    known.passphrases = ["passphrase", "wrong passphrase"]
        .map(|name| secrets.of(name).to_vec())
        .into();
    known.floe.push(secrets.of("FLOE key").try_into().unwrap());
    learn(folder.path(), &mut known, &mut windows);

    let process = holder.child.id();
    let held = match windows.look_at(process) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let must = std::env::var_os("ASSURANCE_MUST_RUN").is_some_and(|must| !must.is_empty());
            assert!(
                !must,
                "this system lets nobody look into a process's memory: {error}"
            );
            eprintln!("SKIPPED: this system lets nobody look into a process's memory: {error}");
            return None;
        }
        held => held.unwrap(),
    };
    holder.go_on();
    holder.expect(DROPPED);
    let dropped = windows.look_at(process).unwrap();
    holder.go_on();
    assert!(holder.child.wait().unwrap().success());
    Some(Run {
        windows,
        data_keys: known.data_keys,
        held,
        dropped,
    })
}

/// Runs a scenario that must have `held` in memory while it holds it, and nothing of anything afterwards.
fn check(scenario: &str, held: &[&str], data_keys: usize) {
    let Some(run) = run(scenario) else {
        return;
    };
    let mut said = format!(
        "{scenario}: {} secrets, {} windows; held: {} MiB, {} findings; dropped: {} MiB, {} findings\n",
        run.windows.secrets(),
        run.windows.len(),
        run.held.bytes >> 20,
        run.held.findings.len(),
        run.dropped.bytes >> 20,
        run.dropped.findings.len(),
    );
    for finding in run.dropped.findings.iter().take(400) {
        let scan::Finding {
            secret,
            at,
            len,
            address,
            region,
        } = finding;
        writeln!(
            said,
            "    {len} bytes at {at} of {secret}: {address:#x} {region}"
        )
        .unwrap();
    }
    eprint!("{said}");
    assert!(
        run.data_keys >= data_keys,
        "{} data keys are known",
        run.data_keys
    );
    for secret in held {
        let found = run.held.windows_of(secret);
        assert!(found >= WINDOW, "the look misses what is there: {secret}");
    }
    assert!(run.dropped.findings.is_empty(), "{said}");
}

#[test]
fn what_is_leaked_is_found() {
    let Some(run) = run("leak") else {
        return;
    };
    for (name, len) in GIVEN {
        // Of what was kept, every window; something of what was freed, too.
        let name = match name {
            "master key in base64" => "master key in base64, base64",
            name => name,
        };
        let found = run.dropped.windows_of(name);
        let len = if name.ends_with("base64") { 42 } else { len };
        assert!(found > len - WINDOW, "{name}: {found} of {len}");
    }
    // What a keyring's file was sealed with, also before it was replaced.
    for revision in 1..=3 {
        let name = format!("data key of leaked.revision {revision}.keyring");
        let found = run.dropped.windows_of(&name);
        assert!(found > 32 - WINDOW, "{name}: {found}");
    }
    eprintln!("leak: {} findings", run.dropped.findings.len());
}

#[test]
fn nothing_is_found_where_nothing_is() {
    check("nothing", &["record", "passphrase"], 0);
}

#[test]
fn a_keyring() {
    check(
        "keyring",
        &["master key", "record", "binding", "HMAC of master key"],
        100,
    );
}

#[test]
fn a_keyrings_file() {
    check(
        "keyring_file",
        &[
            "master key \"generated\"",
            "master key \"generated too\"",
            "passphrase",
            "passphrase key of a.keyring",
            "passphrase key of b.keyring",
        ],
        // Those of the records, of five revisions of one file, and of the other file.
        105 + 5 + 1,
    );
}

#[test]
fn a_passphrase() {
    check(
        "passphrase",
        &["passphrase", "wrong passphrase", "passphrase key of"],
        2,
    );
}

#[test]
fn a_provider_from_outside() {
    check("provider", &["data key of a provider"], 0);
}

#[test]
fn a_cache() {
    check(
        "cache",
        &[
            "master key",
            "data key of record",
            "HMAC of the data key of record",
        ],
        100,
    );
}

#[test]
fn a_session() {
    check("session", &["HMAC of the data key of row"], 200);
}

#[test]
fn what_is_refused() {
    check("refused", &["stream"], 3);
}

#[test]
fn a_stream() {
    check(
        "stream",
        &["stream", "HMAC of the FLOE message key", "FLOE segment key"],
        3,
    );
}

#[test]
fn a_file() {
    check("file", &["FLOE segment key"], 4);
}

#[test]
fn floe_alone() {
    check("floe", &["HMAC of", "stream"], 0);
}

#[test]
fn rotation() {
    check("rotation", &["HMAC of master key in base64"], 20);
}
