//! The commands of `phi` that write, what they find, and how to tell that they are done.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use phi_envelope::{
    Context, EnvelopeCipher, Keyring, KeyringFile, MasterKey, Result,
    files::{self, FileInspection, FileOptions},
};

use crate::support::{MASTER_KEY, OTHER_MASTER_KEY, Shell};

/// What all plaintext is made of, to be sought in what must hold none.
pub(crate) const CANARY: &[u8] = b"CANARY-OF-A-MRN-";
const KEYS: &str = "--keyring k --master-key-file FIRST";

/// A command, and how a folder shows that it is done.
pub(crate) struct Case {
    pub(crate) call: &'static str,
    pub(crate) is_done: fn(&Path) -> bool,
    pub(crate) kind: Kind,
}

/// How a command writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All that it writes is read back.
    Checked,
    /// Header blocks that are read back, and a payload that opens only if all of it was written.
    Sealed,
    /// Plaintext, which nothing protects.
    Plain,
}

pub(crate) const CASES: [Case; 18] = [
    Case {
        call: "encrypt other -o sealed --overwrite --bind x=y --threads 1 KEYS",
        is_done: |folder| plaintext(folder, "sealed").is_ok_and(|plain| plain == other()),
        kind: Kind::Sealed,
    },
    Case {
        call: "encrypt other -o new --bind x=y --threads 1 KEYS",
        is_done: |folder| plaintext(folder, "new").is_ok_and(|plain| plain == other()),
        kind: Kind::Sealed,
    },
    Case {
        call: "encrypt other -o body2 --detached head2 --bind x=y --threads 1 KEYS",
        is_done: |folder| detached(folder, "body2", "head2").is_ok_and(|plain| plain == other()),
        kind: Kind::Sealed,
    },
    Case {
        call: "decrypt sealed -o opened --bind x=y --threads 1 KEYS",
        is_done: |folder| is_opened(folder, "opened"),
        kind: Kind::Plain,
    },
    Case {
        call: "decrypt sealed -o out --overwrite --bind x=y --threads 1 KEYS",
        is_done: |folder| is_opened(folder, "out"),
        kind: Kind::Plain,
    },
    Case {
        call: "rewrap sealed KEYS",
        is_done: |folder| is_rewrapped(folder, "sealed"),
        kind: Kind::Checked,
    },
    Case {
        call: "rewrap record KEYS",
        is_done: |folder| is_rewrapped(folder, "record"),
        kind: Kind::Checked,
    },
    Case {
        call: "rewrap --detached head KEYS",
        is_done: |folder| is_rewrapped(folder, "head"),
        kind: Kind::Checked,
    },
    Case {
        call: "reencrypt sealed --drop-recipients --bind x=y --threads 1 KEYS",
        is_done: |folder| {
            look(folder, "sealed")
                .is_some_and(|found| found.header.generation == 0 && found.header.slots.len() == 1)
        },
        kind: Kind::Sealed,
    },
    Case {
        call: "repack sealed --block-length 8192 KEYS",
        is_done: |folder| {
            look(folder, "sealed").is_some_and(|found| found.header.block_length == 8192)
        },
        kind: Kind::Checked,
    },
    Case {
        call: "recipient add sealed --to-keyring q KEYS",
        is_done: |folder| is_recipient(folder, "q"),
        kind: Kind::Checked,
    },
    Case {
        call: "recipient remove sealed --from-keyring p KEYS",
        is_done: |folder| !is_recipient(folder, "p"),
        kind: Kind::Checked,
    },
    Case {
        call: "recipient replace sealed --from-keyring p --to-keyring q KEYS",
        is_done: |folder| is_recipient(folder, "q") && !is_recipient(folder, "p"),
        kind: Kind::Checked,
    },
    Case {
        call: "keyring new n --label new MASTER",
        is_done: |folder| folder.join("n").exists(),
        kind: Kind::Checked,
    },
    Case {
        call: "keyring rotate k --label third MASTER",
        is_done: |folder| keyring(folder, "k").is_ok_and(|keyring| keyring.keys().len() > 2),
        kind: Kind::Checked,
    },
    Case {
        call: "keyring set-state k OLDEST suspended MASTER",
        is_done: |folder| {
            keyring(folder, "k").is_ok_and(|keyring| {
                keyring.keys()[0].state == phi_envelope::keys::KeyState::Suspended
            })
        },
        kind: Kind::Checked,
    },
    Case {
        call: "keyring destroy p OLDEST --yes-destroy --without-evidence MASTER",
        is_done: |folder| {
            keyring(folder, "p").is_ok_and(|keyring| {
                keyring.keys()[0].state == phi_envelope::keys::KeyState::Destroyed
            })
        },
        kind: Kind::Checked,
    },
    Case {
        call: "keyring passwd k --new-master-key-file OTHER MASTER",
        is_done: |folder| KeyringFile::open(folder.join("k"), secret(OTHER_MASTER_KEY)).is_ok(),
        kind: Kind::Checked,
    },
];

impl Case {
    /// The words of the command line.
    pub(crate) fn args(&self, folder: &Path) -> Vec<String> {
        let of = if self.call.contains(" p ") { "p" } else { "k" };
        let oldest = keyring(folder, of).map(|keyring| keyring.keys()[0].id.to_string());
        let call = self
            .call
            .replace("KEYS", KEYS)
            .replace("MASTER", "--master-key-file FIRST")
            .replace("OLDEST", &oldest.unwrap_or_default());
        call.split_whitespace().map(str::to_owned).collect()
    }
}

