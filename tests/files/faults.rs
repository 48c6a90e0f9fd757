//! Files where the world does not do as it should: full and read-only disks, links, pipes, odd names, files that change while
//! they are read, headers that do not fit, and forged blocks.
#![cfg(unix)]
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{BLOCK, RawHeader, block, context, keyring, labels, sample};
use phi_envelope::{
    Context, EnvelopeCipher, Error, Keyring,
    error::Limit,
    files::{self, FileOptions, RewrapStatus},
};

const MIB: usize = 1 << 20;

/// Puts a forged block into a good file.
type Place = fn(&[u8], &[u8]) -> Vec<u8>;

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
}

fn names(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// An inline stream in memory.
fn sealed(cipher: &EnvelopeCipher, plaintext: &[u8]) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    out.write_all(plaintext).unwrap();
    out.finish().unwrap()
}

fn opens(cipher: &EnvelopeCipher, path: &Path) -> bool {
    files::verify(cipher, path, &context(), options()).is_ok()
}

fn options() -> FileOptions<'static> {
    FileOptions::new()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn io_kind<T: std::fmt::Debug>(outcome: Result<T, Error>) -> ErrorKind {
    match outcome {
        Err(Error::Io(error)) => error.kind(),
        other => panic!("{other:?} is not Error::Io"),
    }
}

/// A file system in memory of its own, where this process may mount one.
struct Mount(PathBuf);

impl Mount {
    fn of(folder: &Folder, size: &str) -> Option<Self> {
        let at = folder.path("mount");
        fs::create_dir(&at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at)
            .output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(Self(at));
        }
        eprintln!("skipped: this process may not mount a file system");
        None
    }

    fn make_read_only(&self) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,ro"]).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_the_old_files_and_nothing_else() {
    let (folder, keyring) = (Folder::new(), keyring());
    let Some(disk) = Mount::of(&folder, "1m") else {
        return;
    };
    let cipher = EnvelopeCipher::new(keyring.clone());
    let plain = folder.with("plain", sample(2 * MIB));
    let phi = folder.with("phi", sealed(&cipher, &sample(2 * MIB)));
    let (stream, record) = (disk.0.join("stream"), disk.0.join("record"));
    fs::write(&stream, sealed(&cipher, &sample(300_000))).unwrap();
    let note = cipher.encrypt(sample(300_000), &context()).unwrap();
    fs::write(&record, &note).unwrap();
    // What is left is less than either file.
    let filler = disk.0.join("filler");
    fs::write(&filler, sample(200_000)).unwrap();
    let before: Vec<_> = [&stream, &record]
        .map(|path| fs::read(path).unwrap())
        .into();
    keyring.rotate("2027").unwrap();

    let new = disk.0.join("new");
    for threads in [1, 2] {
        let many = || options().threads(threads.try_into().unwrap());
        let full = ErrorKind::StorageFull;
        let sealing = files::encrypt(&cipher, &plain, &new, &context(), many());
        assert_eq!(io_kind(sealing), full);
        let opening = files::decrypt(&cipher, &phi, &new, &context(), many());
        assert_eq!(io_kind(opening), full);
        let over = files::decrypt(&cipher, &phi, &filler, &context(), many().overwrite());
        assert_eq!(io_kind(over), full);
        let anew = files::reencrypt(&cipher, &stream, &context(), many());
        assert_eq!(io_kind(anew), full);
        assert_eq!(io_kind(files::repack(&cipher, &stream, many())), full);
        assert_eq!(io_kind(files::rewrap(&cipher, &record)), full);
        let after: Vec<_> = [&stream, &record]
            .map(|path| fs::read(path).unwrap())
            .into();
        assert!(after == before);
        assert_eq!(names(&disk.0), ["filler", "record", "stream"]);
        assert!(fs::read(&filler).unwrap() == sample(200_000));
    }
    // In place there is nothing to run out of.
    assert_eq!(
        files::rewrap(&cipher, &stream).unwrap(),
        RewrapStatus::Rewrapped
    );
    fs::remove_file(filler).unwrap();
    assert_eq!(
        files::rewrap(&cipher, &record).unwrap(),
        RewrapStatus::Rewrapped
    );
}

