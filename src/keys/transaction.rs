//! A keyring's keys and the rules by which their states change (NIST SP 800-57 part 1, §7).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::MasterKey;
use super::journal::{Journal, whole_seconds};
use crate::error::{Error, KeyId, KeyState, Malformed, MalformedKeyring, Result};
use crate::format::json::Object;

/// The keys of a keyring while they are changed: what [`KeyringFile::update`](crate::KeyringFile::update) hands to its closure.
///
/// Nothing can be sealed with it, so that no envelope is ever under a key that is not stored yet.
pub struct KeyringTransaction {
    entries: Vec<Entry>,
    pub(crate) journal: Journal,
}

/// One key of a keyring.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) info: KeyInfo,
    /// None once destroyed.
    pub(crate) key: Option<Arc<MasterKey>>,
    /// Fields that this version does not know, kept for the next writer.
    pub(crate) unknown: Object,
}

/// What a keyring knows about one of its keys, beside the key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The key's id, as slots name it.
    pub id: KeyId,
    /// The label that it was given.
    pub label: String,
    /// The state that it is in.
    pub state: KeyState,
    /// When it came to be, in whole seconds.
    pub created: SystemTime,
    /// When its state last changed, in whole seconds; each change is later than the one before.
    pub changed: SystemTime,
    /// The SHA-256 of the evidence on which it was destroyed, where it was destroyed on evidence.
    pub evidence: Option<[u8; 32]>,
}

impl KeyringTransaction {
    /// A keyring of one active key.
    pub(super) fn of(key: MasterKey, label: &str) -> Self {
        let mut edit = Self {
            entries: Vec::new(),
            journal: Journal::default(),
        };
        edit.push(key, label);
        edit
    }

    /// The keyring that a file holds.
    pub(crate) fn from_entries(entries: Vec<Entry>, journal: Journal) -> Result<Self> {
        let rule = |rule| Err(Malformed::Keyring(rule).into());
        let is_active = |entry: &&Entry| entry.info.state == KeyState::Active;
        if entries.iter().filter(is_active).count() != 1 {
            return rule(MalformedKeyring::ActiveKeys);
        }
        for (index, entry) in entries.iter().enumerate() {
            if (entry.info.state == KeyState::Destroyed) != entry.key.is_none() {
                return rule(MalformedKeyring::Material);
            }
            let id = entry.info.id;
            if entries
                .iter()
                .skip(index + 1)
                .any(|other| other.info.id == id)
            {
                return rule(MalformedKeyring::DuplicateId);
            }
        }
        Ok(Self { entries, journal })
    }

    /// The keys, oldest first.
    pub fn keys(&self) -> impl Iterator<Item = &KeyInfo> {
        self.entries.iter().map(|entry| &entry.info)
    }

    /// Makes a new random key the active one; the one that was active becomes deactivated.
    ///
    /// # Errors
    /// [`Error::Io`] where the operating system gives no randomness.
    pub fn rotate(&mut self, label: &str) -> Result<KeyId> {
        self.rotate_to(MasterKey::generate()?, label)
    }

    /// Makes a key from elsewhere the active one; the one that was active becomes deactivated.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the keyring has, or had, a key of this id, or holds the same key under another id.
    pub fn rotate_to(&mut self, key: MasterKey, label: &str) -> Result<KeyId> {
        let id = key.id();
        if self.entry(id).is_some() {
            return Err(Error::Misuse("the keyring already has a key of this id"));
        }
        // Under another id, a key that leaked or was moved off would wrap again. All are compared, in constant time.
        let is_held = self.entries.iter().fold(false, |held, entry| {
            let same = |held: &Arc<MasterKey>| {
                crate::crypto::equal(held.secret().as_bytes(), key.secret().as_bytes())
            };
            held | entry.key.as_ref().is_some_and(same)
        });
        if is_held {
            return Err(Error::Misuse(
                "the keyring already holds this key, under another id",
            ));
        }
        for entry in &mut self.entries {
            if entry.info.state == KeyState::Active {
                entry.change(KeyState::Deactivated);
            }
        }
        self.push(key, label);
        Ok(id)
    }

