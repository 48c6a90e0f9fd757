//! The work that the power is cut in: every command of `phi` that writes, one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use phi_envelope::{
    Context, EnvelopeCipher, KeyringFile,
    archive::{self, FileTree, RewrapOptions},
    files::{self, FileOptions},
};

use crate::disk::Recorded;
use crate::keys;
use crate::support::phi;

/// What all plaintext is made of, to be sought in what must hold none.
pub(crate) const CANARY: &[u8] = b"CANARY-OF-A-MRN-";
/// A tree that is rewrapped by the library, and by the command.
const TREE: &str = "rewrap-tree";
const RECURSIVE: &str = "rewrap --recursive tree KEYS";

/// The commands. `KEYS` stands for the keyring and what opens it.
const CALLS: [&str; 28] = [
    "encrypt plain -o sealed --bind x=y KEYS",
    "encrypt other-plain -o sealed --overwrite --bind x=y --to-keyring p KEYS",
    "decrypt sealed -o out --bind x=y KEYS",
    "keyring rotate k --label next MASTER",
    "rewrap sealed KEYS",
    "recipient replace sealed --from-keyring p --to-keyring q KEYS",
    "recipient remove sealed --from-keyring q KEYS",
    "recipient add sealed --to-keyring p KEYS",
    "reencrypt sealed --drop-recipients --bind x=y KEYS",
    "repack sealed --block-length 8192 KEYS",
    "keyring rotate k --label next MASTER",
    "rewrap sealed record KEYS",
    "encrypt plain -o sealed --overwrite --bind x=y KEYS",
    "decrypt sealed -o out --overwrite --bind x=y KEYS",
    "reencrypt record --bind x=y KEYS",
    "encrypt plain -o body --detached head --bind x=y KEYS",
    "keyring rotate k --label next MASTER",
    "rewrap --detached head KEYS",
    "recipient add head --to-keyring p KEYS",
    "decrypt body --detached head -o again --bind x=y KEYS",
    TREE,
    "keyring rotate k --label next MASTER",
    RECURSIVE,
    "keyring new n --label new MASTER",
    "keyring passwd k --new-master-key-file OTHER MASTER",
    "keyring passwd k --new-master-key-file FIRST --master-key-file OTHER",
    "keyring rotate n --label second MASTER",
    "keyring rotate p --label second MASTER",
];
/// What each round makes and the next makes again.
const MADE: [&str; 6] = ["sealed", "out", "again", "head", "body", "n"];

/// A file's mode and content.
#[derive(PartialEq, Eq, Clone)]
pub(crate) struct Content {
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Files = BTreeMap<String, Content>;

/// A command that was run, with where in the log of writes it began and had ended.
pub(crate) struct Step {
    pub(crate) call: &'static str,
    pub(crate) marks: (u64, u64),
    pub(crate) before: Files,
    pub(crate) after: Files,
}

impl Step {
    /// Whether it writes header blocks where they stand.
    pub(crate) fn is_in_place(&self) -> bool {
        ["rewrap", "recipient"]
            .iter()
            .any(|word| self.call.starts_with(word))
    }

    /// Whether it moves all of the tree to the active key.
    pub(crate) fn moves_the_tree(&self) -> bool {
        [TREE, RECURSIVE].contains(&self.call)
    }

