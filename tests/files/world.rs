//! Files in a world with other programs, and systems that refuse what is optional: newer versions that come while a file is changed,
//! files that change or have no length while they are read, locks, links, pipes, threads that are not to be had.
#![cfg(target_os = "linux")]
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{context, keyring, keyring_of, sample};
use phi_envelope::{
    EnvelopeCipher, Error, KeyProvider, Keyring, Result,
    error::{AuthenticatedPart, Limit, RecipientError},
    files::{self, ChangeOptions, FileOptions, RewrapStatus, on_lock_wait},
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

const MIB: usize = 1 << 20;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn options() -> FileOptions<'static> {
    FileOptions::new()
}

fn sealed(cipher: &EnvelopeCipher, plaintext: &[u8]) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    out.write_all(plaintext).unwrap();
    out.finish().unwrap()
}

fn plaintext_of(cipher: &EnvelopeCipher, path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    let file = File::open(path).unwrap();
    files::decrypt_to(cipher, file, &mut out, &context(), options()).unwrap();
    out
}

fn io_error<T: std::fmt::Debug>(outcome: Result<T>) -> std::io::Error {
    match outcome {
        Err(Error::Io(error)) => error,
        other => panic!("{other:?} is not Error::Io"),
    }
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

// Newer versions.

/// Rounds in which another program puts its version in the place of a record while that is rewrapped, and how often it was lost.
fn rounds_against_a_rename(rounds: u32) -> u32 {
    let folder = Folder::new();
    let (path, beside) = (folder.path("record"), folder.path("theirs"));
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let mut lost = 0;
    for round in 0..rounds {
        fs::write(&path, cipher.encrypt("old", &context()).unwrap()).unwrap();
        keyring.rotate("next").unwrap();
        fs::write(&beside, cipher.encrypt("new", &context()).unwrap()).unwrap();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                // Whether it is busy or done, theirs is the newer version.
                drop(files::rewrap(&cipher, &path));
            });
            start.wait();
            for _ in 0..(round % 64) * 300 {
                std::hint::spin_loop();
            }
            fs::rename(&beside, &path).unwrap();
        });
        let there = cipher.decrypt(fs::read(&path).unwrap(), &context());
        lost += u32::from(&there.unwrap()[..] != b"new");
    }
    lost
}

#[test]
fn a_record_that_another_program_replaces_meanwhile_is_not_overwritten() {
    assert_eq!(rounds_against_a_rename(300), 0);
}

#[test]
#[ignore = "takes a minute: ten thousand rounds"]
fn of_ten_thousand_newer_versions_none_is_overwritten() {
    assert_eq!(rounds_against_a_rename(10_000), 0);
}

/// Ends the others when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn threads_that_replace_one_file_and_another_program_leave_the_last_version() {
    let folder = Folder::new();
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let path = folder.with("record", cipher.encrypt("0", &context()).unwrap());
    let over = AtomicBool::new(false);
    let there = || -> u32 {
        let there = cipher.decrypt(fs::read(&path).unwrap(), &context());
        let there = String::from_utf8(there.unwrap().to_vec());
        there.unwrap().parse().unwrap()
    };
    std::thread::scope(|scope| {
        // Also where this thread panics.
        let _over = Over(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    keyring.rotate("next").unwrap();
                    drop(files::rewrap(&cipher, &path));
                }
            });
        }
        for version in 1..200_u32 {
            let beside = folder.with(
                "theirs",
                cipher.encrypt(version.to_string(), &context()).unwrap(),
            );
            fs::rename(beside, &path).unwrap();
            // For a moment, until it is given back, the name may stand for what it stood for before.
            let mut looks = 0;
            while there() != version {
                looks += 1;
                assert!(looks < 100_000, "version {version} is lost");
                std::thread::yield_now();
            }
        }
    });
    assert_eq!(folder.names(), ["record"]);
}

// Files that are read.

