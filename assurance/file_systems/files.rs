//! What every command finds, and what it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use phi_envelope::{Context, EnvelopeCipher, Keyring, KeyringFile, MasterKey, Result};

use crate::columns::mode;
use crate::mounts::Mounts;
use crate::runner::{User, put_secret, run};
use crate::support::{MASTER_KEY, OTHER_MASTER_KEY};

/// What all plaintext is made of, to be sought in what must hold none.
pub(crate) const CANARY: &[u8] = b"CANARY-OF-A-MRN-";
/// What stands under a name that is to be overwritten.
const OLDER: &[u8] = b"an older file of that name";
/// The attribute that a file keeps where its file system keeps any.
const ATTRIBUTE: &str = "user.of";

/// A file or a folder.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// None of a folder.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) attribute: Option<Vec<u8>>,
}

pub(crate) type Files = BTreeMap<String, Content>;

/// Files under an old key and under the active one, and their keyring, made by the user who is to meet them.
pub(crate) struct Fixture {
    pub(crate) files: Files,
    /// When all of them were written.
    written: SystemTime,
    pub(crate) old_key: String,
    pub(crate) new_key: String,
}

impl Fixture {
    pub(crate) fn new(mounts: &Mounts, user: User) -> Self {
        put_secret(mounts, user, "FIRST", MASTER_KEY);
        put_secret(mounts, user, "OTHER", OTHER_MASTER_KEY);
        let folder = mounts.path("fixture").join(mounts.number().to_string());
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(folder.join("plain"), plain()).unwrap();
        fs::write(folder.join("out"), OLDER).unwrap();
        fs::set_permissions(folder.join("out"), fs::Permissions::from_mode(0o600)).unwrap();
        for name in ["", "data", "plain", "out"] {
            user.own(&folder.join(name));
        }
        let done = |call: &str| {
            let ran = run(mounts, user, &folder, call);
            assert_eq!(ran.code, 0, "{call}: {}", ran.stderr);
        };
        done("keyring new k --label first --lease 1s --master-key-file FIRST");
        for output in ["sealed", "body --detached head", "data/one"] {
            done(&format!(
                "encrypt plain -o {output} --keyring k --master-key-file FIRST"
            ));
        }
        let record = folder.join("record");
        fs::write(&record, sealed_record(&folder.join("k"))).unwrap();
        fs::set_permissions(&record, fs::Permissions::from_mode(0o640)).unwrap();
        // Root changes what is another's.
        if user.0 == 0 {
            User(1000).own(&record);
        } else {
            user.own(&record);
        }
        done("keyring rotate k --label second --master-key-file FIRST");
        done("encrypt plain -o data/two --keyring k --master-key-file FIRST");
        let list = run(
            mounts,
            user,
            &folder,
            "keyring list k --json --master-key-file FIRST",
        );
        let id = |of: usize| list.json()["keys"][of]["id"].as_str().unwrap().to_owned();
        let written = fs::metadata(folder.join("k")).unwrap().modified().unwrap();
        // What was under way at the rotation has ended.
        sleep(Duration::from_secs(4));
        Self {
            files: files(&folder),
            written,
            old_key: id(0),
            new_key: id(1),
        }
    }

    /// Writes them into a new folder of the user's.
    pub(crate) fn put(&self, folder: &Path, user: User, column: &str) {
        fs::create_dir_all(folder).unwrap();
        for (name, content) in &self.files {
            let path = folder.join(name);
            match &content.bytes {
                None => fs::create_dir(&path).unwrap(),
                Some(bytes) => {
                    fs::write(&path, bytes).unwrap();
                    let file = fs::File::options().append(true).open(&path).unwrap();
                    file.set_modified(self.written).unwrap();
                    if column != "xattr-enotsup" {
                        let flags = rustix::fs::XattrFlags::empty();
                        let _ = rustix::fs::setxattr(&path, ATTRIBUTE, name.as_bytes(), flags);
                    }
                }
            }
            let mode = mode(column, name, content.mode);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            chown(&path, Some(content.owner.0), Some(content.owner.1)).unwrap();
        }
        user.own(folder);
    }
}

fn sealed_record(keyring: &Path) -> Vec<u8> {
    let cipher = cipher(keyring, MASTER_KEY).unwrap();
    cipher.encrypt(plain(), &Context::new()).unwrap()
}

/// Whether a record, which `phi` does not open, holds what all envelopes were made of.
pub(crate) fn record_opens(folder: &Path) -> bool {
    let record = fs::read(folder.join("record")).unwrap();
    let found = [MASTER_KEY, OTHER_MASTER_KEY].map(|secret| {
        let cipher = cipher(&folder.join("k"), secret)?;
        cipher.decrypt(&record, &Context::new())
    });
    found
        .into_iter()
        .flatten()
        .any(|opened| opened[..] == plain())
}

fn cipher(keyring: &Path, secret: &str) -> Result<EnvelopeCipher> {
    // A user's keyring is none that root opens: its copy is.
    let folder = tempfile::tempdir()?;
    let own = folder.path().join("k");
    fs::copy(keyring, &own)?;
    let secret = Keyring::from_master_key(MasterKey::from_base64(secret)?, "secret");
    Ok(EnvelopeCipher::new(
        KeyringFile::open(&own, secret)?.keyring(),
    ))
}

pub(crate) fn plain() -> Vec<u8> {
    CANARY.repeat(12_500)
}

/// All that is below a folder.
pub(crate) fn files(folder: &Path) -> Files {
    let mut found = Files::new();
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below)).unwrap() {
            let entry = entry.unwrap();
            let name = below.clone() + entry.file_name().to_str().unwrap();
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            let mut value = [0; 64];
            let attribute = rustix::fs::getxattr(entry.path(), ATTRIBUTE, &mut value);
            let content = Content {
                mode: metadata.mode() & 0o7777,
                owner: (metadata.uid(), metadata.gid()),
                bytes: metadata.is_file().then(|| fs::read(entry.path()).unwrap()),
                attribute: attribute.ok().map(|len| value[..len].to_vec()),
            };
            if metadata.is_dir() {
                folders.push(format!("{name}/"));
            }
            found.insert(name, content);
        }
    }
    found
}
