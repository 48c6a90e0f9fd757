//! Keyrings in files: who opens them, who changes them, and what a crash, a crowd or a forger leaves of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says
#![cfg(unix)] // modes, symbolic links and SIGKILL

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phi_envelope::{
    Context, EnvelopeCipher, Error, Keyring, KeyringFile, MasterKey, Passphrase,
    error::{KeyringError, Limit, Malformed},
    header::EnvelopeKind,
    inspect,
    keys::{Argon2Costs, KeyState},
};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";
/// Names the file to a test that runs in a process of its own.
const FILE: &str = "PHI_ENVELOPE_TEST_KEYRING_FILE";
/// Names the file in which such a process notes what it was promised.
const NOTES: &str = "PHI_ENVELOPE_TEST_NOTES";

/// A passphrase that costs next to nothing.
fn passphrase(text: &str) -> Passphrase {
    let costs = Argon2Costs {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    Passphrase::new(text).unwrap().with_costs(costs).unwrap()
}

fn ours() -> Passphrase {
    passphrase(PASSPHRASE)
}

/// A keyring of the master key that stands above the file.
fn outer(byte: u8) -> Keyring {
    Keyring::from_master_key(MasterKey::from_bytes_zeroizing(&mut [byte; 32]), "outer")
}

fn either() -> EnvelopeCipher {
    EnvelopeCipher::builder()
        .encrypt_for(ours())
        .encrypt_for(outer(1))
        .build()
        .unwrap()
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ehr.keyring");
    (folder, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names_in(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| name(entry.unwrap()))
        .collect();
    names.sort();
    names
}

/// Fails where any file in the folder holds one of the `forms`.
fn assert_nothing_in_clear(folder: &Path, forms: &[Vec<u8>]) {
    for name in names_in(folder) {
        let bytes = fs::read(folder.join(&name)).unwrap();
        for form in forms {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "{name} holds a key in clear");
        }
        assert!(
            !String::from_utf8_lossy(&bytes).contains("\"keys\""),
            "{name}"
        );
    }
}

// ---- Who may open it.

#[test]
fn a_passphrase_creates_and_opens_a_file_at_the_default_costs() {
    let (_folder, path) = folder();
    let file =
        KeyringFile::create(&path, "ehr-2026", Passphrase::new(PASSPHRASE).unwrap()).unwrap();
    let sealed = EnvelopeCipher::new(file.keyring())
        .encrypt("note", &Context::new())
        .unwrap();
    drop(file);
    let file = KeyringFile::open(&path, Passphrase::new(PASSPHRASE).unwrap()).unwrap();
    let opened = EnvelopeCipher::new(file.keyring())
        .decrypt(&sealed, &Context::new())
        .unwrap();
    assert_eq!(&opened[..], b"note");
}

#[test]
fn a_master_key_from_elsewhere_creates_and_opens_a_file() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "ehr-2026", outer(1)).unwrap();
    let again = KeyringFile::open(&path, outer(1)).unwrap();
    assert_eq!(again.keyring().keys(), file.keyring().keys());
    assert!(matches!(
        KeyringFile::open(&path, outer(2)),
        Err(Error::NoMatchingKey { .. })
    ));
    assert!(matches!(
        KeyringFile::open(&path, ours()),
        Err(Error::NoMatchingKey { .. })
    ));
}

#[test]
fn a_key_from_elsewhere_becomes_the_files_first_key() {
    let (_folder, path) = folder();
    let key = MasterKey::from_bytes_zeroizing(&mut [5; 32]);
    let id = key.id();
    KeyringFile::create_with(&path, key, "imported", ours()).unwrap();
    let keyring = KeyringFile::open(&path, ours()).unwrap().keyring();
    assert_eq!(keyring.active().unwrap(), id);
    assert_eq!(keyring.keys()[0].label, "imported");
}