/// A file's mode and content.
#[derive(PartialEq, Eq, Clone)]
pub(crate) struct Content {
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Files = BTreeMap<String, Content>;

/// What every command finds: keyrings that have rotated, files under the old key, for `k` and for `p`.
pub(crate) fn files_before() -> Files {
    let shell = Shell::new();
    shell.write("FIRST", MASTER_KEY.as_bytes());
    shell.write("OTHER", OTHER_MASTER_KEY.as_bytes());
    shell.write("plain", &plain());
    shell.write("other", &other());
    let done = |call: &str| {
        let call = call.replace("KEYS", KEYS);
        shell.done(&call.replace("MASTER", "--master-key-file FIRST"));
    };
    for name in ["k", "p", "q"] {
        done(&format!("keyring new {name} --label first MASTER"));
    }
    done("encrypt plain -o sealed --to-keyring p --bind x=y KEYS");
    done("encrypt plain -o body --detached head --bind x=y KEYS");
    let cipher = cipher(&shell.path("")).unwrap();
    shell.write("record", &cipher.encrypt(plain(), &context()).unwrap());
    for name in ["k", "p"] {
        done(&format!("keyring rotate {name} --label second MASTER"));
    }
    // So that a header's generation tells a file that was sealed anew.
    done("recipient add sealed --to-keyring q KEYS");
    done("recipient remove sealed --from-keyring q KEYS");
    shell.write("out", b"an older file of that name");
    files(&shell.path(""))
}

/// Writes them into a folder.
pub(crate) fn put(files: &Files, folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, &content.bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(content.mode)).unwrap();
    }
}

pub(crate) fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap();
    let read = |entry: fs::DirEntry| {
        let mode = entry.metadata().unwrap().mode();
        let bytes = fs::read(entry.path()).unwrap();
        (
            entry.file_name().into_string().unwrap(),
            Content { mode, bytes },
        )
    };
    entries.map(|entry| read(entry.unwrap())).collect()
}

/// Three runs of segments.
fn plain() -> Vec<u8> {
    CANARY.repeat(20_000)
}

fn other() -> Vec<u8> {
    CANARY.repeat(15_000)
}

pub(crate) fn is_plaintext(bytes: &[u8]) -> bool {
    bytes == plain() || bytes == other()
}

fn context() -> Context {
    Context::new().bind("x", "y").unwrap()
}

fn secret(text: &str) -> Keyring {
    Keyring::from_master_key(MasterKey::from_base64(text).unwrap(), "secret")
}

/// A keyring, whichever of the two secrets opens it.
pub(crate) fn keyring(folder: &Path, name: &str) -> Result<Keyring> {
    let open = |text| KeyringFile::open(folder.join(name), secret(text));
    let file = open(MASTER_KEY).or_else(|_| open(OTHER_MASTER_KEY))?;
    Ok(file.keyring())
}

fn cipher(folder: &Path) -> Result<EnvelopeCipher> {
    let keyring = keyring(folder, "k")?;
    // Where one of the commands has suspended it, its envelopes are shut, as they should be.
    for key in keyring.keys() {
        if key.state == phi_envelope::keys::KeyState::Suspended {
            let file = KeyringFile::open(folder.join("k"), secret(MASTER_KEY))?;
            file.update(|keys| keys.resume(key.id))?;
            return Ok(EnvelopeCipher::new(file.keyring()));
        }
    }
    Ok(EnvelopeCipher::new(keyring))
}

pub(crate) fn plaintext(folder: &Path, name: &str) -> Result<Vec<u8>> {
    read(folder, name, FileOptions::new())
}

pub(crate) fn detached(folder: &Path, name: &str, header: &str) -> Result<Vec<u8>> {
    let options = FileOptions::new().detached_header(folder.join(header));
    read(folder, name, options)
}

pub(crate) fn record(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let bytes = fs::read(folder.join(name))?;
    Ok(cipher(folder)?.decrypt(bytes, &context())?.to_vec())
}

fn read(folder: &Path, name: &str, options: FileOptions<'_>) -> Result<Vec<u8>> {
    let range = files::open(&cipher(folder)?, folder.join(name), &context(), options)?;
    let mut plain = vec![0; usize::try_from(range.len()).unwrap()];
    range.read_at(&mut plain, 0)?;
    Ok(plain)
}

fn is_opened(folder: &Path, name: &str) -> bool {
    let path = folder.join(name);
    let private = fs::metadata(&path).is_ok_and(|metadata| metadata.mode() & 0o777 == 0o600);
    private && fs::read(path).is_ok_and(|bytes| bytes == plain())
}

/// Whether both header blocks of the stream say the same.
pub(crate) fn are_blocks_alike(folder: &Path) -> bool {
    look(folder, "sealed").is_some_and(|found| found.blocks_alike)
}

fn look(folder: &Path, name: &str) -> Option<FileInspection> {
    files::inspect(folder.join(name)).ok()
}

/// Whether all slots of `k` are under its newest key, in both blocks.
fn is_rewrapped(folder: &Path, name: &str) -> bool {
    let keys = keyring(folder, "k").unwrap().keys();
    look(folder, name).is_some_and(|found| {
        found.blocks_alike
            && has_slot(&found, keys[1].id.as_bytes())
            && !has_slot(&found, keys[0].id.as_bytes())
    })
}

/// Whether a keyring has a slot in either header block of the file.
fn is_recipient(folder: &Path, name: &str) -> bool {
    let found = look(folder, "sealed").unwrap();
    let keys = keyring(folder, name).unwrap().keys();
    keys.iter().any(|key| has_slot(&found, key.id.as_bytes()))
}

fn has_slot(found: &FileInspection, key: &[u8]) -> bool {
    let mut slots = found.header.slots.iter().chain(&found.other_slots);
    slots.any(|slot| slot.key_id == key)
}