    /// Deactivates a suspended key; a deactivated one stays so. It unwraps and no longer wraps.
    ///
    /// # Errors
    /// [`Error::KeyNotUsable`] in every other state: the active key is left by [`rotate`](Self::rotate) alone.
    pub fn deactivate(&mut self, id: KeyId) -> Result<()> {
        self.transition(
            id,
            &[KeyState::Suspended, KeyState::Deactivated],
            KeyState::Deactivated,
        )
    }

    /// Suspends a deactivated key: it neither wraps nor unwraps until it is resumed.
    ///
    /// # Errors
    /// [`Error::KeyNotUsable`] in every other state, [`Error::NoMatchingKey`] where there is no such key.
    pub fn suspend(&mut self, id: KeyId) -> Result<()> {
        self.transition(
            id,
            &[KeyState::Deactivated, KeyState::Suspended],
            KeyState::Suspended,
        )
    }

    /// Resumes a suspended key as a deactivated one.
    ///
    /// # Errors
    /// [`Error::KeyNotUsable`] in every other state, [`Error::NoMatchingKey`] where there is no such key.
    pub fn resume(&mut self, id: KeyId) -> Result<()> {
        self.transition(id, &[KeyState::Suspended], KeyState::Deactivated)
    }

    /// Marks a key as compromised: it unwraps only for a cipher that allows it. The active key is rotated first, to a new
    /// random key of the same label.
    ///
    /// # Errors
    /// [`Error::KeyNotUsable`] where the key is destroyed, [`Error::NoMatchingKey`] where there is no such key.
    pub fn mark_compromised(&mut self, id: KeyId) -> Result<()> {
        let entry = self.entry(id).ok_or_else(|| unknown_key(id))?;
        if entry.info.state == KeyState::Active {
            let label = entry.info.label.clone();
            self.rotate(&label)?;
        }
        self.transition(
            id,
            &[
                KeyState::Deactivated,
                KeyState::Suspended,
                KeyState::Compromised,
            ],
            KeyState::Compromised,
        )
    }

    /// Destroys a key's material for ever, with nothing to show that it is out of use; its id and label stay. **Whatever only this
    /// key can open is lost.** [`archive::destroy_key`](crate::archive::destroy_key) asks for evidence first.
    ///
    /// # Errors
    /// [`Error::KeyNotUsable`] where the key is active, [`Error::NoMatchingKey`] where there is no such key.
    pub fn destroy_without_evidence(&mut self, id: KeyId) -> Result<()> {
        self.transition(
            id,
            &[
                KeyState::Deactivated,
                KeyState::Suspended,
                KeyState::Compromised,
                KeyState::Destroyed,
            ],
            KeyState::Destroyed,
        )?;
        // FORMAT §9.2: when a key is destroyed, its entry's unknown fields are erased.
        if let Some(entry) = self.entry_mut(id) {
            entry.key = None;
            entry.unknown = Object::default();
        }
        Ok(())
    }

    // FORMAT §9.2: how long a process may wrap without confirming that the file is still the one that it has read.
    /// Sets the lease: within it, every process that holds the keyring confirms that the file is still the one it has read, or
    /// wraps nothing.
    ///
    /// When it was changed is the later of two times: what the clock of this machine says, and that of the file system of the keyring's
    /// file. If the latter cannot be read, [`KeyringFile::update`](crate::KeyringFile::update) fails with [`Error::Io`] and changes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Misuse`] if it is not a number of whole seconds from 1 to 86,400.
    pub fn set_lease(&mut self, lease: Duration) -> Result<()> {
        self.journal.set_lease(lease, now())
    }

    // FORMAT §9.4: the key's entry then holds the SHA-256 of the evidence's plaintext.
    /// Destroys a key's material, and records the evidence that it was out of use.
    pub(crate) fn destroy_on_evidence(&mut self, id: KeyId, digest: [u8; 32]) -> Result<()> {
        // What it was once destroyed on stays.
        if self.state(id)? == KeyState::Destroyed {
            return Err(Error::KeyNotUsable {
                key_id: id,
                state: KeyState::Destroyed,
            });
        }
        self.destroy_without_evidence(id)?;
        if let Some(entry) = self.entry_mut(id) {
            entry.info.evidence = Some(digest);
        }
        Ok(())
    }