#[test]
fn a_file_that_is_written_to_while_it_is_sealed_is_refused() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    for len in [100, 4 * MIB] {
        for threads in [1, 2] {
            let plain = folder.with("plain", sample(len));
            let file = File::options().write(true).open(&plain).unwrap();
            let mut is_done = false;
            let change = |_, _| {
                // The length stays: only the times tell.
                if !std::mem::replace(&mut is_done, true) {
                    std::thread::sleep(Duration::from_millis(20));
                    file.write_all_at(b"torn", len as u64 - 50).unwrap();
                }
                ControlFlow::Continue(())
            };
            let options = options()
                .threads(threads.try_into().unwrap())
                .progress(change);
            let sealing = files::encrypt(&cipher, &plain, folder.path("phi"), &context(), options);
            let text = io_error(sealing).to_string();
            assert!(text.contains("changed"), "{text}");
            assert_eq!(folder.names(), ["plain"]);
        }
    }
}

#[test]
fn what_states_no_length_is_sealed_to_its_end() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let phi = folder.path("phi");
    let version = fs::read("/proc/version").unwrap();
    assert!(!version.is_empty());
    assert_eq!(fs::metadata("/proc/version").unwrap().len(), 0);
    let report = files::encrypt(&cipher, "/proc/version", &phi, &context(), options()).unwrap();
    assert_eq!(report.plaintext_bytes, version.len() as u64);
    assert_eq!(plaintext_of(&cipher, &phi), version);
}

#[test]
fn what_states_too_great_a_length_is_sealed_to_its_end() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    // A file of sysfs states a page.
    let source = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
    let Ok(content) = fs::read(source) else {
        eprintln!("skipped: no such file of sysfs here");
        return;
    };
    let phi = folder.path("phi");
    files::encrypt(&cipher, source, &phi, &context(), options()).unwrap();
    assert_eq!(plaintext_of(&cipher, &phi), content);
}

#[test]
fn a_record_with_a_hole_at_its_end_is_not_read_into_memory() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let record = folder.with("record", cipher.encrypt("x", &context()).unwrap());
    let file = File::options().write(true).open(&record).unwrap();
    let too_long = |outcome| matches!(outcome, Err(Error::LimitExceeded(Limit::RecordFile)));
    for len in [(64 << 20) + 1, 600 << 20, 60 << 30] {
        file.set_len(len).unwrap();
        assert!(too_long(files::reencrypt(
            &cipher,
            &record,
            &context(),
            options()
        )));
    }
    let long = folder.with("long", cipher.encrypt(sample(5000), &context()).unwrap());
    let least = options().largest_record(5000);
    assert!(too_long(files::reencrypt(
        &cipher,
        &long,
        &context(),
        least
    )));
    let enough = options().largest_record(6000);
    files::reencrypt(&cipher, &long, &context(), enough).unwrap();
}

// Descriptors and readers.

#[test]
fn an_open_file_is_sealed_and_opened_from_where_it_stands() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let plain = folder.with("plain", sample(300_000));
    let (phi, out) = (folder.path("phi"), folder.path("out"));
    for at in [0, 1, 299_999, 300_000] {
        let mut file = File::open(&plain).unwrap();
        // Nothing can open it by its name any more.
        fs::remove_file(&plain).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        let over = || options().overwrite();
        let report = files::encrypt_from(&cipher, &file, &phi, &context(), over()).unwrap();
        assert_eq!(report.plaintext_bytes, 300_000 - at);
        let file = File::open(&phi).unwrap();
        files::decrypt_from(&cipher, &file, &out, &context(), over()).unwrap();
        assert!(fs::read(&out).unwrap() == sample(300_000)[usize::try_from(at).unwrap()..]);
        fs::write(&plain, sample(300_000)).unwrap();
    }
}