#[test]
fn a_read_only_disk_is_an_error_and_not_a_change() {
    let (folder, keyring) = (Folder::new(), keyring());
    let Some(disk) = Mount::of(&folder, "4m") else {
        return;
    };
    let cipher = EnvelopeCipher::new(keyring.clone());
    let (stream, record) = (disk.0.join("stream"), disk.0.join("record"));
    fs::write(&stream, sealed(&cipher, b"note")).unwrap();
    fs::write(&record, cipher.encrypt("note", &context()).unwrap()).unwrap();
    let before = [&stream, &record].map(|path| fs::read(path).unwrap());
    keyring.rotate("2027").unwrap();
    disk.make_read_only();
    let read_only = ErrorKind::ReadOnlyFilesystem;
    let new = disk.0.join("new");
    let plain = folder.with("plain", "note");
    let sealing = files::encrypt(&cipher, &plain, &new, &context(), options());
    assert_eq!(io_kind(sealing), read_only);
    let opening = files::decrypt(&cipher, &stream, &new, &context(), options());
    assert_eq!(io_kind(opening), read_only);
    assert_eq!(io_kind(files::rewrap(&cipher, &stream)), read_only);
    assert_eq!(io_kind(files::rewrap(&cipher, &record)), read_only);
    let anew = files::reencrypt(&cipher, &stream, &context(), options());
    assert_eq!(io_kind(anew), read_only);
    assert!([&stream, &record].map(|path| fs::read(path).unwrap()) == before);
    // Reading asks for no more than reading.
    let out = folder.path("out");
    files::decrypt(&cipher, &stream, &out, &context(), options()).unwrap();
    assert_eq!(fs::read(out).unwrap(), b"note");
}

#[test]
fn a_folder_that_may_not_be_written_takes_a_rewrap_in_place_alone() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let stream = folder.with("stream", sealed(&cipher, b"note"));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    keyring.rotate("2027").unwrap();
    set_mode(folder.0.path(), 0o555);
    if File::create(folder.path("probe")).is_ok() {
        set_mode(folder.0.path(), 0o755);
        eprintln!("skipped: permissions do not bind this process");
        return;
    }
    let before = fs::read(&record).unwrap();
    let refused = io_kind(files::rewrap(&cipher, &record));
    let moved = files::rewrap(&cipher, &stream);
    set_mode(folder.0.path(), 0o755);
    assert_eq!(refused, ErrorKind::PermissionDenied);
    assert_eq!(moved.unwrap(), RewrapStatus::Rewrapped);
    assert_eq!(fs::read(&record).unwrap(), before);
}

#[test]
fn a_symbolic_link_is_followed_and_stays_one() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let stream = folder.with("stream", sealed(&cipher, &sample(100_000)));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    let (to_stream, to_record) = (folder.path("to_stream"), folder.path("to_record"));
    symlink("stream", &to_stream).unwrap();
    symlink(&record, &to_record).unwrap();
    let is_link = |path: &Path| fs::symlink_metadata(path).unwrap().is_symlink();

    keyring.rotate("2027").unwrap();
    for path in [&to_stream, &to_record] {
        assert_eq!(
            files::rewrap(&cipher, path).unwrap(),
            RewrapStatus::Rewrapped
        );
        assert_eq!(
            files::rewrap(&cipher, path).unwrap(),
            RewrapStatus::UpToDate
        );
    }
    files::reencrypt(&cipher, &to_stream, &context(), options()).unwrap();
    files::repack(&cipher, &to_stream, options()).unwrap();
    assert!(is_link(&to_stream) && is_link(&to_record) && !is_link(&stream));
    assert!(opens(&cipher, &stream));
    let note = cipher.decrypt(fs::read(&record).unwrap(), &context());
    assert_eq!(&note.unwrap()[..], b"note");

    let out = folder.path("out");
    files::decrypt(&cipher, &to_stream, &out, &context(), options()).unwrap();
    let to_out = folder.path("to_out");
    symlink(&out, &to_out).unwrap();
    let phi = folder.path("phi");
    files::encrypt(&cipher, &to_out, &phi, &context(), options()).unwrap();
    assert!(opens(&cipher, &phi));
    // Its input by another name.
    let itself = files::encrypt(&cipher, &to_out, &out, &context(), options().overwrite());
    assert_eq!(io_kind(itself), ErrorKind::InvalidInput);
    assert_eq!(fs::read(&out).unwrap(), sample(100_000));
}

