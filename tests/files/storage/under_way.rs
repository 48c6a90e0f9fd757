//! A file that changes while it is read: after it was opened, between two of its segments, and while a provider is asked for its key.

use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use phi_envelope::{
    KeyProvider,
    files::{self, FileOptions},
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use tempfile::TempDir;

use super::*;

/// Long enough that progress is told some times.
const LONG: usize = 3_000_000;

/// What a store may put in the place of a file: in its bytes, or by another file of that name.
type Lie = (&'static str, fn(&Files));

const LIES: [Lie; 7] = [
    ("another's bytes", |files| files.overwrite(&files.other)),
    ("another file", |files| files.replace(&files.other)),
    ("cut", |files| {
        files.cut(PAYLOAD + FLOE_HEADER + 2 * SEGMENT)
    }),
    ("cut in a header", |files| files.cut(BLOCK + 100)),
    ("emptied", |files| files.cut(0)),
    ("gone", |files| fs::remove_file(&files.path).unwrap()),
    ("longer", |files| {
        files.overwrite(&[&files.sealed[..], &[0; 5000]].concat());
    }),
];

struct Files {
    keyring: Keyring,
    truth: Vec<u8>,
    sealed: Vec<u8>,
    other: Vec<u8>,
    folder: TempDir,
    path: PathBuf,
}

impl Files {
    fn new(len: usize) -> Self {
        let keyring = keyring();
        let cipher = cipher(&keyring);
        let folder = tempfile::tempdir().unwrap();
        let files = Self {
            truth: sample(len),
            sealed: seal_inline(&cipher, &sample(len), &of("77")),
            // Of the same key and another record.
            other: seal_inline(&cipher, &other_sample(len), &of("78")),
            path: folder.path().join("sealed"),
            folder,
            keyring,
        };
        files.restore();
        files
    }

    fn restore(&self) {
        self.overwrite(&self.sealed);
    }

    fn overwrite(&self, bytes: &[u8]) {
        fs::write(&self.path, bytes).unwrap();
    }

    fn replace(&self, bytes: &[u8]) {
        let new = self.folder.path().join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    fn cut(&self, len: usize) {
        let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        file.set_len(len as u64).unwrap();
    }

    fn opened(&self, cipher: &EnvelopeCipher) -> Result<()> {
        let options = FileOptions::new();
        ways::opened_file(cipher, &self.path, &of("77"), options, &self.truth)
    }
}

#[test]
fn a_file_that_changes_after_it_was_opened_gives_the_truth_or_an_error() {
    let files = Files::new(STREAM);
    let cipher = cipher(&files.keyring);
    for (lie, tell) in LIES {
        files.restore();
        let range = files::open(&cipher, &files.path, &of("77"), FileOptions::new()).unwrap();
        tell(&files);
        let (mut opened, mut piece) = (0, vec![0; 900]);
        for at in (0..files.truth.len()).step_by(900) {
            if let Ok(read) = range.read_at(&mut piece, at as u64) {
                assert!(files.truth[at..at + read] == piece[..read], "{lie}");
                opened += 1;
            }
        }
        let all = files.truth.len().div_ceil(900);
        match lie {
            // The file that was opened is still there, whatever has its name.
            "another file" | "gone" | "longer" => assert_eq!(opened, all, "{lie}"),
            "cut" => assert!(opened > 0 && opened < all, "{lie}"),
            _ => assert_eq!(opened, 0, "{lie}"),
        }
        // And who opens it now sees what is there now.
        assert!(files::verify(&cipher, &files.path, &of("77"), FileOptions::new()).is_err());
    }
}

#[test]
fn a_file_that_changes_between_its_segments_gives_the_truth_or_an_error_and_no_output() {
    let files = Files::new(LONG);
    let cipher = cipher(&files.keyring);
    let lying_after = |calls: usize, tell: fn(&Files)| {
        let (files, mut told) = (&files, 0);
        let options = FileOptions::new().threads(NonZeroUsize::MIN);
        options.progress(move |_, _| {
            told += 1;
            if told == calls {
                tell(files);
            }
            ControlFlow::Continue(())
        })
    };
    let mut refused = 0;
    for (lie, tell) in LIES {
        for calls in [1, 3] {
            let what = format!("{lie}, after {calls}");
            files.restore();
            let options = lying_after(calls, tell);
            let truth = &files.truth;
            let decrypted = ways::opened_file(&cipher, &files.path, &of("77"), options, truth);
            files.restore();
            let options = lying_after(calls, tell);
            let verified = files::verify(&cipher, &files.path, &of("77"), options);
            assert_eq!(decrypted.is_ok(), verified.is_ok(), "{what}");
            refused += usize::from(decrypted.is_err());
            files.restore();
            let options = lying_after(calls, tell);
            // The name is the store's: what the new file replaces may be anything, and what it holds is the truth.
            if files::reencrypt(&cipher, &files.path, &of("77"), options).is_ok() {
                files.opened(&cipher).unwrap();
            }
        }
    }
    assert!(refused >= 8, "{refused}");
}

/// A keyring that does something each time it is asked for a data key.
#[derive(Clone)]
struct Hooked {
    keyring: Keyring,
    hook: Arc<Mutex<dyn FnMut() + Send>>,
}

impl KeyProvider for Hooked {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.keyring.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.keyring.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        (self.hook.lock().unwrap())();
        self.keyring.unwrap_key(slot, context)
    }
}

type Operation = (&'static str, fn(&EnvelopeCipher, &Path) -> Result<()>);

const OPERATIONS: [Operation; 6] = [
    ("rewrap_file", |cipher, path| {
        files::rewrap(cipher, path).map(drop)
    }),
    ("add_recipient_file", |cipher, path| {
        let friend = Keyring::generate("friend")?;
        files::add_recipient(cipher, path, &friend, &labels("clinic-7")).map(drop)
    }),
    ("repack_file", |cipher, path| {
        files::repack(cipher, path, FileOptions::new().block_length(8192)?).map(drop)
    }),
    ("reencrypt_file", |cipher, path| {
        files::reencrypt(cipher, path, &of("77"), FileOptions::new()).map(drop)
    }),
    ("verify_file", |cipher, path| {
        files::verify(cipher, path, &of("77"), FileOptions::new()).map(drop)
    }),
    ("decrypt_file", |cipher, path| {
        let truth = sample(STREAM);
        ways::opened_file(cipher, path, &of("77"), FileOptions::new(), &truth)
    }),
];

#[test]
fn a_file_that_changes_while_its_key_is_asked_for_gives_the_truth_or_an_error() {
    let files = Arc::new(Files::new(STREAM));
    let honest = cipher(&files.keyring);
    let (mut done, mut refused) = (0, 0);
    for (operation, run) in OPERATIONS {
        for (lie, tell) in LIES {
            for time in 0..3 {
                files.restore();
                let (hooked, mut asked) = (Arc::clone(&files), 0);
                let hook = move || {
                    if asked == time {
                        tell(&hooked);
                    }
                    asked += 1;
                };
                let provider = Hooked {
                    keyring: files.keyring.clone(),
                    hook: Arc::new(Mutex::new(hook)),
                };
                // A rewrap finds something to do.
                files.keyring.rotate("next").unwrap();
                let what = format!("{operation}, {lie}, {time}");
                let outcome = run(&EnvelopeCipher::new(provider), &files.path);
                *if outcome.is_ok() {
                    &mut done
                } else {
                    &mut refused
                } += 1;
                if files.path.exists() {
                    // `opened` compares with the truth. A payload of the store's own making is no less refused than before.
                    let found = files.opened(&honest);
                    let bytes = fs::read(&files.path).unwrap();
                    let touched = !bytes.ends_with(&files.sealed[PAYLOAD..]);
                    assert!(
                        found.is_ok() || touched || bytes.is_empty(),
                        "{what}: {found:?}"
                    );
                }
            }
        }
    }
    assert!(done > 20 && refused > 20, "{done}, {refused}");
}
