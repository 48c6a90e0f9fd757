//! Files: sealed, opened, verified, read in part, sealed anew, repacked; and what is refused.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use phi_envelope::{
    Context, EnvelopeCipher, Error, Keyring,
    files::{self, FileOptions},
};

const SEGMENT: usize = 4096 - 32;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn cipher() -> EnvelopeCipher {
    EnvelopeCipher::new(Keyring::generate("test").unwrap())
}

fn context() -> Context {
    Context::new()
        .label("tenant", "clinic-7")
        .unwrap()
        .bind("export", "42")
        .unwrap()
}

fn short() -> FileOptions<'static> {
    FileOptions::new().segment_length(4096).unwrap()
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn sealed(cipher: &EnvelopeCipher, folder: &Folder, bytes: &[u8]) -> PathBuf {
    let (plain, phi) = (folder.with("plain", bytes), folder.path("phi"));
    files::encrypt(cipher, &plain, &phi, &context(), short()).unwrap();
    phi
}

fn decrypted(cipher: &EnvelopeCipher, path: &Path, threads: usize) -> Vec<u8> {
    let out = path.with_extension("out");
    let options = FileOptions::new()
        .threads(NonZeroUsize::new(threads).unwrap())
        .overwrite();
    files::decrypt(cipher, path, &out, &context(), options).unwrap();
    fs::read(out).unwrap()
}

#[test]
fn every_size_comes_back_on_one_thread_and_on_many_and_through_the_reader() {
    let cipher = cipher();
    for len in [
        0,
        1,
        SEGMENT - 1,
        SEGMENT,
        SEGMENT + 1,
        64 * SEGMENT,
        64 * SEGMENT + 1,
        65 * SEGMENT - 1,
        1_000_000,
    ] {
        let (folder, bytes) = (Folder::new(), plaintext(len));
        let path = sealed(&cipher, &folder, &bytes);
        assert_eq!(decrypted(&cipher, &path, 1), bytes, "{len}");
        assert_eq!(decrypted(&cipher, &path, 4), bytes, "{len}");
        let mut streamed = Vec::new();
        let file = fs::File::open(&path).unwrap();
        let mut reader = cipher.decrypt_reader(file, &context()).unwrap();
        std::io::copy(&mut reader, &mut streamed).unwrap();
        assert_eq!(streamed, bytes, "{len}");
        let report = files::verify(&cipher, &path, &context(), FileOptions::new()).unwrap();
        assert_eq!(report.plaintext_bytes, len as u64);
        let inspection = files::inspect(&path).unwrap();
        assert_eq!(inspection.plaintext_bytes, Some(len as u64));
        assert_eq!(inspection.segment_length, Some(4096));
    }
}

#[test]
fn what_the_writer_wrote_the_file_layer_opens() {
    let (cipher, folder, bytes) = (cipher(), Folder::new(), plaintext(300_000));
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    std::io::copy(&mut &bytes[..], &mut out).unwrap();
    let path = folder.with("phi", &out.finish().unwrap());
    assert_eq!(decrypted(&cipher, &path, 3), bytes);
}

#[test]
fn any_range_is_read_alone() {
    let (cipher, folder, bytes) = (cipher(), Folder::new(), plaintext(10 * SEGMENT + 77));
    let path = sealed(&cipher, &folder, &bytes);
    let file = files::open(&cipher, &path, &context(), FileOptions::new()).unwrap();
    assert_eq!(file.len(), bytes.len() as u64);
    for offset in (0..bytes.len() + 10).step_by(577) {
        for len in [0, 1, 100, SEGMENT, SEGMENT + 1, 3 * SEGMENT, bytes.len()] {
            let mut out = vec![0; len];
            let read = file.read_at(&mut out, offset as u64).unwrap();
            let end = (offset + len).min(bytes.len());
            assert_eq!(out[..read], bytes[offset.min(end)..end], "{offset} {len}");
        }
    }
}

#[test]
fn output_is_not_overwritten_unless_asked_and_never_is_the_input() {
    let (cipher, folder) = (cipher(), Folder::new());
    let path = sealed(&cipher, &folder, b"first");
    let plain = folder.with("plain", b"second");
    let again = files::encrypt(&cipher, &plain, &path, &context(), short());
    assert!(
        matches!(again, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists)
    );
    assert_eq!(decrypted(&cipher, &path, 1), b"first");
    files::encrypt(&cipher, &plain, &path, &context(), short().overwrite()).unwrap();
    assert_eq!(decrypted(&cipher, &path, 1), b"second");
    let itself = files::encrypt(&cipher, &plain, &plain, &context(), short().overwrite());
    assert!(matches!(itself, Err(Error::Io(_))));
    assert_eq!(fs::read(&plain).unwrap(), b"second");
}