#[test]
fn a_pipe_is_sealed_and_opened() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let (pipe, phi, out) = (folder.path("pipe"), folder.path("phi"), folder.path("out"));
    if !Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("skipped: no mkfifo");
        return;
    }
    let through = |bytes: &[u8], work: &dyn Fn() -> Result<u64, Error>| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // It may be read no further than an error.
                let _ = fs::write(&pipe, bytes);
            });
            work()
        })
    };
    for len in [0, 1, 65_504, 65_505, 1_000_000] {
        let plaintext = sample(len);
        let sealing = || {
            files::encrypt(&cipher, &pipe, &phi, &context(), options().overwrite())
                .map(|report| report.plaintext_bytes)
        };
        assert_eq!(through(&plaintext, &sealing).unwrap(), len as u64);
        assert_eq!(mode(&phi), 0o600);
        assert!(opens(&cipher, &phi));
        let opening = || {
            files::decrypt(&cipher, &pipe, &out, &context(), options().overwrite())
                .map(|report| report.plaintext_bytes)
        };
        let bytes = fs::read(&phi).unwrap();
        assert_eq!(through(&bytes, &opening).unwrap(), len as u64);
        assert!(fs::read(&out).unwrap() == plaintext);

        // What is cut off shows nothing.
        fs::remove_file(&out).unwrap();
        let cut = &bytes[..bytes.len() - 1];
        assert!(through(cut, &opening).is_err());
        assert_eq!(names(folder.0.path()), ["phi", "pipe"]);
    }
}

#[test]
fn rewraps_of_one_file_at_once_follow_each_other() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let before = sealed(&cipher, &sample(100_000));
    let stream = folder.with("stream", &before);
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (cipher, keyring, stream, record) = (&cipher, &keyring, &stream, &record);
            scope.spawn(move || {
                for round in 0..20 {
                    keyring.rotate(&format!("{thread}-{round}")).unwrap();
                    files::rewrap(cipher, stream).unwrap();
                    files::rewrap(cipher, record).unwrap();
                }
            });
        }
    });
    for path in [&stream, &record] {
        files::rewrap(&cipher, path).unwrap();
        assert_eq!(
            files::rewrap(&cipher, path).unwrap(),
            RewrapStatus::UpToDate
        );
        let inspection = files::inspect(path).unwrap();
        assert!(inspection.blocks_alike);
        let active = keyring.active().unwrap();
        assert_eq!(inspection.header.slots[0].key_id, active.as_bytes());
    }
    assert!(fs::read(&stream).unwrap()[2 * BLOCK..] == before[2 * BLOCK..]);
    assert!(opens(&cipher, &stream));
    assert_eq!(names(folder.0.path()), ["record", "stream"]);
}

#[test]
fn a_file_opens_at_every_moment_of_a_rewrap() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let stream = folder.with("stream", sealed(&cipher, b"note"));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    let over = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !over.load(Ordering::Relaxed) {
                files::verify(&cipher, &stream, &context(), options()).unwrap();
                let bytes = fs::read(&record).unwrap();
                cipher.decrypt(bytes, &context()).unwrap();
                reads += 1;
            }
            reads
        });
        for round in 0..200 {
            keyring.rotate(&round.to_string()).unwrap();
            files::rewrap(&cipher, &stream).unwrap();
            files::rewrap(&cipher, &record).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(reads > 0);
}

#[test]
fn a_file_that_changes_its_length_while_it_is_sealed_is_refused() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let len = 4 * MIB as u64;
    for (now, threads) in [
        (0, 1),
        (MIB as u64, 1),
        (len + 1, 1),
        (MIB as u64, 2),
        (len + 1, 2),
    ] {
        let plain = folder.with("plain", sample(4 * MIB));
        let change = |_, _| {
            File::options()
                .write(true)
                .open(&plain)
                .unwrap()
                .set_len(now)
                .unwrap();
            ControlFlow::Continue(())
        };
        let options = options()
            .threads(threads.try_into().unwrap())
            .progress(change);
        let sealing = files::encrypt(&cipher, &plain, folder.path("phi"), &context(), options);
        let text = sealing.unwrap_err().to_string();
        assert!(text.contains("changed its length"), "{text}");
        assert_eq!(names(folder.0.path()), ["plain"]);
    }
}

