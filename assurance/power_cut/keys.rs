//! The secrets, which stand beside the disk that loses its power.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use phi_envelope::{EnvelopeCipher, Keyring, KeyringFile, MasterKey};

use crate::support::{MASTER_KEY, OTHER_MASTER_KEY};

/// Where they are, as the command line names them.
pub(crate) fn folder() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for (name, key) in [("FIRST", MASTER_KEY), ("OTHER", OTHER_MASTER_KEY)] {
            let path = folder.path().join(name);
            fs::write(&path, key).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        folder
    });
    folder.path().to_owned()
}

/// What protects the keyrings.
pub(crate) fn first() -> Keyring {
    Keyring::from_master_key(MasterKey::from_base64(MASTER_KEY).unwrap(), "first")
}

/// A keyring as a crash left it, whichever of the two secrets opens it.
pub(crate) fn keyring(path: &Path) -> Option<Keyring> {
    let other = MasterKey::from_base64(OTHER_MASTER_KEY).unwrap();
    let other = Keyring::from_master_key(other, "other");
    let mut opened = [first(), other]
        .map(|secret| KeyringFile::open(path, secret))
        .into_iter();
    opened.find_map(Result::ok).map(|file| file.keyring())
}

/// A cipher with the keyring `k` of a folder.
pub(crate) fn cipher(folder: &Path) -> Option<EnvelopeCipher> {
    keyring(&folder.join("k")).map(EnvelopeCipher::new)
}
