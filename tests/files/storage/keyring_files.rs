//! The keyring's file, which no less than the data lies in a store. `tests/keys/keyring_file.rs` has what is wrong inside it and older files that
//! are put back while a process knows newer ones.

use std::fs;
use std::path::PathBuf;

use phi_envelope::{
    KeyringFile,
    error::{KeyringError, Rollback},
};
use tempfile::TempDir;

use super::*;

/// The files of two keyrings that one key protects.
struct Files {
    folder: TempDir,
    protection: Keyring,
    files: [Vec<u8>; 2],
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let protection = keyring();
        let files = ["first", "second"].map(|name| {
            let path = folder.path().join(name);
            KeyringFile::create(&path, name, protection.clone()).unwrap();
            fs::read(path).unwrap()
        });
        Self {
            folder,
            protection,
            files,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("first")
    }

    fn open(&self, bytes: &[u8]) -> Result<KeyringFile> {
        fs::write(self.path(), bytes).unwrap();
        KeyringFile::open(self.path(), self.protection.clone())
    }
}

#[test]
fn a_keyrings_file_that_is_cut_or_longer_or_mixed_is_refused() {
    let files = Files::new();
    let [first, second] = &files.files;
    files.open(first).unwrap();
    for cut in 0..first.len() {
        files.open(&first[..cut]).unwrap_err();
    }
    for more in [&[0][..], &[0; 4096], second] {
        let error = files.open(&[first, more].concat()).unwrap_err();
        assert_eq!(kind(&error), kind(&RECORD));
    }
    let (header, _) = RawHeader::parse(first);
    let error = files.open(&header.with(&RawHeader::parse(second).1));
    assert_eq!(kind(&error.unwrap_err()), kind(&RECORD));
}

#[test]
fn another_keyrings_file_is_refused_by_whoever_knows_the_right_one() {
    let files = Files::new();
    let [first, second] = &files.files;
    let open = files.open(first).unwrap();
    let active = open.keyring().active().unwrap();
    fs::write(files.path(), second).unwrap();
    let older = kind(&Error::KeyringFile {
        path: open.path().to_owned(),
        fault: KeyringError::RolledBack(Rollback::OtherKeyring),
    });
    assert_eq!(kind(&open.reload().unwrap_err()), older);
    let changed = open.update(|edit| edit.rotate("next"));
    assert_eq!(kind(&changed.unwrap_err()), older);
    assert_eq!(open.keyring().active().unwrap(), active);
    assert_eq!(&fs::read(files.path()).unwrap(), second);
}