#[test]
fn a_pipe_that_is_open_is_sealed_and_opened() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let (phi, out) = (folder.path("phi"), folder.path("out"));
    let through = |bytes: Vec<u8>, work: &dyn Fn(&File)| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).unwrap());
            work(&File::from(std::os::fd::OwnedFd::from(reader)));
        });
    };
    through(sample(500_000), &|file| {
        files::encrypt_from(&cipher, file, &phi, &context(), options()).unwrap();
    });
    through(fs::read(&phi).unwrap(), &|file| {
        files::decrypt_from(&cipher, file, &out, &context(), options()).unwrap();
    });
    assert!(fs::read(&out).unwrap() == sample(500_000));
}

#[test]
fn any_reader_and_any_writer_will_do() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let (phi, out) = (folder.path("phi"), folder.path("out"));
    let plaintext = sample(200_000);
    files::encrypt_read(&cipher, &plaintext[..], &phi, &context(), options()).unwrap();
    let bytes = fs::read(&phi).unwrap();
    files::decrypt_read(&cipher, &bytes[..], &out, &context(), options()).unwrap();
    assert!(fs::read(&out).unwrap() == plaintext);
    let mut taken = Vec::new();
    let report = files::decrypt_to(&cipher, &bytes[..], &mut taken, &context(), options()).unwrap();
    assert!(taken == plaintext && report.plaintext_bytes == 200_000);
    // Cut off, a file is not there at all, and a writer is told.
    fs::remove_file(&out).unwrap();
    let cut = &bytes[..bytes.len() - 1];
    assert!(files::decrypt_read(&cipher, cut, &out, &context(), options()).is_err());
    assert!(files::decrypt_to(&cipher, cut, &mut taken, &context(), options()).is_err());
    assert_eq!(folder.names(), ["phi"]);
}

// Outputs.

#[test]
fn an_output_that_cannot_be_is_refused_before_the_work() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let plain = folder.with("plain", sample(MIB));
    for header in ["nowhere/header", "plain", "phi"] {
        let began = |_, _| panic!("work began");
        let options = options()
            .detached_header(folder.path(header))
            .progress(began);
        let phi = folder.path("phi");
        assert!(files::encrypt(&cipher, &plain, phi, &context(), options).is_err());
        assert_eq!(folder.names(), ["plain"]);
    }
}

#[test]
fn output_goes_to_what_a_symbolic_link_leads_to() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let plain = folder.with("plain", b"note");
    let (phi, link) = (folder.with("phi", b"before"), folder.path("link"));
    symlink("phi", &link).unwrap();
    let over = || options().overwrite();
    files::encrypt(&cipher, &plain, &link, &context(), over()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(plaintext_of(&cipher, &phi), b"note");
    let (out, to_out) = (folder.with("out", b""), folder.path("to_out"));
    symlink(&out, &to_out).unwrap();
    files::decrypt(&cipher, &phi, &to_out, &context(), over()).unwrap();
    assert!(fs::symlink_metadata(&to_out).unwrap().is_symlink());
    assert_eq!(fs::read(&out).unwrap(), b"note");
    // One that leads to nothing is no place for output.
    fs::remove_file(&out).unwrap();
    for options in [options(), over()] {
        let refused = io_error(files::decrypt(&cipher, &phi, &to_out, &context(), options));
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("to_out"), "{refused}");
    }
}

#[test]
fn special_bits_of_a_mode_go_with_no_copy() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let record = folder.with("record", cipher.encrypt("x", &context()).unwrap());
    let plain = folder.with("plain", b"x");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for path in [&record, &plain] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o6750)).unwrap();
    }
    keyring.rotate("2027").unwrap();
    files::rewrap(&cipher, &record).unwrap();
    let phi = folder.path("phi");
    files::encrypt(&cipher, &plain, &phi, &context(), options()).unwrap();
    assert_eq!((mode(&record), mode(&phi)), (0o750, 0o750));
}