    /// The state of a key.
    pub(crate) fn state(&self, id: KeyId) -> Result<KeyState> {
        let entry = self.entry(id).ok_or_else(|| unknown_key(id))?;
        Ok(entry.info.state)
    }

    /// The same once more. Not for everybody: a copy put back later would bring destroyed keys back.
    pub(crate) fn copied(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            journal: self.journal.clone(),
        }
    }

    /// Whether a change has changed nothing.
    pub(crate) fn is_same(&self, before: &Self) -> bool {
        let same = |(new, old): (&Entry, &Entry)| {
            new.info == old.info
                && new.unknown == old.unknown
                && match (&new.key, &old.key) {
                    (Some(new), Some(old)) => Arc::ptr_eq(new, old),
                    (new, old) => new.is_none() && old.is_none(),
                }
        };
        self.entries.len() == before.entries.len()
            && self.entries.iter().zip(&before.entries).all(same)
            && self.journal.is_same(&before.journal)
    }

    /// Whether this may come after `before`: it is the same keyring, no key is missing, and none went back to a state that it cannot
    /// go back to.
    pub(crate) fn follows(&self, before: &Self) -> bool {
        self.journal.id == before.journal.id
            && before.entries.iter().all(|old| {
                self.entry(old.info.id)
                    .is_some_and(|new| may_become(&old.info, &new.info))
            })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Looked up from the newest, which is asked for most.
    pub(super) fn entry(&self, id: KeyId) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.info.id == id)
    }

    pub(super) fn active(&self) -> Result<&Arc<MasterKey>> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.info.state == KeyState::Active)
            .and_then(|entry| entry.key.as_ref())
            .ok_or(Error::Misuse("a keyring without an active key"))
    }

    fn entry_mut(&mut self, id: KeyId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.info.id == id)
    }

    fn transition(&mut self, id: KeyId, from: &[KeyState], to: KeyState) -> Result<()> {
        let entry = self.entry_mut(id).ok_or_else(|| unknown_key(id))?;
        let state = entry.info.state;
        if !from.contains(&state) {
            return Err(Error::KeyNotUsable { key_id: id, state });
        }
        if state != to {
            entry.change(to);
        }
        Ok(())
    }

    fn push(&mut self, key: MasterKey, label: &str) {
        let now = now();
        self.entries.push(Entry {
            info: KeyInfo {
                id: key.id(),
                label: label.to_owned(),
                state: KeyState::Active,
                created: now,
                changed: now,
                evidence: None,
            },
            key: Some(Arc::new(key)),
            unknown: Object::default(),
        });
    }
}

impl fmt::Debug for KeyringTransaction {
    /// Not the fields that this version does not know: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}

impl Entry {
    fn change(&mut self, to: KeyState) {
        self.info.state = to;
        let later = self.info.changed.checked_add(Duration::from_secs(1));
        self.info.changed = now().max(later.unwrap_or(self.info.changed));
    }
}

/// Whether a key may come from one state to another, by one change or several.
fn may_become(old: &KeyInfo, new: &KeyInfo) -> bool {
    // A change takes a second at least, so what stood before one is told from what came after it.
    if new.changed < old.changed || (new.state != old.state && new.changed == old.changed) {
        return false;
    }
    let to = new.state;
    match old.state {
        KeyState::Active => true,
        KeyState::Deactivated | KeyState::Suspended => to != KeyState::Active,
        KeyState::Compromised => matches!(to, KeyState::Compromised | KeyState::Destroyed),
        KeyState::Destroyed => to == KeyState::Destroyed,
    }
}

fn unknown_key(id: KeyId) -> Error {
    Error::NoMatchingKey {
        slots: vec![id.into()],
    }
}

/// Now, in whole seconds, as the keyring's file holds it.
fn now() -> SystemTime {
    whole_seconds(SystemTime::now())
}
