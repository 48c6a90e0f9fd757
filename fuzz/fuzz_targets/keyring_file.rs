//! Any bytes as the content of a keyring's file: what opens has one active key, and can be changed and opened again.
#![no_main]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use phi_envelope::{EnvelopeCipher, KeyringFile, keys::KeyState};
use phi_envelope_fuzz::{ClearBook, seal_keyring_file};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let in_memory = std::path::Path::new("/dev/shm");
    let folder = in_memory.is_dir().then(|| tempfile::tempdir_in(in_memory));
    folder.unwrap_or_else(tempfile::tempdir).expect("a folder")
});

fuzz_target!(|content: &[u8]| {
    let envelope = seal_keyring_file(content);
    let path = FOLDER.path().join("fuzz.keyring");
    fs::write(&path, envelope).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
    let Ok(file) = KeyringFile::open(&path, EnvelopeCipher::new(ClearBook)) else {
        return;
    };
    let before = file.keyring().keys();
    assert_eq!(
        before
            .iter()
            .filter(|key| key.state == KeyState::Active)
            .count(),
        1
    );
    let id = file.update(|keys| keys.rotate("fuzz")).expect("a key more");
    let after = KeyringFile::open(&path, EnvelopeCipher::new(ClearBook))
        .expect("what an update wrote")
        .keyring();
    assert_eq!(
        (after.keys().len(), after.active().expect("one")),
        (before.len() + 1, id)
    );
});
