//! The second reader, in Python (`tests/second_reader`): it agrees on every vector, opens what the crate sealed, and the crate opens what
//! it sealed.
//!
//! It needs an interpreter that has the packages of `tests/second_reader/requirements.txt`. That is the one which the variable
//! `PHI_ENVELOPE_PYTHON` names, and a test fails where it lacks them; without the variable `python3` is tried, and where that lacks them
//! the tests say that they were skipped.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use phi_envelope::{
    Context, EnvelopeCipher, Keyring, KeyringFile, MasterKey, Passphrase,
    archive::Evidence,
    files::{self, FileOptions},
    keys::Argon2Costs,
};
use tempfile::TempDir;

use crate::vector::{Bytes, Master, Opens, Vector, check_all, check_each, digested};

const PACKAGES: &str = "import argon2, cryptography";
const KEY: &str = "l8hXy8A6sN2WrOyQQ+hbyDba7vsIJqfrGtg9RBF7cbs=";
const NEXT_KEY: &str = "EtBJEXN2B6bSbFBxZzuBBPW5Kx+KTppfWLoNyTnWwQI=";
const WORDS: &str = "correct horse, Umlaut ü";

/// Vectors in `tests/vectors`.
const FROZEN: usize = 528;

#[test]
fn it_agrees_on_every_vector() {
    let Some(python) = Python::found() else {
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let (opened, refused) = python.reads(&folder);
    assert_eq!((opened, refused), (138, FROZEN - 138));
}

#[test]
fn the_crate_opens_what_it_seals() {
    let Some(python) = Python::found() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    python.run("cases.py", [Path::new("write"), folder.path()], &[]);
    assert_eq!(check_all(folder.path()), 224);
}

#[test]
fn it_opens_what_the_crate_seals() {
    let Some(python) = Python::found() else {
        return;
    };
    let cases = Cases::new();
    cases.records();
    cases.streams();
    cases.rewrapped();
    cases.keyrings();
    cases.histories();
    cases.evidence();
    let (opened, refused) = python.reads(cases.folder.path());
    // The crate itself comes to the outcomes that the cases state.
    assert_eq!(check_all(cases.folder.path()), opened + refused);
    assert_eq!((opened, refused), (84, 46));
}

/// Rules that no single envelope shows, by tests of its own.
#[test]
fn its_rules_hold() {
    let Some(python) = Python::found() else {
        return;
    };
    for tests in ["test_envelopes.py", "test_files.py"] {
        python.run(tests, [""; 0], &[]);
    }
}

/// 5,000 envelopes of the vectors with something else in them, many of them under a right header tag: both open or both refuse.
#[test]
fn both_say_the_same_of_mutated_envelopes() {
    let Some(python) = Python::found() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let args = [Path::new("mutate"), &vectors, folder.path()];
    let mut args: Vec<_> = args.map(|it| it.as_os_str().to_owned()).into();
    // Another seed at each run; a failure says which.
    let now = std::time::SystemTime::now();
    let seed = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    args.push(seed.to_string().into());
    args.push("5000".into());
    python.run("cases.py", &args, &[]);
    eprintln!("seed {seed}");
    assert_eq!(check_each(folder.path(), Vector::check_verdict), 5000);
}

/// Thirty years on: a keyring's file, its passphrase, an archive, and no crate.
#[test]
fn it_opens_an_archive_from_a_shell() {
    let Some(python) = Python::found() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let plaintext = sample(3_000_000);
    fs::write(path("plain"), &plaintext).unwrap();
    let keyring = KeyringFile::create(path("keyring"), "ehr-2026", words()).unwrap();
    let cipher = EnvelopeCipher::new(keyring.keyring());
    files::encrypt(
        &cipher,
        path("plain"),
        path("inline"),
        &context(),
        FileOptions::new(),
    )
    .unwrap();
    let detached = FileOptions::new().detached_header(path("header"));
    files::encrypt(
        &cipher,
        path("plain"),
        path("detached"),
        &context(),
        detached,
    )
    .unwrap();
    let record = cipher.encrypt(&plaintext, &context()).unwrap();
    fs::write(path("record"), record).unwrap();
    keyring.update(|edit| edit.rotate("ehr-2027")).unwrap();
    files::rewrap(&cipher, path("inline")).unwrap();

    let open = |file: &str, binding: &str, header: Option<&str>| {
        let mut args = vec![PathBuf::from("open"), path(file)];
        args.extend(["--keyring".into(), path("keyring")]);
        args.extend(["--bind", "record=obs-7", "--bind", binding].map(PathBuf::from));
        args.extend(["--label".into(), "tenant=clinic-7".into()]);
        if let Some(header) = header {
            args.extend(["--header".into(), path(header)]);
        }
        python.output("phi.py", args, &[("PHI_PASSPHRASE", WORDS)])
    };
    for (file, header) in [
        ("inline", None),
        ("detached", Some("header")),
        ("record", None),
    ] {
        let opened = open(file, "patient=MRN-0042", header);
        assert!(opened.status.success(), "{file}: {}", stderr(&opened));
        assert_eq!(opened.stdout, plaintext, "{file}");
        let refused = open(file, "patient=MRN-0043", header);
        assert!(!refused.status.success(), "{file}");
        assert_eq!(refused.stdout, b"", "{file}");
        assert!(stderr(&refused).ends_with("context-mismatch/bindings-differ\n"));
    }
    let shown = python.run("phi.py", [Path::new("inspect"), &path("inline")], &[]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let active = keyring.keyring().active().unwrap().to_string();
    assert_eq!(shown.matches("generation 1").count(), 2, "{shown}");
    assert_eq!(shown.matches("label tenant=clinic-7").count(), 2, "{shown}");
    assert_eq!(shown.matches(&active).count(), 2, "{shown}");
}

/// An interpreter that has the packages.
struct Python(PathBuf);

impl Python {
    fn found() -> Option<Self> {
        let wanted = std::env::var_os("PHI_ENVELOPE_PYTHON");
        let python = PathBuf::from(wanted.as_deref().unwrap_or("python3".as_ref()));
        let tried = Command::new(&python).args(["-c", PACKAGES]).output();
        match tried {
            Ok(output) if output.status.success() => return Some(Self(python)),
            _ if wanted.is_some() => panic!("{python:?} does not do: {tried:?}"),
            // Not by `eprintln!`, which a test that passes does not show.
            #[allow(clippy::explicit_write)]
            _ => writeln!(
                std::io::stderr(),
                "skipped: no python3 with the packages of tests/second_reader/requirements.txt"
            )
            .unwrap(),
        }
        None
    }

    /// How many cases of a folder it opened and refused, all of them as they say.
    fn reads(&self, folder: &Path) -> (usize, usize) {
        let output = self.run("cases.py", [Path::new("read"), folder], &[]);
        let said = String::from_utf8(output.stdout).unwrap();
        let last: Vec<_> = said.lines().last().unwrap().split(' ').collect();
        let [opened, "opened,", refused, "refused", ..] = last[..] else {
            panic!("not a count: {said}");
        };
        (opened.parse().unwrap(), refused.parse().unwrap())
    }

    fn run<A: AsRef<Path>>(
        &self,
        script: &str,
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Output {
        let output = self.output(script, args, variables);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", stderr(&output));
        output
    }

    fn output<A: AsRef<Path>>(
        &self,
        script: &str,
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Output {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/second_reader");
        Command::new(&self.0)
            .arg("-B") // no compiled files in the repository
            .arg(folder.join(script))
            .args(
                args.into_iter()
                    .map(|arg| arg.as_ref().as_os_str().to_owned()),
            )
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }
}

/// A folder of cases, each made by the crate.
struct Cases {
    folder: TempDir,
    count: std::cell::Cell<usize>,
}

impl Cases {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            count: std::cell::Cell::new(0),
        }
    }

    fn add(&self, case: &Vector) {
        let name = format!("case_{:03}.json", self.count.get());
        self.count.set(self.count.get() + 1);
        let json = serde_json::to_vec(case).unwrap();
        fs::write(self.folder.path().join(name), json).unwrap();
    }

    /// One case for each holder of a key, and one for somebody else.
    fn add_for_each_holder(&self, case: impl Fn() -> Vector) {
        self.add(&held_by_key(case()));
        self.add(&held_by_passphrase(case()));
        let stranger = Vector {
            master_keys: vec![held(NEXT_KEY)],
            ..case()
        };
        self.add(&failing(stranger, "no-matching-key"));
    }

    fn records(&self) {
        let cipher = both();
        for len in [0, 1, 16, 1024, 1025, 70_000] {
            let plaintext = sample(len);
            let sealed = cipher.encrypt(&plaintext, &context()).unwrap();
            self.add_for_each_holder(|| record(&sealed, &plaintext));
            let session = cipher.session(&labels()).unwrap();
            for _ in 0..3 {
                let sealed = session.encrypt(&plaintext, &context()).unwrap();
                self.add(&held_by_key(record(&sealed, &plaintext)));
            }
            let mut cut = sealed.clone();
            cut.pop();
            let fails = if len == 0 {
                "truncated"
            } else {
                "authentication-failed/record"
            };
            self.add(&held_by_key(failing(record(&cut, &plaintext), fails)));
            let fails = "context-mismatch/bindings-differ";
            let mut moved = held_by_key(failing(record(&sealed, &plaintext), fails));
            moved.bindings.insert("patient".into(), "MRN-0043".into());
            self.add(&moved);
        }
        let sealed = EnvelopeCipher::new(keyring(KEY))
            .encrypt("text", &Context::new())
            .unwrap();
        let text = phi_envelope::Envelope::from_bytes(sealed).unwrap();
        self.add(&held_by_key(Vector {
            call: "text".into(),
            text: Some(text.to_string()),
            opens: Some(digested(b"text").0),
            ..Vector::default()
        }));
    }

    fn streams(&self) {
        for (segment, block) in [(4096, 4096), (5000, 65_536)] {
            let cipher = EnvelopeCipher::builder()
                .encrypt_for(keyring(KEY))
                .encrypt_for(words())
                .segment_length(segment)
                .unwrap()
                .block_length(block)
                .unwrap()
                .build()
                .unwrap();
            let whole = 3 * (segment as usize - 32);
            for len in [0, 1, whole, whole + 1, 300_000] {
                let plaintext = sample(len);
                let mut inline = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
                inline.write_all(&plaintext).unwrap();
                let inline = inline.finish().unwrap();
                self.add_for_each_holder(|| case_of("stream-inline", &inline, &plaintext));
                let (header, mut detached) = cipher
                    .encrypt_writer_detached(Vec::new(), &context())
                    .unwrap();
                detached.write_all(&plaintext).unwrap();
                let detached = detached.finish().unwrap();
                let case = || Vector {
                    header: Some(Bytes::of(&header)),
                    ..case_of("stream-detached", &detached, &plaintext)
                };
                self.add(&held_by_key(case()));
                self.add(&held_by_passphrase(case()));
                let cut = Vector {
                    envelope: Some(Bytes::of(detached.split_last().unwrap().1)),
                    ..case()
                };
                self.add(&held_by_key(failing(cut, "truncated")));
            }
        }
    }

    /// A header that was changed, of a record and of a file.
    fn rewrapped(&self) {
        let ring = keyring(KEY);
        let cipher = EnvelopeCipher::new(ring.clone());
        let record_before = cipher.encrypt("BP 120/80", &context()).unwrap();
        let path = self.folder.path().join("file");
        let plain = self.folder.path().join("plain");
        fs::write(&plain, sample(100_000)).unwrap();
        files::encrypt(&cipher, &plain, &path, &context(), FileOptions::new()).unwrap();
        ring.rotate_to(master(NEXT_KEY), "next").unwrap();
        let record_after = cipher.rewrap(&record_before).unwrap();
        files::rewrap(&cipher, &path).unwrap();
        let file = fs::read(&path).unwrap();
        for (key, opens) in [(NEXT_KEY, true), (KEY, false)] {
            for case in [
                record(&record_after, b"BP 120/80"),
                case_of("stream-inline", &file, &sample(100_000)),
            ] {
                let case = Vector {
                    master_keys: vec![held(key)],
                    ..case
                };
                self.add(&if opens {
                    case
                } else {
                    failing(case, "no-matching-key")
                });
            }
        }
    }

    fn keyrings(&self) {
        let path = self.folder.path().join("keyring");
        let file = KeyringFile::create(&path, "ehr-2026", both()).unwrap();
        for year in 2027..2030 {
            let rotated = file.update(|edit| edit.rotate(&format!("ehr-{year}")));
            rotated.unwrap();
        }
        let ids: Vec<_> = file.keyring().keys().iter().map(|key| key.id).collect();
        file.update(|edit| {
            edit.suspend(*ids.get(1).unwrap())?;
            edit.mark_compromised(*ids.get(2).unwrap())
        })
        .unwrap();
        let bytes = fs::read(&path).unwrap();
        let listed = || Vector {
            call: "keyring-file".into(),
            envelope: Some(Bytes::of(&bytes)),
            opens: Some(Opens::listed(&file.keyring())),
            ..Vector::default()
        };
        self.add_for_each_holder(listed);
    }

    /// A keyring's file over many revisions: each follows all before it, as far as the chain reaches.
    fn histories(&self) {
        let path = self.folder.path().join("history");
        let file = KeyringFile::create(&path, "ehr-2026", keyring(KEY)).unwrap();
        let mut revisions = vec![(fs::read(&path).unwrap(), Opens::listed(&file.keyring()))];
        for seconds in 1..70 {
            let lease = std::time::Duration::from_secs(seconds);
            file.update(|edit| edit.set_lease(lease)).unwrap();
            revisions.push((fs::read(&path).unwrap(), Opens::listed(&file.keyring())));
        }
        let met_after = |seen: usize, met: usize| Vector {
            call: "keyring-file".into(),
            seen: Some(Bytes::of(&revisions[seen].0)),
            envelope: Some(Bytes::of(&revisions[met].0)),
            opens: Some(revisions[met].1.clone()),
            ..Vector::default()
        };
        for (seen, met) in [(0, 1), (0, 64), (5, 69), (68, 69), (69, 69)] {
            self.add(&held_by_key(met_after(seen, met)));
        }
        for (seen, met, why) in [(0, 65, "too-far"), (1, 0, "revision"), (69, 68, "revision")] {
            let fails = format!("rolled-back/{why}");
            self.add(&held_by_key(failing(met_after(seen, met), &fails)));
        }
    }

    /// Evidence, sealed again by the crate.
    fn evidence(&self) {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
        for name in ["evidence_file", "evidence_file_with_findings"] {
            let json = fs::read(vectors.join(name).with_extension("json")).unwrap();
            let vector: Vector = serde_json::from_slice(&json).unwrap();
            let sealed = vector.envelope.as_ref().unwrap().decode();
            let holder = EnvelopeCipher::new(vector.master_keys[0].keyring());
            let evidence = Evidence::open(&holder, sealed).unwrap();
            let sealed = evidence.seal(&both()).unwrap();
            self.add_for_each_holder(|| Vector {
                call: "evidence-file".into(),
                envelope: Some(Bytes::of(&sealed)),
                opens: vector.opens.clone(),
                ..Vector::default()
            });
        }
    }
}

fn record(sealed: &[u8], plaintext: &[u8]) -> Vector {
    case_of("record", sealed, plaintext)
}

fn case_of(call: &str, sealed: &[u8], plaintext: &[u8]) -> Vector {
    let labels = [("tenant", "clinic-7")];
    let bindings = [("patient", "MRN-0042"), ("record", "obs-7")];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Vector {
        call: call.into(),
        envelope: Some(Bytes::of(sealed)),
        labels: labels.map(owned).into(),
        bindings: bindings.map(owned).into(),
        opens: Some(digested(plaintext).0),
        ..Vector::default()
    }
}

fn held_by_key(case: Vector) -> Vector {
    Vector {
        master_keys: vec![held(KEY)],
        ..case
    }
}

fn held_by_passphrase(case: Vector) -> Vector {
    Vector {
        passphrases: vec![WORDS.into()],
        ..case
    }
}

fn failing(case: Vector, name: &str) -> Vector {
    Vector {
        opens: None,
        fails: Some(name.into()),
        ..case
    }
}

fn held(key: &str) -> Master {
    Master {
        id: master(key).id().to_string(),
        key: key.into(),
        state: None,
    }
}

/// A master key whose id is always the same.
fn master(key: &str) -> MasterKey {
    let id = if key == KEY { "a1" } else { "a2" }.repeat(16);
    MasterKey::from_base64(key)
        .unwrap()
        .with_id(id.parse().unwrap())
}

fn keyring(key: &str) -> Keyring {
    Keyring::from_master_key(master(key), "ehr-2026")
}

fn words() -> Passphrase {
    let costs = Argon2Costs {
        memory_kib: 64,
        passes: 1,
        lanes: 2,
    };
    Passphrase::new(WORDS).unwrap().with_costs(costs).unwrap()
}

/// A cipher that writes for a master key and a passphrase.
fn both() -> EnvelopeCipher {
    EnvelopeCipher::builder()
        .encrypt_for(keyring(KEY))
        .encrypt_for(words())
        .build()
        .unwrap()
}

fn labels() -> Context {
    Context::new().label("tenant", "clinic-7").unwrap()
}

fn context() -> Context {
    labels()
        .bind("patient", "MRN-0042")
        .unwrap()
        .bind("record", "obs-7")
        .unwrap()
}

fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