#[test]
fn a_cancelled_or_failed_run_leaves_nothing() {
    let (cipher, folder) = (cipher(), Folder::new());
    let path = sealed(&cipher, &folder, &plaintext(3_000_000));
    let before = folder.names();
    let cancel = |_, _| ControlFlow::Break(());
    let out = folder.path("out");
    let cancelled = files::decrypt(
        &cipher,
        &path,
        &out,
        &context(),
        FileOptions::new().progress(cancel),
    );
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    let cancelled = files::encrypt(&cipher, &path, &out, &context(), short().progress(cancel));
    assert!(matches!(cancelled, Err(Error::Cancelled)));
    assert_eq!(folder.names(), before);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_500_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let failed = files::decrypt(&cipher, &path, &out, &context(), FileOptions::new());
    assert!(matches!(failed, Err(Error::AuthenticationFailed(_))));
    assert_eq!(folder.names(), before);
}

#[test]
fn a_detached_header_stands_apart() {
    let (cipher, folder, bytes) = (cipher(), Folder::new(), plaintext(100_000));
    let (plain, payload, header) = (
        folder.with("plain", &bytes),
        folder.path("payload"),
        folder.path("header"),
    );
    let options = || FileOptions::new().detached_header(&header);
    files::encrypt(&cipher, &plain, &payload, &context(), options()).unwrap();
    let out = folder.path("out");
    files::decrypt(&cipher, &payload, &out, &context(), options()).unwrap();
    assert_eq!(fs::read(out).unwrap(), bytes);
    assert!(files::verify(&cipher, &payload, &context(), FileOptions::new()).is_err());
}

#[test]
fn sealing_anew_changes_the_data_key_and_demands_the_labels() {
    let (cipher, folder, bytes) = (cipher(), Folder::new(), plaintext(100_000));
    let path = sealed(&cipher, &folder, &bytes);
    let before = files::inspect(&path).unwrap().header.data_key_id;
    let without = Context::new().bind("export", "42").unwrap();
    let refused = files::reencrypt(&cipher, &path, &without, FileOptions::new());
    assert!(matches!(refused, Err(Error::ContextMismatch(_))));
    files::reencrypt(&cipher, &path, &context(), FileOptions::new()).unwrap();
    assert_ne!(files::inspect(&path).unwrap().header.data_key_id, before);
    assert_eq!(decrypted(&cipher, &path, 2), bytes);
}

#[test]
fn repacking_lengthens_the_blocks_and_keeps_the_payload() {
    let (cipher, folder, bytes) = (cipher(), Folder::new(), plaintext(100_000));
    let path = sealed(&cipher, &folder, &bytes);
    let before = fs::read(&path).unwrap();
    let options = FileOptions::new().block_length(16_384).unwrap();
    files::repack(&cipher, &path, options).unwrap();
    let after = fs::read(&path).unwrap();
    assert_eq!(after[32_768..], before[8192..]);
    assert_eq!(files::inspect(&path).unwrap().header.block_length, 16_384);
    assert_eq!(decrypted(&cipher, &path, 2), bytes);
}

#[test]
fn a_file_has_segments_of_the_ciphers_length_unless_told_otherwise() {
    let folder = Folder::new();
    let keyring = Keyring::generate("test").unwrap();
    let builder = EnvelopeCipher::builder().encrypt_for(keyring);
    let cipher = builder.segment_length(8192).unwrap().build().unwrap();
    let source = folder.with("plain", &plaintext(100_000));
    let sealed = |name: &str, options: FileOptions<'_>| {
        let target = folder.path(name);
        files::encrypt(&cipher, &source, &target, &context(), options).unwrap();
        fs::metadata(target).unwrap().len()
    };
    let beside = 2 * 4096 + 74;
    // 8,192 − 32 go thirteen times into 100,000, 4,096 − 32 twenty-five times; each segment takes 32 bytes more.
    assert_eq!(sealed("a", FileOptions::new()), beside + 100_000 + 13 * 32);
    assert_eq!(sealed("b", short()), beside + 100_000 + 25 * 32);
}