#[test]
fn either_protection_alone_opens_the_file_and_updates_it_for_the_other() {
    let (_folder, path) = folder();
    KeyringFile::create(&path, "first", either()).unwrap();
    let by_passphrase = KeyringFile::open(&path, ours()).unwrap();
    let by_key = KeyringFile::open(&path, outer(1)).unwrap();

    let second = by_passphrase.update(|keys| keys.rotate("second")).unwrap();
    by_key.reload().unwrap();
    assert_eq!(by_key.keyring().active().unwrap(), second);
    let third = by_key.update(|keys| keys.rotate("third")).unwrap();
    by_passphrase.reload().unwrap();
    assert_eq!(by_passphrase.keyring().active().unwrap(), third);
    for file in [
        KeyringFile::open(&path, ours()),
        KeyringFile::open(&path, outer(1)),
    ] {
        assert_eq!(file.unwrap().keyring().keys().len(), 3);
    }
    let slots = inspect(&fs::read(&path).unwrap()).unwrap().slots;
    let schemes: Vec<_> = slots.iter().map(|slot| slot.scheme).collect();
    assert_eq!(schemes, [2, 1]);
}

#[test]
fn a_wrong_passphrase_is_said_to_be_wrong() {
    let (_folder, path) = folder();
    KeyringFile::create(&path, "first", ours()).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        KeyringFile::open(&path, passphrase("incorrect horse")),
        Err(Error::WrongPassphrase)
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn the_file_has_mode_0600_and_keeps_it() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    assert_eq!(mode(&path), 0o600);
    file.update(|keys| keys.rotate("second")).unwrap();
    assert_eq!(mode(&path), 0o600);
    file.reprotect(passphrase("another")).unwrap();
    assert_eq!(mode(&path), 0o600);
    set_mode(&path, 0o400);
    file.update(|keys| keys.rotate("third")).unwrap();
    assert_eq!(mode(&path), 0o400);
}

#[test]
fn a_file_that_others_may_touch_is_refused_and_the_remedy_is_said() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    for bit in [0o040, 0o020, 0o010, 0o004, 0o002, 0o001] {
        set_mode(&path, 0o600 | bit);
        let before = fs::read(&path).unwrap();
        let refusals = [
            KeyringFile::open(&path, ours()).map(drop),
            file.reload(),
            file.update(|keys| keys.rotate("second")).map(drop),
            file.reprotect(passphrase("another")),
        ];
        for refusal in refusals {
            let error = refusal.unwrap_err();
            assert!(
                matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied)
            );
            let message = error.to_string();
            assert!(message.contains("chmod 600"), "{message}");
            assert!(
                message.contains(&format!("{:04o}", 0o600 | bit)),
                "{message}"
            );
        }
        assert_eq!(fs::read(&path).unwrap(), before);

        let lenient = KeyringFile::options()
            .allow_access_by_others()
            .open(&path, ours())
            .unwrap();
        lenient.reload().unwrap();
        lenient.update(|keys| keys.rotate("more")).unwrap();
        assert_eq!(mode(&path), 0o600 | bit);
    }
    set_mode(&path, 0o600);
    file.reload().unwrap();
    assert_eq!(file.keyring().keys().len(), 7);
}

#[test]
fn creating_never_replaces_a_file() {
    let (folder, path) = folder();
    fs::write(&path, "something else").unwrap();
    let create = |path: &Path| KeyringFile::create(path, "first", ours()).map(drop);
    let exists = |result: Result<(), Error>| matches!(result, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists);
    assert!(exists(create(&path)));
    assert_eq!(fs::read(&path).unwrap(), b"something else");
    // Nor what a link names, nor a link that names nothing.
    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("nowhere"), &dangling).unwrap();
    assert!(exists(create(&dangling)));
    assert_eq!(names_in(folder.path()), ["dangling", "ehr.keyring"]);
}

#[test]
fn opening_what_is_not_there_is_an_io_error() {
    let (_folder, path) = folder();
    assert!(matches!(
        KeyringFile::open(&path, ours()),
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound
    ));
}

// ---- Who may change it.

