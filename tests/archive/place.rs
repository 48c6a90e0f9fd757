//! A folder with sealed files in it, and what the tests ask of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use phi_envelope::{
    Context, Envelope, EnvelopeCipher, KeyId, Keyring,
    archive::{
        self, EntryKind, FileTree, InventoryEntry, InventorySummary, RewrapEntry, RewrapOptions,
        RewrapOutcome, RewrapSummary,
    },
    files,
    header::SlotId,
};
use tempfile::TempDir;

use crate::common::context;

pub(crate) const NOTE: &[u8] = b"BP 120/80";

/// A folder, and a keyring whose active key its files are sealed under.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) keyring: Keyring,
    pub(crate) cipher: EnvelopeCipher,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(Keyring::generate("2026").unwrap())
    }

    pub(crate) fn of(keyring: Keyring) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            cipher: EnvelopeCipher::new(keyring.clone()),
            keyring,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    pub(crate) fn put(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn record(&self, name: impl AsRef<Path>) -> PathBuf {
        self.put(name, record(&self.cipher))
    }

    pub(crate) fn stream(&self, name: impl AsRef<Path>) -> PathBuf {
        self.put(name, stream(&self.cipher))
    }

    /// A detached header of this name, and its payload beside it.
    pub(crate) fn detached(&self, name: &str) -> PathBuf {
        let (header, payload) = detached(&self.cipher);
        self.put(format!("{name}.payload"), payload);
        self.put(name, header)
    }

    pub(crate) fn tree(&self) -> FileTree {
        FileTree::new([self.root().to_owned()])
    }

    pub(crate) fn inventory(&self) -> (Entries, InventorySummary) {
        take_inventory(self.tree())
    }

    pub(crate) fn rewrap(&self) -> (BTreeMap<PathBuf, RewrapEntry>, RewrapSummary) {
        rewrap_all(&self.cipher, self.tree(), RewrapOptions::new())
    }

    /// Makes the next key the active one, and returns the one that was it.
    pub(crate) fn rotate(&self) -> KeyId {
        let old = self.keyring.active().unwrap();
        self.keyring.rotate("next").unwrap();
        old
    }
}

pub(crate) type Entries = BTreeMap<PathBuf, InventoryEntry>;

pub(crate) fn take_inventory(tree: FileTree) -> (Entries, InventorySummary) {
    let mut taken = archive::inventory(tree).unwrap();
    let mut entries = Entries::new();
    for entry in &mut taken {
        let before = entries.insert(entry.path.clone(), entry);
        assert!(before.is_none(), "{before:?} came twice");
    }
    (entries, taken.finish())
}

pub(crate) fn rewrap_all(
    cipher: &EnvelopeCipher,
    tree: FileTree,
    options: RewrapOptions,
) -> (BTreeMap<PathBuf, RewrapEntry>, RewrapSummary) {
    let mut pass = archive::rewrap(cipher, tree, options).unwrap();
    let entries = (&mut pass).map(|entry| (entry.path.clone(), entry));
    let entries = entries.collect();
    (entries, pass.finish())
}

pub(crate) fn record(cipher: &EnvelopeCipher) -> Vec<u8> {
    cipher.encrypt(NOTE, &context()).unwrap()
}

pub(crate) fn text(cipher: &EnvelopeCipher) -> String {
    Envelope::from_bytes(record(cipher)).unwrap().to_string()
}

pub(crate) fn stream(cipher: &EnvelopeCipher) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    out.write_all(NOTE).unwrap();
    out.finish().unwrap()
}

/// A header, and a payload.
pub(crate) fn detached(cipher: &EnvelopeCipher) -> (Vec<u8>, Vec<u8>) {
    let (header, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    out.write_all(NOTE).unwrap();
    let payload = out.finish().unwrap();
    (header, payload)
}

/// Whether a file that was sealed with the tests' context opens, and gives the note.
pub(crate) fn opens(cipher: &EnvelopeCipher, path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    if let Ok(note) = cipher.decrypt(&bytes, &context()) {
        return note[..] == *NOTE;
    }
    let opened = cipher.decrypt_reader(&bytes[..], &context());
    let (note, end) = crate::common::drain_opened(opened);
    end.is_ok() && note == NOTE
}

/// The slots of a file, in both of its header blocks.
pub(crate) fn slots(path: &Path) -> Vec<SlotId> {
    let found = files::inspect(path).unwrap();
    let mut slots = found.header.slots;
    slots.extend(found.other_slots);
    slots
}

/// A serialized entry.
pub(crate) fn json(entry: &impl serde::Serialize) -> serde_json::Value {
    let line = serde_json::to_string(entry).unwrap();
    assert!(!line.contains(['\n', '\r']), "{line}");
    serde_json::from_str(&line).unwrap()
}

/// What an entry is, in the word of the JSON lines.
pub(crate) fn word(entry: &InventoryEntry) -> String {
    json(entry)["is"].as_str().unwrap().to_owned()
}

pub(crate) fn outcome(entry: &RewrapEntry) -> String {
    json(entry)["outcome"].as_str().unwrap().to_owned()
}

/// The error with which a file failed.
pub(crate) fn failure(entry: &RewrapEntry) -> &phi_envelope::Error {
    match &entry.outcome {
        RewrapOutcome::Failed(error) => error,
        other => panic!("{}: {other:?}", entry.path.display()),
    }
}

pub(crate) fn damage(entry: &InventoryEntry) -> &phi_envelope::Error {
    match &entry.content {
        EntryKind::Damaged(error) => error,
        other => panic!("{}: {other:?}", entry.path.display()),
    }
}

/// All that a change of a file would change: its bytes, its times, its inode.
pub(crate) fn state(path: &Path) -> (Vec<u8>, [i64; 5], u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let bytes = if metadata.is_file() {
        fs::read(path).unwrap()
    } else {
        Vec::new()
    };
    let times = [
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
        metadata.mode().into(),
    ];
    (bytes, times, metadata.ino())
}

/// The state of everything below a folder.
pub(crate) fn states(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, [i64; 5], u64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path.clone());
            }
            found.insert(path.clone(), state(&path));
        }
    }
    found
}

pub(crate) fn context_of(tenant: &str) -> Context {
    Context::new().label("tenant", tenant).unwrap()
}