#[test]
fn permissions_follow_the_source_and_plaintext_is_private() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let plain = folder.with("plain", "note");
    let (phi, out) = (folder.path("phi"), folder.path("out"));
    for wanted in [0o600, 0o640, 0o444, 0o664] {
        set_mode(&plain, wanted);
        let overwrite = || options().overwrite();
        files::encrypt(&cipher, &plain, &phi, &context(), overwrite()).unwrap();
        assert_eq!(mode(&phi), wanted);
        files::decrypt(&cipher, &phi, &out, &context(), overwrite()).unwrap();
        assert_eq!(mode(&out), 0o600);
    }
    let stream = folder.with("stream", sealed(&cipher, b"note"));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    for wanted in [0o600, 0o640, 0o664] {
        set_mode(&stream, wanted);
        set_mode(&record, wanted);
        keyring.rotate("next").unwrap();
        files::rewrap(&cipher, &record).unwrap();
        assert_eq!(mode(&record), wanted);
        files::rewrap(&cipher, &stream).unwrap();
        assert_eq!(mode(&stream), wanted);
        files::reencrypt(&cipher, &stream, &context(), options()).unwrap();
        assert_eq!(mode(&stream), wanted);
        files::repack(&cipher, &stream, options()).unwrap();
        assert_eq!(mode(&stream), wanted);
    }
}

#[test]
fn what_is_replaced_keeps_its_owner() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let stream = folder.with("stream", sealed(&cipher, b"note"));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    let owner = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    };
    for path in [&stream, &record] {
        if std::os::unix::fs::chown(path, Some(12_345), Some(54_321)).is_err() {
            eprintln!("skipped: this process may not give a file away");
            return;
        }
    }
    keyring.rotate("2027").unwrap();
    files::rewrap(&cipher, &record).unwrap();
    files::reencrypt(&cipher, &stream, &context(), options()).unwrap();
    files::repack(&cipher, &stream, options()).unwrap();
    assert_eq!(owner(&record), (12_345, 54_321));
    assert_eq!(owner(&stream), (12_345, 54_321));
}

#[test]
fn of_hard_links_a_rewrap_in_place_changes_all_and_a_replacement_one() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let stream = folder.with("stream", sealed(&cipher, b"note"));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    let (stream_too, record_too) = (folder.path("stream_too"), folder.path("record_too"));
    fs::hard_link(&stream, &stream_too).unwrap();
    fs::hard_link(&record, &record_too).unwrap();
    let old = fs::read(&record).unwrap();
    keyring.rotate("2027").unwrap();
    files::rewrap(&cipher, &stream).unwrap();
    files::rewrap(&cipher, &record).unwrap();
    assert_eq!(fs::read(&stream).unwrap(), fs::read(&stream_too).unwrap());
    assert_eq!(
        files::rewrap(&cipher, &stream_too).unwrap(),
        RewrapStatus::UpToDate
    );
    assert_ne!(fs::read(&record).unwrap(), old);
    assert_eq!(fs::read(&record_too).unwrap(), old);
    let itself = folder.path("itself");
    fs::hard_link(&stream, &itself).unwrap();
    let onto = files::decrypt(&cipher, &stream, &itself, &context(), options().overwrite());
    assert_eq!(io_kind(onto), ErrorKind::InvalidInput);
    assert!(opens(&cipher, &itself));
}

#[test]
fn any_name_that_the_file_system_takes_will_do() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring.clone());
    let plain = folder.with("plain", "note");
    let odd = [
        OsString::from_vec(vec![0xFF, 0xFE, b'x']),
        OsString::from_vec(vec![b'n'; 255]),
        OsString::from("\n ' \" \\ \u{1F600}"),
        OsString::from("-rf"),
    ];
    for name in odd {
        let (path, out) = (folder.0.path().join(&name), folder.path("out"));
        for _ in 0..2 {
            let overwrite = options().overwrite();
            files::encrypt(&cipher, &plain, &path, &context(), overwrite).unwrap();
        }
        keyring.rotate("next").unwrap();
        assert_eq!(
            files::rewrap(&cipher, &path).unwrap(),
            RewrapStatus::Rewrapped
        );
        files::reencrypt(&cipher, &path, &context(), options()).unwrap();
        files::repack(&cipher, &path, options()).unwrap();
        let overwrite = options().overwrite();
        files::decrypt(&cipher, &path, &out, &context(), overwrite).unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"note");
        fs::write(&path, cipher.encrypt("note", &context()).unwrap()).unwrap();
        keyring.rotate("next").unwrap();
        assert_eq!(
            files::rewrap(&cipher, &path).unwrap(),
            RewrapStatus::Rewrapped
        );
        fs::remove_file(&path).unwrap();
        assert_eq!(names(folder.0.path()), ["out", "plain"]);
    }
}

