//! A keyring's file whose old key was rotated away from a day ago, and beside it an archive.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use phi_envelope::{
    Context, EnvelopeCipher, Evidence, EvidenceScan, KeyId, KeyInfo, KeyState, Keyring,
    KeyringFile, MasterKey, Result, RetireOptions, Retired, SlotId, Tree, retire,
};
use serde_json::{Value, json};

use crate::common::{context, keyring_of};
use crate::place::{Place, state};

pub(crate) const DAY: u64 = 86_400;
/// The key that is to go.
pub(crate) const OLD: KeyId = KeyId::from_bytes([1; 16]);

pub(crate) struct Office {
    pub(crate) desk: tempfile::TempDir,
    pub(crate) file: KeyringFile,
    pub(crate) place: Place,
    /// Of the time before the rotation.
    before: Keyring,
}

impl Office {
    /// The default terms of a destruction hold.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// With a keyring's content that was changed.
    pub(crate) fn with(change: impl FnOnce(&mut Value)) -> Self {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("keyring");
        let mut content = json!({"version": 1, "id": STANDARD.encode([5; 16]), "revision": 3,
            "keys": [entry(1, "deactivated", 2 * DAY), entry(2, "active", DAY)]});
        change(&mut content);
        seal(&path, &content);
        set_age(&path, DAY);
        let file = KeyringFile::open(&path, keyring_of(9)).unwrap();
        let key = MasterKey::taken_from(&mut [1; 32]).with_id(OLD);
        Self {
            place: Place::of(file.keyring()),
            before: Keyring::from_master_key(key, "as before the rotation"),
            desk,
            file,
        }
    }

    /// With a record and a stream that are under the old key.
    pub(crate) fn with_files() -> Self {
        let office = Self::new();
        office.place.put("a/record", office.old_record());
        office
            .place
            .put("a/stream", crate::place::stream(&office.old_cipher()));
        office
    }

    pub(crate) fn old_cipher(&self) -> EnvelopeCipher {
        EnvelopeCipher::new(self.before.clone())
    }

    pub(crate) fn old_record(&self) -> Vec<u8> {
        crate::place::record(&self.old_cipher())
    }

    pub(crate) fn desk(&self, name: &str) -> PathBuf {
        self.desk.path().join(name)
    }

    pub(crate) fn retire(&self) -> Retired {
        self.retire_with(RetireOptions::new()).unwrap()
    }

    pub(crate) fn retire_with(&self, options: RetireOptions<'_>) -> Result<Retired> {
        let number = fs::read_dir(self.desk.path()).unwrap().count();
        let name = self.desk(&format!("evidence-{number}"));
        self.retire_into(&name, options)
    }

    pub(crate) fn retire_into(
        &self,
        evidence: &Path,
        options: RetireOptions<'_>,
    ) -> Result<Retired> {
        let places = [self.place.root()];
        retire(
            &self.file,
            &self.place.cipher,
            OLD,
            &places,
            evidence,
            options,
        )
    }

    pub(crate) fn scan(&self) -> Evidence {
        let mut scan = EvidenceScan::new(&self.file, &self.place.cipher, OLD).unwrap();
        scan.tree(self.place.root(), self.place.tree()).unwrap();
        scan.finish()
    }

    /// As the file says it, to whoever opens it.
    pub(crate) fn info(&self) -> KeyInfo {
        let file = KeyringFile::open(self.desk("keyring"), keyring_of(9)).unwrap();
        let mut keys = file.keyring().keys().into_iter();
        keys.find(|info| info.id == OLD).unwrap()
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.info().state == KeyState::Destroyed
    }

    /// Whether the old key still opens what it opened.
    pub(crate) fn opens(&self, envelope: &[u8]) -> bool {
        let file = KeyringFile::open(self.desk("keyring"), keyring_of(9)).unwrap();
        let cipher = EnvelopeCipher::new(file.keyring());
        cipher.decrypt(envelope, &context()).is_ok()
    }

    /// The bytes and the times of the keyring's file.
    pub(crate) fn keyring_state(&self) -> (Vec<u8>, [i64; 5], u64) {
        state(&self.desk("keyring"))
    }
}

/// What a scan finds in a tree that is about a slot of nobody's.
pub(crate) fn scan_for(cipher: &EnvelopeCipher, slot: impl Into<SlotId>, tree: Tree) -> Evidence {
    let mut scan = EvidenceScan::of_slot(cipher, slot.into());
    scan.tree("here", tree).unwrap();
    scan.finish()
}

/// Seals a keyring's content for whoever holds the tests' key.
pub(crate) fn seal(path: &Path, content: &Value) {
    let labels = Context::new().label("phi-envelope", "keyring/1").unwrap();
    let cipher = EnvelopeCipher::new(keyring_of(9));
    let sealed = cipher.encrypt(content.to_string(), &labels).unwrap();
    fs::write(path, sealed).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn set_age(path: &Path, age: u64) {
    let time = SystemTime::now() - Duration::from_secs(age);
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

pub(crate) fn entry(id: u8, state: &str, age: u64) -> Value {
    json!({"id": STANDARD.encode([id; 16]), "label": format!("k{id}"), "state": state,
        "created": now() - age, "changed": now() - age, "key": STANDARD.encode([id; 32])})
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}