#[test]
fn a_change_that_fails_changes_nothing() {
    let (folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let (bytes, keys) = (fs::read(&path).unwrap(), file.keyring().keys());
    let failed: Result<(), _> = file.update(|keys| {
        keys.rotate("second")?;
        keys.rotate("third")?;
        Err(Error::Misuse("the caller thought better of it"))
    });
    assert!(matches!(
        failed,
        Err(Error::Misuse("the caller thought better of it"))
    ));
    let refused = file.update(|edit| {
        edit.rotate("second")?;
        edit.destroy_without_evidence(keys[0].id)?;
        edit.resume(keys[0].id)
    });
    assert!(matches!(refused, Err(Error::KeyNotUsable { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(file.keyring().keys(), keys);
    assert_eq!(names_in(folder.path()), ["ehr.keyring"]);
}

#[test]
fn a_change_that_panics_changes_nothing_and_leaves_the_file_usable() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        file.update(|keys| -> Result<(), Error> {
            keys.rotate("second")?;
            std::panic::resume_unwind(Box::new("quietly"))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(file.keyring().keys().len(), 1);
    file.update(|keys| keys.rotate("second")).unwrap();
}

#[test]
fn a_change_that_cannot_be_written_is_not_published() {
    let (folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let keys = file.keyring().keys();
    // A folder in the file's place cannot be replaced by a file.
    let unwritable = file.update(|edit| {
        fs::remove_file(&path)?;
        fs::create_dir(&path)?;
        edit.rotate("second")
    });
    assert!(matches!(unwritable, Err(Error::Io(_))), "{unwritable:?}");
    assert_eq!(file.keyring().keys(), keys);
    assert_eq!(
        names_in(folder.path()),
        ["ehr.keyring"],
        "no temporary is left"
    );
    // Nor can anything be written into a folder that is gone.
    let (folder, path) = self::folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let keys = file.keyring().keys();
    let gone = file.update(|edit| {
        fs::remove_dir_all(folder.path())?;
        edit.rotate("second")
    });
    assert!(matches!(gone, Err(Error::Io(_))), "{gone:?}");
    assert_eq!(file.keyring().keys(), keys);
    assert!(matches!(file.reload(), Err(Error::Io(_))));
    assert_eq!(file.keyring().keys(), keys);
}

#[test]
fn a_change_that_would_make_the_file_too_long_to_be_read_is_refused() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let long = "x".repeat(16 << 20);
    let refused = |result| matches!(result, Err(Error::LimitExceeded(Limit::KeyringFile)));
    assert!(refused(file.update(|keys| keys.rotate(&long).map(drop))));
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(file.keyring().keys().len(), 1);
    let other = path.with_extension("other");
    assert!(refused(
        KeyringFile::create(&other, &long, ours()).map(drop)
    ));
    assert!(!other.exists());
}

#[test]
fn a_files_keyring_is_changed_through_the_file_alone() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let old = file.keyring().active().unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();
    let (bytes, keyring) = (fs::read(&path).unwrap(), file.keyring());
    let keys = keyring.keys();
    let refused = [
        keyring.rotate("third").map(drop),
        keyring
            .rotate_to(MasterKey::generate().unwrap(), "third")
            .map(drop),
        keyring.deactivate(old),
        keyring.suspend(old),
        keyring.resume(old),
        keyring.mark_compromised(old),
        keyring.destroy_without_evidence(old),
        keyring.clone().destroy_without_evidence(old),
    ];
    for refusal in refused {
        assert!(matches!(refusal, Err(Error::Misuse(_))));
    }
    assert_eq!(keyring.keys(), keys);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn ciphers_see_an_update_and_the_file_holds_it() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let cipher = EnvelopeCipher::new(file.keyring());
    let context = Context::new();
    let sealed = cipher.encrypt("note", &context).unwrap();
    let old = file.keyring().active().unwrap();
    let new = file.update(|keys| keys.rotate("second")).unwrap();
    let moved = cipher.rewrap(&sealed).unwrap();
    assert_eq!(inspect(&moved).unwrap().slots[0].key_id, new.as_bytes());
    file.update(|keys| keys.destroy_without_evidence(old))
        .unwrap();
    assert!(matches!(
        cipher.decrypt(&sealed, &context),
        Err(Error::KeyNotUsable { .. })
    ));

    let again = KeyringFile::open(&path, ours()).unwrap();
    assert_eq!(again.keyring().keys(), file.keyring().keys());
    assert_eq!(again.keyring().keys()[0].state, KeyState::Destroyed);
    let reader = EnvelopeCipher::new(again.keyring());
    assert_eq!(&reader.decrypt(&moved, &context).unwrap()[..], b"note");
}

#[test]
fn reloading_shows_what_others_changed() {
    let (_folder, path) = folder();
    let left = KeyringFile::create(&path, "first", ours()).unwrap();
    let right = KeyringFile::open(&path, ours()).unwrap();
    let cipher = EnvelopeCipher::new(right.keyring());
    let new = left.update(|keys| keys.rotate("second")).unwrap();
    let sealed = EnvelopeCipher::new(left.keyring())
        .encrypt("note", &Context::new())
        .unwrap();
    assert_ne!(right.keyring().active().unwrap(), new);
    right.reload().unwrap();
    assert_eq!(right.keyring().active().unwrap(), new);
    // A key that a header names is found without a word.
    let third = left.update(|keys| keys.rotate("third")).unwrap();
    let sealed_later = EnvelopeCipher::new(left.keyring())
        .encrypt("note", &Context::new())
        .unwrap();
    cipher.decrypt(&sealed, &Context::new()).unwrap();
    cipher.decrypt(&sealed_later, &Context::new()).unwrap();
    assert_eq!(right.keyring().active().unwrap(), third);
}

#[test]
fn two_handles_in_eight_threads_lose_no_key() {
    let (_folder, path) = folder();
    let left = KeyringFile::create(&path, "first", ours()).unwrap();
    let right = KeyringFile::open(&path, ours()).unwrap();
    let first = left.keyring().active().unwrap();
    let mut made: HashSet<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let file = if number % 2 == 0 { &left } else { &right };
                scope.spawn(move || {
                    let rotate = |_| {
                        let id = file.update(|keys| keys.rotate("more")).unwrap();
                        // What was promised is there, for this handle's ciphers too.
                        assert!(file.keyring().keys().iter().any(|key| key.id == id));
                        id
                    };
                    (0..20).map(rotate).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    made.insert(first);
    assert_eq!(made.len(), 161);
    let keys = KeyringFile::open(&path, ours()).unwrap().keyring().keys();
    assert_eq!(keys.len(), 161);
    assert!(keys.iter().all(|key| made.contains(&key.id)));
}

// ---- Other processes.

/// Runs one of the tests below in a process of its own.
fn start(test: &str, file: &Path, notes: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            &format!("keyring_file::{test}"),
            "--exact",
            "--ignored",
            "--test-threads=1",
        ])
        .env(FILE, file)
        .env(NOTES, notes)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The file to work on and the place for notes, where this is such a process.
fn started() -> Option<(KeyringFile, fs::File)> {
    let (file, notes) = (std::env::var_os(FILE)?, std::env::var_os(NOTES)?);
    let notes = OpenOptions::new()
        .append(true)
        .create(true)
        .open(notes)
        .unwrap();
    Some((KeyringFile::open(file, ours()).unwrap(), notes))
}

/// Rotates, and notes the id only when the key is promised to be durable.
fn rotate_and_note(file: &KeyringFile, notes: &mut fs::File) {
    let id = file.update(|keys| keys.rotate("from a process")).unwrap();
    notes.write_all(format!("{id}\n").as_bytes()).unwrap();
}

#[test]
#[ignore = "started by three_processes_lose_no_key"]
fn process_that_rotates_ten_times() {
    let Some((file, mut notes)) = started() else {
        return;
    };
    (0..10).for_each(|_| rotate_and_note(&file, &mut notes));
}

#[test]
#[ignore = "started by the tests that kill it"]
fn process_that_rotates_until_it_is_killed() {
    let Some((file, mut notes)) = started() else {
        return;
    };
    loop {
        rotate_and_note(&file, &mut notes);
    }
}

/// The whole lines of the notes.
fn noted(notes: &Path) -> Vec<String> {
    let text = fs::read_to_string(notes).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    whole.map(str::to_owned).collect()
}

#[test]
fn three_processes_lose_no_key() {
    let (_folder, path) = folder();
    let elsewhere = tempfile::tempdir().unwrap();
    let notes = elsewhere.path().join("notes");
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let children: Vec<_> = (0..3)
        .map(|_| start("process_that_rotates_ten_times", &path, &notes))
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    file.reload().unwrap();
    let ids: HashSet<_> = file
        .keyring()
        .keys()
        .iter()
        .map(|key| key.id.to_string())
        .collect();
    let noted = noted(&notes);
    assert_eq!((ids.len(), noted.len()), (31, 30));
    assert!(noted.iter().all(|id| ids.contains(id)));
}

/// Kills a process in the middle of its updates, again and again, and holds the file to its promises.
fn kill_in_the_middle(times: usize) {
    let (folder, path) = folder();
    let elsewhere = tempfile::tempdir().unwrap();
    let notes = elsewhere.path().join("notes");
    KeyringFile::create(&path, "first", ours()).unwrap();
    for time in 0..times {
        let before = noted(&notes).len();
        let mut child = start("process_that_rotates_until_it_is_killed", &path, &notes);
        let patience = Instant::now();
        while noted(&notes).len() == before {
            assert!(
                patience.elapsed() < Duration::from_secs(60),
                "the process does nothing"
            );
            thread::sleep(Duration::from_millis(1));
        }
        // Somewhere within an update, elsewhere each time.
        thread::sleep(Duration::from_micros(time as u64 * 7_919 % 10_000));
        child.kill().unwrap();
        child.wait().unwrap();

        let file = KeyringFile::open(&path, ours()).unwrap();
        let ids: HashSet<_> = file
            .keyring()
            .keys()
            .iter()
            .map(|key| key.id.to_string())
            .collect();
        let noted = noted(&notes);
        assert!(
            noted.iter().all(|id| ids.contains(id)),
            "a promised key is lost"
        );
        // Beside the first key, each kill may have come after a key was written and before it was noted.
        let not_noted = ids.len() - noted.len();
        assert!((1..=time + 2).contains(&not_noted), "{not_noted}");
        assert_nothing_in_clear(folder.path(), &[]);
        for name in names_in(folder.path()) {
            assert_eq!(mode(&folder.path().join(&name)), 0o600, "{name}");
        }
        // A kill leaves no lock behind.
        let mut notes = OpenOptions::new().append(true).open(&notes).unwrap();
        rotate_and_note(&file, &mut notes);
    }
}

#[test]
fn a_process_killed_in_the_middle_leaves_a_file_that_opens() {
    kill_in_the_middle(20);
}

#[test]
#[ignore = "takes a minute: the same two hundred times"]
fn two_hundred_processes_killed_in_the_middle_leave_a_file_that_opens() {
    kill_in_the_middle(200);
}

// ---- A new protection.

#[test]
fn a_new_protection_shuts_the_old_one_out_and_keeps_the_keys() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", either()).unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();
    let (before, keys) = (fs::read(&path).unwrap(), file.keyring().keys());

    // A master key that could no longer open it is dropped on demand alone.
    let refused = file.reprotect(passphrase("another one")).unwrap_err();
    assert!(refused.to_string().contains("keyring 4"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
    file.reprotect_dropping_recipients(passphrase("another one"))
        .unwrap();
    let after = fs::read(&path).unwrap();
    let (old, new) = (inspect(&before).unwrap(), inspect(&after).unwrap());
    assert_ne!(old.data_key_id, new.data_key_id);
    assert_eq!((old.slots.len(), new.slots.len()), (2, 1));
    assert!(matches!(
        KeyringFile::open(&path, ours()),
        Err(Error::WrongPassphrase)
    ));
    assert!(matches!(
        KeyringFile::open(&path, outer(1)),
        Err(Error::NoMatchingKey { .. })
    ));
    assert_eq!(file.keyring().keys(), keys);

    // The handle goes on under the new protection, and others find it there.
    file.update(|keys| keys.rotate("third")).unwrap();
    let again = KeyringFile::open(&path, passphrase("another one")).unwrap();
    assert_eq!(again.keyring().keys(), file.keyring().keys());
    assert_eq!(again.keyring().keys().len(), 3);
}

#[test]
fn a_handle_with_the_old_protection_neither_reads_nor_overwrites_the_new_file() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let stale = KeyringFile::open(&path, ours()).unwrap();
    file.reprotect(passphrase("another one")).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(matches!(stale.reload(), Err(Error::WrongPassphrase)));
    assert!(matches!(
        stale.update(|keys| keys.rotate("second")),
        Err(Error::WrongPassphrase)
    ));
    assert!(matches!(
        stale.reprotect(ours()),
        Err(Error::WrongPassphrase)
    ));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(stale.keyring().keys(), file.keyring().keys());
}

#[test]
fn a_protection_that_could_not_open_the_file_again_is_refused() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let reads_only = EnvelopeCipher::builder()
        .decrypt_with(ours())
        .build()
        .unwrap();
    assert!(matches!(file.reprotect(reads_only), Err(Error::Misuse(_))));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    file.update(|keys| keys.rotate("second")).unwrap();
    KeyringFile::open(&path, ours()).unwrap();
}

#[test]
fn a_suspension_is_not_undone_by_an_older_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ehr.keyring");
    let file = KeyringFile::create(&path, "2026", passphrase("pass")).unwrap();
    let key = file.keyring().active().unwrap();
    file.update(|keyring| keyring.rotate("2027")).unwrap();
    let before = fs::read(&path).unwrap();
    file.update(|keyring| keyring.suspend(key)).unwrap();
    let suspended = fs::read(&path).unwrap();
    fs::write(&path, before).unwrap();
    assert!(matches!(
        file.reload(),
        Err(Error::KeyringFile {
            fault: KeyringError::RolledBack(_),
            ..
        })
    ));
    fs::write(&path, suspended).unwrap();
    file.update(|keyring| keyring.resume(key)).unwrap();
    file.reload().unwrap();
}

#[test]
fn a_file_is_not_sealed_under_its_own_keys_alone() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(matches!(
        file.reprotect_dropping_recipients(file.keyring()),
        Err(Error::Misuse(_))
    ));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // Beside another way in, its own key does no harm.
    let beside = EnvelopeCipher::builder()
        .encrypt_for(file.keyring())
        .encrypt_for(outer(1))
        .build()
        .unwrap();
    file.reprotect_dropping_recipients(beside).unwrap();
    KeyringFile::open(&path, outer(1)).unwrap();
}

// ---- What it holds.

#[test]
fn an_older_file_put_back_is_refused_by_whoever_knows_a_newer_one() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    let first = file.keyring().active().unwrap();
    let mut older = vec![fs::read(&path).unwrap()];
    file.update(|keys| keys.rotate("second")).unwrap();
    older.push(fs::read(&path).unwrap());
    file.update(|keys| keys.mark_compromised(first)).unwrap();
    older.push(fs::read(&path).unwrap());
    file.update(|keys| keys.destroy_without_evidence(first))
        .unwrap();
    let (newest, keys) = (fs::read(&path).unwrap(), file.keyring().keys());
    let is_older = |result| {
        matches!(
            result,
            Err(Error::KeyringFile {
                fault: KeyringError::RolledBack(_),
                ..
            })
        )
    };
    for bytes in older {
        fs::write(&path, &bytes).unwrap();
        assert!(is_older(file.reload()));
        assert!(is_older(file.update(|keys| keys.rotate("third")).map(drop)));
        assert!(is_older(file.reprotect(passphrase("another one"))));
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(file.keyring().keys(), keys);
        // A process that starts anew cannot know.
        KeyringFile::open(&path, ours()).unwrap();
    }
    fs::write(&path, newest).unwrap();
    file.reload().unwrap();
    file.update(|keys| keys.rotate("third")).unwrap();
}

#[test]
fn bytes_that_are_no_record_are_refused() {
    let (_folder, path) = folder();
    KeyringFile::create(&path, "first", outer(1)).unwrap();
    let good = fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        KeyringFile::open(&path, outer(1)).map(drop)
    };
    assert!(matches!(
        open(b"{\"version\":1}"),
        Err(Error::NotAnEnvelope)
    ));
    assert!(matches!(open(&good[..40]), Err(Error::Truncated)));
    assert!(open(b"").is_err());
    let stream = EnvelopeCipher::new(outer(1))
        .encrypt_writer(Vec::new(), &Context::new())
        .unwrap();
    assert!(matches!(
        open(&stream.finish().unwrap()),
        Err(Error::Malformed(Malformed::OtherKind { .. }))
    ));
    for at in 0..good.len() {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        assert!(open(&flipped).is_err(), "byte {at}");
    }
    open(&good).unwrap();
}

#[test]
fn a_file_over_16_mib_is_refused() {
    let (_folder, path) = folder();
    let file = KeyringFile::create(&path, "first", ours()).unwrap();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len((16 << 20) + 1)
        .unwrap();
    let refused = |result| matches!(result, Err(Error::LimitExceeded(Limit::KeyringFile)));
    assert!(refused(KeyringFile::open(&path, ours()).map(drop)));
    assert!(refused(file.reload()));
    assert!(refused(file.update(|keys| keys.rotate("second")).map(drop)));
}

#[test]
fn a_link_stays_a_link_and_what_it_names_is_replaced() {
    let (folder, path) = folder();
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    let real = place.join("real.keyring");
    KeyringFile::create(&real, "first", ours()).unwrap();
    symlink("place/real.keyring", &path).unwrap();

    let file = KeyringFile::open(&path, ours()).unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();
    file.reprotect(passphrase("another one")).unwrap();
    file.reload().unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(fs::symlink_metadata(&real).unwrap().is_file());
    let direct = KeyringFile::open(&real, passphrase("another one")).unwrap();
    assert_eq!(direct.keyring().keys().len(), 2);
    assert_eq!(names_in(folder.path()), ["ehr.keyring", "place"]);
    assert_eq!(names_in(&place), ["real.keyring"]);
}

#[test]
fn the_file_can_be_inspected_and_holds_no_key_in_clear() {
    let (folder, path) = folder();
    let mut key = *b"a canary that is thirty-two long";
    let canary = key;
    let key = MasterKey::from_bytes_zeroizing(&mut key);
    let file =
        KeyringFile::create_with(&path, key, "a label to be kept to oneself", either()).unwrap();
    file.update(|keys| keys.rotate("second")).unwrap();

    let bytes = fs::read(&path).unwrap();
    let inspection = inspect(&bytes).unwrap();
    assert_eq!(
        (inspection.kind, inspection.labels.len()),
        (EnvelopeKind::Keyring, 0)
    );
    assert!(!inspection.has_bindings);
    let schemes: Vec<_> = inspection.slots.iter().map(|slot| slot.scheme).collect();
    assert_eq!(schemes, [2, 1]);
    let text = STANDARD.encode(canary);
    let mut forms = vec![canary.to_vec(), text.trim_end_matches('=').into()];
    forms.push(b"to be kept to oneself".to_vec());
    forms.push(PASSPHRASE.as_bytes().to_vec());
    assert_nothing_in_clear(folder.path(), &forms);
}