// Pipes in the place of files.

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let (pipe, phi) = (folder.path("pipe"), folder.path("phi"));
    fifo(&pipe);
    fs::write(&phi, sealed(&cipher, b"note")).unwrap();
    let out = folder.path("out");
    let with_header = || options().detached_header(&pipe);
    let refused = [
        io_error(files::verify(&cipher, &pipe, &context(), options())),
        io_error(files::verify(&cipher, &phi, &context(), with_header())),
        io_error(files::open(&cipher, &pipe, &context(), options())),
        io_error(files::open(&cipher, &phi, &context(), with_header())),
        io_error(files::inspect(&pipe)),
        io_error(files::decrypt(
            &cipher,
            &phi,
            &out,
            &context(),
            with_header(),
        )),
        io_error(files::reencrypt(&cipher, &pipe, &context(), options())),
        io_error(files::repack(&cipher, &pipe, options())),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("pipe"), "{error}");
    }
    assert!(files::rewrap(&cipher, &pipe).is_err());
}

// Locks.

#[test]
fn a_lock_is_waited_for_no_longer_than_said_and_the_error_names_the_file() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let stream = folder.with("stream", sealed(&cipher, b"note"));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    keyring.rotate("2027").unwrap();
    let short = Some(Duration::from_millis(30));
    for path in [&stream, &record] {
        let name = path.file_name().unwrap().to_str().unwrap();
        // A mere reader, who can hold it for ever.
        let held = File::open(path).unwrap();
        held.lock_shared().unwrap();
        let busy = io_error(ChangeOptions::new().lock_wait(short).rewrap(&cipher, path));
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        assert!(busy.to_string().contains(name), "{busy}");
        let waits = options().lock_wait(short);
        let busy = io_error(files::reencrypt(&cipher, path, &context(), waits));
        assert!(busy.to_string().contains(name), "{busy}");
        // Who reads asks for no lock.
        files::inspect(path).unwrap();
        drop(held);
        let done = ChangeOptions::new().lock_wait(short).rewrap(&cipher, path);
        assert_eq!(done.unwrap(), RewrapStatus::Rewrapped);
    }
}

static TOLD: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_wait_for_a_lock_is_told_with_the_file() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let stream = folder.with("stream-that-is-locked", sealed(&cipher, b"note"));
    on_lock_wait(|path| {
        let is_it = path.ends_with("stream-that-is-locked");
        TOLD.fetch_add(usize::from(is_it), Ordering::Relaxed);
    });
    let held = File::open(&stream).unwrap();
    held.lock().unwrap();
    let longer = ChangeOptions::new().lock_wait(Some(Duration::from_millis(1200)));
    assert!(longer.rewrap(&cipher, &stream).is_err());
    assert_eq!(TOLD.load(Ordering::Relaxed), 1);
}

// Recipients and keyrings.

#[test]
fn sealing_anew_drops_no_recipient_unless_told_to() {
    let folder = Folder::new();
    let (keyring, safe) = (keyring(), Keyring::generate("the safe").unwrap());
    let both = EnvelopeCipher::builder()
        .encrypt_for(keyring.clone())
        .encrypt_for(safe.clone())
        .build()
        .unwrap();
    let (alone, of_safe) = (EnvelopeCipher::new(keyring), EnvelopeCipher::new(safe));
    for bytes in [
        sealed(&both, b"note"),
        both.encrypt("note", &context()).unwrap(),
    ] {
        let path = folder.with("phi", &bytes);
        let refused = files::reencrypt(&alone, &path, &context(), options());
        assert!(matches!(
            refused,
            Err(Error::Recipients(RecipientError::Dropped))
        ));
        assert!(fs::read(&path).unwrap() == bytes);
        files::reencrypt(&both, &path, &context(), options()).unwrap();
        assert_eq!(files::inspect(&path).unwrap().header.slots.len(), 2);
        let told = options().dropping_recipients();
        files::reencrypt(&alone, &path, &context(), told).unwrap();
        let slots = files::inspect(&path).unwrap().header.slots;
        assert_eq!(slots.len(), 1);
        assert!(files::verify(&of_safe, &path, &context(), options()).is_err());
    }
}

