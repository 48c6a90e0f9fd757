//! What a keyring's file holds beside its keys: which keyring it is, and which of its versions (FORMAT §9.2).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result, SlotId};
use crate::format::json::Object;

/// FORMAT §9.2: seconds, 1 to 86,400, 900 if absent.
pub(crate) const LEASES: std::ops::RangeInclusive<u64> = 1..=86_400;
const DEFAULT_LEASE: Duration = Duration::from_secs(900);
/// FORMAT §9.2: `before` holds the last 64 revisions.
pub(crate) const CHAIN: usize = 64;

/// Which version of which keyring this is, and what else its file says. Of a keyring in memory alone, all is empty.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) id: [u8; 16],
    pub(crate) revision: u64,
    pub(crate) lease: Duration,
    pub(crate) lease_changed: Option<SystemTime>,
    /// The SHA-256 of the plaintexts of the last revisions, newest first.
    pub(crate) before: Vec<[u8; 32]>,
    /// The public texts of the recipients of scheme 0x03.
    pub(crate) recipients: Vec<String>,
    /// Index keys, and fields that this version does not know, kept for the next writer.
    pub(crate) unknown: Object,
    /// The revision at which the file's data key was made: the number in its data key id.
    pub(crate) data_key_revision: u64,
    /// The SHA-256 of the plaintext.
    pub(crate) digest: [u8; 32],
    /// The slots of the file's header.
    pub(crate) slots: Vec<SlotId>,
    /// When the file was last written, as its file system says.
    pub(crate) modified: Option<SystemTime>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            id: [0; 16],
            revision: 0,
            lease: DEFAULT_LEASE,
            lease_changed: None,
            before: Vec::new(),
            recipients: Vec::new(),
            unknown: Object::default(),
            data_key_revision: 0,
            digest: [0; 32],
            slots: Vec::new(),
            modified: None,
        }
    }
}

impl Journal {
    pub(super) fn set_lease(&mut self, lease: Duration, now: SystemTime) -> Result<()> {
        if lease.subsec_nanos() != 0 || !LEASES.contains(&lease.as_secs()) {
            return Err(Error::Misuse("a lease is 1 to 86,400 whole seconds"));
        }
        if lease != self.lease {
            self.lease = lease;
            self.lease_changed = Some(self.lease_changed.map_or(now, |before| before.max(now)));
        }
        Ok(())
    }

    /// Whether the lease was set since `before`.
    pub(crate) fn has_other_lease(&self, before: &Self) -> bool {
        (self.lease, self.lease_changed) != (before.lease, before.lease_changed)
    }

    // FORMAT §9.2: `lease_changed` is the later of the writer's clock and the store's.
    /// Takes into account what the store's clock says of a change of the lease.
    pub(crate) fn lease_changed_at(&mut self, store: SystemTime) {
        let store = whole_seconds(store);
        self.lease_changed = Some(self.lease_changed.map_or(store, |own| own.max(store)));
    }

    /// Whether a change has left what it can change.
    pub(super) fn is_same(&self, before: &Self) -> bool {
        (self.id, self.revision, self.lease) == (before.id, before.revision, before.lease)
    }

    // FORMAT §9.2: the SHA-256 of the plaintexts of the last 64 revisions, newest first. Each change is a revision.
    /// The journal of the next revision.
    pub(crate) fn next(mut self) -> Self {
        self.before.insert(0, self.digest);
        self.before.truncate(CHAIN);
        self.revision = self.revision.saturating_add(1);
        self
    }
}

/// A time as the keyring's file holds it.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