#[test]
fn where_there_is_nothing_to_do_not_a_byte_is_written() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let stream = folder.with("stream", sealed(&cipher, b"note"));
    let record = folder.with("record", cipher.encrypt("note", &context()).unwrap());
    for path in [&stream, &record] {
        let before = (fs::read(path).unwrap(), fs::metadata(path).unwrap());
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(
            files::rewrap(&cipher, path).unwrap(),
            RewrapStatus::UpToDate
        );
        let after = (fs::read(path).unwrap(), fs::metadata(path).unwrap());
        assert!(before.0 == after.0);
        let times = |metadata: &fs::Metadata| {
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            (metadata.ino(), metadata.modified().unwrap(), changed)
        };
        assert_eq!(times(&before.1), times(&after.1));
    }
}

#[test]
fn a_header_that_no_longer_fits_is_refused_until_the_file_is_repacked() {
    let (folder, keyring) = (Folder::new(), keyring());
    let cipher = EnvelopeCipher::new(keyring);
    let value = "v".repeat(250);
    let with_label = |context: Context, number| context.label(format!("{number}"), &value);
    let labels = (0..14).try_fold(Context::new(), with_label).unwrap();
    let mut out = cipher.encrypt_writer(Vec::new(), &labels).unwrap();
    out.write_all(b"note").unwrap();
    let path = folder.with("phi", out.finish().unwrap());
    let mut others = Vec::new();
    let (before, refused, other) = loop {
        let (other, before) = (crate::common::keyring(), fs::read(&path).unwrap());
        match files::add_recipient(&cipher, &path, &other, &labels) {
            Ok(_) => others.push(other),
            Err(error) => break (before, error, other),
        }
    };
    assert!(matches!(refused, Error::LimitExceeded(Limit::HeaderBlock)));
    assert!(refused.to_string().contains("repack_file"), "{refused}");
    assert!(fs::read(&path).unwrap() == before);
    assert!(!others.is_empty());

    files::repack(&cipher, &path, options().block_length(8192).unwrap()).unwrap();
    let repacked = fs::read(&path).unwrap();
    assert!(repacked[2 * 8192..] == before[2 * BLOCK..]);
    files::add_recipient(&cipher, &path, &other, &labels).unwrap();
    for recipient in others.into_iter().chain([other]) {
        let reader = EnvelopeCipher::new(recipient);
        files::verify(&reader, &path, &labels, options()).unwrap();
    }
    assert_eq!(names(folder.0.path()), ["phi"]);
}

