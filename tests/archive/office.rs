//! A keyring's file whose old key was rotated away from, and beside it an archive.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use phi_envelope::{
    EnvelopeCipher, KeyId, Keyring, KeyringFile, MasterKey, Result,
    archive::{
        self, DestroyOptions, Evidence, EvidenceScan, FileTree, RetireOptions, RetireReport,
    },
    header::SlotId,
    keys::{KeyInfo, KeyState, KeyringTransaction},
};

use crate::common::{context, keyring_of};
use crate::place::{Place, state};

/// The key that is to go.
pub(crate) const OLD: KeyId = KeyId::from_bytes([1; 16]);
/// The lease of the keyring, and the allowance.
const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Office {
    pub(crate) desk: tempfile::TempDir,
    pub(crate) file: KeyringFile,
    pub(crate) place: Place,
    /// Of the time before the rotation.
    before: Keyring,
}

impl Office {
    /// The settling time is over. All of these have copies of one keyring's file, so that it is waited for once.
    pub(crate) fn new() -> Self {
        static SETTLED: OnceLock<(Vec<u8>, SystemTime)> = OnceLock::new();
        let (bytes, written) = SETTLED.get_or_init(|| {
            let office = Self::with(|_| Ok(()));
            let path = office.desk("keyring");
            let written = path.metadata().unwrap().modified().unwrap();
            (std::fs::read(path).unwrap(), written)
        });
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("keyring");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        set_written(&path, *written);
        Self::of(desk, KeyringFile::open(&path, keyring_of(9)).unwrap())
    }

    fn of(desk: tempfile::TempDir, file: KeyringFile) -> Self {
        Self {
            place: Place::of(file.keyring()),
            before: Keyring::from_master_key(key(), "as before the rotation"),
            desk,
            file,
        }
    }

    /// The keyring was changed after the rotation, and the settling time is over.
    pub(crate) fn with(change: impl FnOnce(&mut KeyringTransaction) -> Result<()>) -> Self {
        let office = Self::just_rotated();
        office.file.update(change).unwrap();
        office.settle();
        office
    }

    /// The key was rotated away from a moment ago.
    pub(crate) fn just_rotated() -> Self {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("keyring");
        let options = KeyringFile::options().lease(SECOND);
        let file = options
            .create_with(&path, key(), "old", keyring_of(9))
            .unwrap();
        file.update(|keys| keys.rotate("new")).unwrap();
        Self::of(desk, file)
    }

    /// Waits until the lease and the allowance are over. A change takes a second at least, by the keyring's own count.
    pub(crate) fn settle(&self) {
        self.file.reload().unwrap();
        let keys = self.file.keyring().keys();
        let changed = keys.iter().map(|key| key.changed);
        let last = changed.chain(self.file.modified()).max().unwrap();
        let last = last.duration_since(UNIX_EPOCH).unwrap().as_secs();
        while now() <= last + 2 {
            std::thread::sleep(SECOND / 20);
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

    pub(crate) fn retire(&self) -> RetireReport {
        self.retire_with(soon()).unwrap()
    }

    pub(crate) fn retire_with(&self, options: RetireOptions<'_>) -> Result<RetireReport> {
        let number = std::fs::read_dir(self.desk.path()).unwrap().count();
        let name = self.desk(&format!("evidence-{number}"));
        self.retire_into(&name, options)
    }

    pub(crate) fn retire_into(
        &self,
        evidence: &Path,
        options: RetireOptions<'_>,
    ) -> Result<RetireReport> {
        let places = [self.place.root()];
        archive::retire(
            &self.file,
            &self.place.cipher,
            OLD,
            &places,
            evidence,
            options,
        )
    }

    pub(crate) fn scan(&self) -> Evidence {
        let scan = EvidenceScan::new(&self.file, &self.place.cipher, OLD).unwrap();
        let mut scan = scan.allowance(SECOND);
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
pub(crate) fn scan_for(
    cipher: &EnvelopeCipher,
    slot: impl Into<SlotId>,
    tree: FileTree,
) -> Evidence {
    let mut scan = EvidenceScan::of_slot(cipher, slot.into());
    scan.tree("here", tree).unwrap();
    scan.finish()
}

fn key() -> MasterKey {
    MasterKey::from_bytes_zeroizing(&mut [1; 32]).with_id(OLD)
}

/// The terms of a destruction: an allowance of a second.
pub(crate) fn terms() -> DestroyOptions {
    DestroyOptions::new().allowance(SECOND)
}

/// A retirement on these terms.
pub(crate) fn soon<'a>() -> RetireOptions<'a> {
    RetireOptions::new().destroy(terms())
}

/// Sets when a file was last written.
pub(crate) fn set_written(path: &Path, time: SystemTime) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}
