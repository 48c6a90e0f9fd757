//! Faults by enumeration: each call to the file system fails once, in each way, and what is left is looked at.

mod blocks;
mod late;
mod operations;
#[cfg(target_os = "linux")]
mod optional;
mod order;
mod others;
#[cfg(target_os = "linux")]
mod pipes;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use crate::disk::faults::{self, Fault, Faults};
use crate::disk::{Call, Disk};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{Error, Result};
use crate::files::FileOptions;
use crate::keys::Keyring;

/// What all plaintext is made of, to be sought in what must hold none.
const CANARY: &[u8] = b"CANARY-OF-A-MRN-";
/// Bytes of a plaintext: two runs of segments, the second of them short.
const PLAINTEXT: usize = 300_003;
const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

type Run<'a> = Box<dyn Fn(&Disk, &Folder) -> Result<()> + 'a>;

/// An operation on the files of a folder.
struct Operation<'a> {
    /// The files before it.
    before: Vec<(&'static str, Vec<u8>)>,
    run: Run<'a>,
    /// Whether it is done; panics where a file is neither the whole old nor the whole new one.
    is_done: Box<dyn Fn(&Folder) -> bool + 'a>,
    /// The files that may hold plaintext, once they are there.
    plain: &'static [&'static str],
    /// The files there may be afterwards.
    names: &'static [&'static str],
    /// What it may say where it was done already.
    refusal: fn(&Error) -> bool,
    /// Whether what took effect is all of the change; else the next run completes it.
    is_atomic: bool,
}

impl Operation<'_> {
    /// Runs it with each fault at each call, until a run meets none.
    fn enumerate(&self, names_all: bool) {
        let harmless = [Fault::Errno(EINTR), Fault::Short];
        let failing = [Fault::Errno(EIO), Fault::Errno(ENOSPC)];
        for fault in harmless.iter().chain(&failing).chain(&[Fault::Killed]) {
            for at in 0.. {
                assert!(at < 1000, "the faults are never over");
                let what = format!("{fault:?} at call {at}, names_all {names_all}");
                let folder = Folder::of(&self.before);
                let faults = Faults::at(at, *fault);
                let outcome = (self.run)(&disk(&faults, names_all), &folder);
                if !faults.was_met() || harmless.contains(fault) {
                    outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
                    assert!((self.is_done)(&folder), "{what}");
                    folder.holds_only(self.names, self.plain, &what);
                } else if failing.contains(fault) {
                    let done = (self.is_done)(&folder);
                    match outcome {
                        Err(Error::Io(_)) => {
                            assert!(!done, "{what}");
                            assert!(self.is_as_before(&folder), "{what}");
                            folder.holds_only(self.names, self.plain, &what);
                        }
                        // The old file may be left beside the new one, as after a death.
                        Err(Error::TookEffect { .. }) => {
                            assert!(done || !self.is_atomic, "{what}");
                            self.after_death(&folder, names_all, &what);
                        }
                        // The old file is removed at the second attempt.
                        Ok(()) if faults.calls().get(at) == Some(&Call::Remove) => {
                            assert!(done, "{what}");
                            folder.holds_only(self.names, self.plain, &what);
                        }
                        outcome => panic!("{what}: {outcome:?}"),
                    }
                } else {
                    assert!(outcome.is_err(), "{what}");
                    self.after_death(&folder, names_all, &what);
                }
                if !faults.was_met() {
                    break;
                }
            }
        }
    }

    fn is_as_before(&self, folder: &Folder) -> bool {
        let before = self.before.iter();
        let before = before.map(|(name, bytes)| ((*name).to_owned(), bytes.clone()));
        folder.files() == before.collect()
    }

    /// What a dead process left is whole, and the next run removes the rest.
    fn after_death(&self, folder: &Folder, names_all: bool, what: &str) {
        let done = (self.is_done)(folder);
        for (name, bytes) in folder.files() {
            if name.starts_with(".phi-tmp-") {
                // A file that could be made without a name gets one only when it is whole.
                let plain = holds_canary(&bytes);
                assert!(names_all || !plain || bytes == plaintext(), "{what}");
                assert!(!plain || folder.mode(&name) & 0o777 == 0o600, "{what}");
            } else {
                let may = self.plain.contains(&&*name) || !holds_canary(&bytes);
                assert!(may, "{what}: plaintext in {name}");
            }
        }
        match (self.run)(&disk(&Faults::none(), names_all), folder) {
            Ok(()) => assert!((self.is_done)(folder), "{what}"),
            Err(error) => {
                let refused = (self.refusal)(&error);
                assert!(refused, "{what}: done {done}, {error}");
            }
        }
        folder.holds_only(self.names, self.plain, what);
    }
}

fn disk(faults: &std::sync::Arc<Faults>, names_all: bool) -> Disk {
    let disk = Disk::with_faults(faults);
    if names_all { disk.naming_all() } else { disk }
}

/// A folder for one run.
struct Folder(tempfile::TempDir);

impl Folder {
    fn of(files: &[(&'static str, Vec<u8>)]) -> Self {
        let folder = Self(faults::folder());
        for (name, bytes) in files {
            fs::write(folder.path(name), bytes).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The bytes of a file, where it is there.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok()
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect()
    }

    fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(self.path(name)).unwrap();
        metadata.permissions().mode()
    }

    fn holds_only(&self, names: &[&str], plain: &[&str], what: &str) {
        for (name, bytes) in self.files() {
            assert!(names.contains(&&*name), "{what}: {name} is left");
            let may = plain.contains(&&*name) || !holds_canary(&bytes);
            assert!(may, "{what}: plaintext in {name}");
        }
    }
}

fn holds_canary(bytes: &[u8]) -> bool {
    (bytes.windows(CANARY.len())).any(|window| window[0] == CANARY[0] && window == CANARY)
}

fn plaintext() -> Vec<u8> {
    CANARY.iter().copied().cycle().take(PLAINTEXT).collect()
}

fn context() -> Context {
    let context = Context::new().label("tenant", "clinic-7").unwrap();
    context.bind("export", "42").unwrap()
}

fn labels() -> Context {
    Context::new().label("tenant", "clinic-7").unwrap()
}

fn options(threads: usize) -> FileOptions<'static> {
    FileOptions::new()
        .threads(threads.try_into().unwrap())
        .segment_length(4096)
        .unwrap()
}

/// A keyring before and after a rotation.
struct Keys {
    old: EnvelopeCipher,
    /// Opens what either key wrapped.
    new: EnvelopeCipher,
    keyring: Keyring,
}

impl Keys {
    fn new() -> Self {
        let keyring = Keyring::generate("2026").unwrap();
        let old = EnvelopeCipher::new(keyring.copied());
        keyring.rotate("2027").unwrap();
        Self {
            old,
            new: EnvelopeCipher::new(keyring.clone()),
            keyring,
        }
    }
}

/// The plaintext of an inline stream.
fn opened(cipher: &EnvelopeCipher, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut plaintext = Vec::new();
    cipher
        .decrypt_reader(bytes, &context())?
        .read_to_end(&mut plaintext)?;
    Ok(plaintext)
}

/// An inline stream.
fn sealed(cipher: &EnvelopeCipher, plaintext: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    out.write_all(plaintext).unwrap();
    out.finish().unwrap()
}