    /// Runs it in a folder, and returns whether it ended well.
    pub(crate) fn run(&self, folder: &Path) -> bool {
        run(self.call, folder)
    }
}

/// Runs all of them so many times on a disk that is recorded.
pub(crate) fn record(disk: &Recorded, rounds: usize) -> Vec<Step> {
    let folder = disk.path();
    set_up(folder);
    let mut steps = Vec::new();
    for round in 0..rounds {
        for name in MADE {
            let _ = fs::remove_file(folder.join(name));
        }
        fs::write(folder.join("plain"), plaintext(round)).unwrap();
        fs::write(folder.join("other-plain"), plaintext(round + 1)).unwrap();
        settle();
        for call in CALLS {
            let (before, begin) = (files(folder), disk.mark());
            assert!(run(call, folder), "{call}");
            let marks = (begin, disk.mark());
            let after = files(folder);
            assert!(before != after, "{call}: nothing was changed");
            steps.push(Step {
                call,
                marks,
                before,
                after,
            });
        }
    }
    settle();
    steps
}

/// Keyrings, a record, and a tree of every kind of envelope.
fn set_up(folder: &Path) {
    for name in ["k", "p", "q"] {
        KeyringFile::create(folder.join(name), "first", keys::first()).unwrap();
    }
    let keyring = KeyringFile::open(folder.join("k"), keys::first()).unwrap();
    let cipher = EnvelopeCipher::new(keyring.keyring());
    let context = context();
    fs::create_dir_all(folder.join("tree/in/deep")).unwrap();
    for name in ["record", "tree/record"] {
        let record = cipher.encrypt(plaintext(0), &context).unwrap();
        fs::write(folder.join(name), record).unwrap();
    }
    fs::write(folder.join("plain"), plaintext(0)).unwrap();
    let seal = |name: &str, options: FileOptions<'_>| {
        let (plain, sealed) = (folder.join("plain"), folder.join(name));
        files::encrypt(&cipher, plain, sealed, &context, options).unwrap();
    };
    for name in ["tree/sealed", "tree/in/sealed", "tree/in/deep/sealed"] {
        seal(name, FileOptions::new());
    }
    let head = folder.join("tree/in/head");
    seal("tree/in/body", FileOptions::new().detached_header(head));
}

/// What the files are sealed with.
pub(crate) fn context() -> Context {
    Context::new().bind("x", "y").unwrap()
}

/// Some tens of KiB, of another length each time.
fn plaintext(round: usize) -> Vec<u8> {
    CANARY.repeat(2_000 + 500 * (round % 5))
}

pub(crate) fn is_plaintext(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len().is_multiple_of(CANARY.len())
        && bytes.chunks(CANARY.len()).all(|chunk| chunk == CANARY)
}

fn run(call: &str, folder: &Path) -> bool {
    if call == TREE {
        let Some(cipher) = keys::cipher(folder) else {
            return false;
        };
        let tree = FileTree::new([folder.join("tree")]);
        let summary = archive::rewrap(&cipher, tree, RewrapOptions::new())
            .unwrap()
            .finish();
        return summary.failed == 0;
    }
    let call = call
        .replace("KEYS", "--keyring k MASTER")
        .replace("MASTER", "--master-key-file FIRST");
    let secrets = keys::folder();
    let mut command = Command::new(phi());
    for word in call.split_whitespace() {
        match word {
            "FIRST" | "OTHER" => command.arg(secrets.join(word)),
            word => command.arg(word),
        };
    }
    command.current_dir(folder).stdin(Stdio::null());
    let output = command.output().unwrap();
    output.status.success()
}

/// All that was written is on the disk.
pub(crate) fn settle() {
    assert!(Command::new("sync").status().unwrap().success());
}

/// All there is, but what belongs to the file system.
pub(crate) fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(within) = folders.pop() {
        for entry in fs::read_dir(folder.join(&within)).unwrap() {
            let name = within.join(entry.unwrap().file_name());
            let path = folder.join(&name);
            let metadata = fs::symlink_metadata(&path).unwrap();
            if name == Path::new("lost+found") {
                assert_eq!(
                    fs::read_dir(path).unwrap().count(),
                    0,
                    "something was found"
                );
            } else if metadata.is_dir() {
                folders.push(name);
            } else {
                let mode = metadata.mode();
                let bytes = fs::read(path).unwrap();
                files.insert(name.to_str().unwrap().to_owned(), Content { mode, bytes });
            }
        }
    }
    files
}