/// A keyring that may say that it cannot be confirmed.
struct Lease {
    keyring: Keyring,
    looks: AtomicUsize,
    /// At which look it is lost.
    lost_at: usize,
}

impl KeyProvider for Lease {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.keyring.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.keyring.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.keyring.unwrap_key(slot, context)
    }

    fn confirm(&self) -> Result<()> {
        if self.looks.fetch_add(1, Ordering::Relaxed) >= self.lost_at {
            return Err(Error::provider(true, "the lease is over"));
        }
        Ok(())
    }
}

#[test]
fn a_header_is_written_only_while_the_keyring_is_confirmed() {
    let keyring = keyring_of(1);
    let before = EnvelopeCipher::new(keyring.clone());
    let stream = sealed(&before, b"note");
    let record = before.encrypt("note", &context()).unwrap();
    keyring.rotate("2027").unwrap();
    let of = |lost_at| {
        EnvelopeCipher::new(Lease {
            keyring: keyring.clone(),
            looks: AtomicUsize::new(0),
            lost_at,
        })
    };
    type Work<'a> = &'a dyn Fn(&EnvelopeCipher, &Folder) -> Result<()>;
    let works: [(&str, Work<'_>); 7] = [
        ("encrypt", &|cipher, folder| {
            let (plain, new) = (folder.path("plain"), folder.path("new"));
            files::encrypt(cipher, plain, new, &context(), options()).map(drop)
        }),
        ("encrypt detached", &|cipher, folder| {
            let (plain, new) = (folder.path("plain"), folder.path("new"));
            let options = options().detached_header(folder.path("header"));
            files::encrypt(cipher, plain, new, &context(), options).map(drop)
        }),
        ("rewrap a stream", &|cipher, folder| {
            files::rewrap(cipher, folder.path("stream")).map(drop)
        }),
        ("rewrap a record", &|cipher, folder| {
            files::rewrap(cipher, folder.path("record")).map(drop)
        }),
        ("seal a stream anew", &|cipher, folder| {
            files::reencrypt(cipher, folder.path("stream"), &context(), options()).map(drop)
        }),
        ("seal a record anew", &|cipher, folder| {
            files::reencrypt(cipher, folder.path("record"), &context(), options()).map(drop)
        }),
        ("repack", &|cipher, folder| {
            files::repack(cipher, folder.path("stream"), options()).map(drop)
        }),
    ];
    for (name, work) in works {
        let mut refused = 0;
        for lost_at in 0.. {
            let folder = Folder::new();
            folder.with("plain", b"note");
            folder.with("stream", &stream);
            folder.with("record", &record);
            let outcome = work(&of(lost_at), &folder);
            if outcome.is_ok() {
                break;
            }
            refused += 1;
            assert!(
                matches!(outcome, Err(Error::Provider { .. })),
                "{name}: {outcome:?}"
            );
            assert_eq!(folder.names(), ["plain", "record", "stream"], "{name}");
            assert!(fs::read(folder.path("stream")).unwrap() == stream, "{name}");
            assert!(fs::read(folder.path("record")).unwrap() == record, "{name}");
        }
        assert!(refused > 0, "{name}");
    }
}

#[test]
fn a_payload_of_another_header_is_refused_before_any_key_work() {
    let folder = Folder::new();
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring);
    let plain = folder.with("plain", sample(10_000));
    let path = |name: &str| folder.path(name);
    for name in ["1", "2"] {
        let header = options().detached_header(path(&format!("header{name}")));
        let payload = path(&format!("payload{name}"));
        files::encrypt(&cipher, &plain, payload, &context(), header).unwrap();
    }
    let with = |header: &str| options().detached_header(path(header));
    let verify = |cipher: &EnvelopeCipher, payload: &str, header: &str| {
        files::verify(cipher, path(payload), &context(), with(header))
    };
    verify(&cipher, "payload1", "header1").unwrap();
    // FORMAT §2: "PHIP" ‖ 0x01 ‖ 0x03 ‖ 0x00 ‖ 0x00 ‖ message id[16]
    let payload = fs::read(path("payload1")).unwrap();
    assert_eq!(payload[..8], *b"PHIP\x01\x03\x00\x00");
    assert_eq!(payload[8..24], fs::read(path("header1")).unwrap()[16..32]);
    assert_eq!(payload[24..30], [0, 0, 0, 1, 0, 0]);
    // Whoever has none of the keys is told the same.
    let stranger = EnvelopeCipher::new(Keyring::generate("another").unwrap());
    for cipher in [&cipher, &stranger] {
        let other = verify(cipher, "payload2", "header1");
        assert!(matches!(
            other,
            Err(Error::AuthenticationFailed(
                AuthenticatedPart::PayloadOfAnotherHeader
            ))
        ));
    }
    for (at, byte) in [(0, b'X'), (4, 0), (4, 2), (5, 2), (6, 1), (7, 1), (8, 0xFF)] {
        let mut bytes = payload.clone();
        bytes[at] = if bytes[at] == byte { byte ^ 1 } else { byte };
        folder.with("changed", bytes);
        assert!(verify(&cipher, "changed", "header1").is_err(), "{at}");
        assert!(files::open(&cipher, path("changed"), &context(), with("header1")).is_err());
    }
    for len in [0, 3, 23, 24, 97] {
        folder.with("changed", &payload[..len]);
        assert!(verify(&cipher, "changed", "header1").is_err(), "{len}");
    }
}