#[test]
fn a_forged_block_never_costs_the_good_one() {
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let good = sealed(&cipher, b"note");
    let forged_of = |change: &dyn Fn(&mut RawHeader)| {
        let (mut header, _) = RawHeader::parse(&good);
        header.generation = u32::MAX;
        change(&mut header);
        header.block()
    };
    // The digest is right and the tag is not.
    let forged = [
        forged_of(&|_| {}),
        forged_of(&|header| header.tag = [0; 32]),
        forged_of(&|header| header.slots[0].wrapped = vec![1; 60]),
        forged_of(&|header| header.data_key_id = [9; 16]),
        forged_of(&|header| {
            header
                .slots
                .push(crate::common::RawSlot::new(9, b"?", b"?"))
        }),
    ];
    let stranger = forged_of(&|header| header.slots[0].key_id = vec![9; 16]);
    let places: [Place; 2] = [
        |forged, good| [forged, &good[BLOCK..]].concat(),
        |forged, good| [&good[..BLOCK], forged, &good[2 * BLOCK..]].concat(),
    ];
    // Where nothing else is to do, the good one is written over it, and never the other way round.
    for forged in &forged {
        for place in places {
            let folder = Folder::new();
            let path = folder.with("phi", place(forged, &good));
            assert_eq!(
                files::rewrap(&cipher, &path).unwrap(),
                RewrapStatus::Rewrapped
            );
            assert!(fs::read(&path).unwrap() == good);
        }
    }
    keyring.rotate("2027").unwrap();
    for (number, forged) in forged.iter().enumerate() {
        for place in places {
            let folder = Folder::new();
            let path = folder.with("phi", place(forged, &good));
            assert!(opens(&cipher, &path), "{number}");
            assert_eq!(
                files::rewrap(&cipher, &path).unwrap(),
                RewrapStatus::Rewrapped
            );
            let after = fs::read(&path).unwrap();
            assert!(after[..BLOCK] == after[BLOCK..2 * BLOCK], "{number}");
            assert!(after[2 * BLOCK..] == good[2 * BLOCK..], "{number}");
            assert_eq!(files::inspect(&path).unwrap().header.generation, 1);
            assert!(opens(&cipher, &path), "{number}");
        }
    }
    // One that no key of ours opens stops the writer, who changes nothing.
    for place in places {
        let folder = Folder::new();
        let bytes = place(&stranger, &good);
        let path = folder.with("phi", &bytes);
        let outcome = files::rewrap(&cipher, &path);
        assert!(matches!(outcome, Err(Error::NoMatchingKey { .. })));
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn blocks_that_differ_are_repaired_by_the_next_run() {
    let keyring = keyring();
    let cipher = EnvelopeCipher::new(keyring.clone());
    let good = sealed(&cipher, b"note");
    let (header, _) = RawHeader::parse(&good);
    let other_padding = {
        let mut bytes = header.write();
        bytes.push(1);
        block(&bytes, BLOCK)
    };
    for bad in [vec![0; BLOCK], vec![0xA5; BLOCK], other_padding] {
        let first = [&bad, &good[BLOCK..]].concat();
        let second = [&good[..BLOCK], &bad, &good[2 * BLOCK..]].concat();
        for bytes in [first, second] {
            let folder = Folder::new();
            let path = folder.with("phi", &bytes);
            assert!(!files::inspect(&path).unwrap().blocks_alike);
            assert_eq!(
                files::rewrap(&cipher, &path).unwrap(),
                RewrapStatus::Rewrapped
            );
            assert!(fs::read(&path).unwrap() == good);
            // A refused change repairs them too.
            fs::write(&path, &bytes).unwrap();
            let has_one = files::add_recipient(&cipher, &path, &keyring, &labels());
            assert!(matches!(has_one, Err(Error::Recipients(_))));
            assert!(fs::read(&path).unwrap() == good);
        }
    }
}

#[test]
fn a_detached_header_is_there_before_its_payload_and_goes_with_it() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let plain = folder.with("plain", "note");
    let (payload, header) = (folder.path("payload"), folder.path("header"));
    let sealing = |options: FileOptions<'static>| {
        let options = options.detached_header(&header);
        files::encrypt(&cipher, &plain, &payload, &context(), options)
    };
    fs::write(&header, "another's").unwrap();
    assert_eq!(io_kind(sealing(options())), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&header).unwrap(), b"another's");
    assert_eq!(names(folder.0.path()), ["header", "plain"]);
    fs::remove_file(&header).unwrap();
    // The payload's name is taken while it is sealed.
    let take = |_, _| {
        fs::write(&payload, "another's").unwrap();
        ControlFlow::Continue(())
    };
    let progress = FileOptions::new().detached_header(&header).progress(take);
    let sealed = files::encrypt(&cipher, &plain, &payload, &context(), progress);
    assert_eq!(io_kind(sealed), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&payload).unwrap(), b"another's");
    assert_eq!(names(folder.0.path()), ["payload", "plain"]);
}

#[test]
fn keyrings_that_are_no_longer_there_change_nothing() {
    let (folder, cipher) = (Folder::new(), EnvelopeCipher::new(keyring()));
    let bytes = sealed(&cipher, b"note");
    let path = folder.with("phi", &bytes);
    let stranger = EnvelopeCipher::new(Keyring::generate("other").unwrap());
    assert!(matches!(
        files::rewrap(&stranger, &path),
        Err(Error::NoMatchingKey { .. })
    ));
    assert!(files::reencrypt(&stranger, &path, &context(), options()).is_err());
    assert!(files::repack(&stranger, &path, options()).is_err());
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(names(folder.0.path()), ["phi"]);
}