// A process that gets less than it asks for.

/// The variable that tells a child its folder.
const FOLDER: &str = "PHI_TEST_WORLD";

#[test]
#[ignore = "what the children of other tests do"]
fn work_without_threads() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    assert!(std::thread::Builder::new().spawn(|| {}).is_err());
    let cipher = EnvelopeCipher::new(keyring_of(1));
    let path = |name: &str| Path::new(&folder).join(name);
    let plaintext = sample(3 * MIB);
    fs::write(path("plain"), &plaintext).unwrap();
    files::encrypt(&cipher, path("plain"), path("phi"), &context(), options()).unwrap();
    files::decrypt(&cipher, path("phi"), path("out"), &context(), options()).unwrap();
    assert!(fs::read(path("out")).unwrap() == plaintext);
    // On rayon's pool, where there is one: streams, and messages in memory.
    assert!(plaintext_of(&cipher, &path("phi")) == plaintext);
    let bytes = sealed(&cipher, &plaintext);
    let mut reader = cipher.decrypt_reader(&bytes[..], &context()).unwrap();
    let mut out = Vec::new();
    reader.read_to_end(&mut out).unwrap();
    assert!(out == plaintext);
    println!("ALL WAS DONE");
}

#[test]
fn where_no_thread_is_to_be_had_the_callers_does_the_work() {
    // Root may start as many as it likes.
    let as_nobody =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !as_nobody {
        eprintln!("skipped: this process may not become another user");
        return;
    }
    let folder = Folder::new();
    fs::set_permissions(folder.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = folder.path("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // A user of its own, so that no other program counts.
    let user = 61_000 + std::process::id() % 1000;
    let out = Command::new("prlimit")
        .arg("--nproc=1")
        .arg(&program)
        .args([
            "--exact",
            "world::work_without_threads",
            "--ignored",
            "--nocapture",
        ])
        .args(["--test-threads", "1"])
        .env(FOLDER, folder.0.path())
        .current_dir(folder.0.path())
        .uid(user)
        .gid(user)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}{errors}");
    assert!(text.contains("ALL WAS DONE"), "{text}{errors}");
}
