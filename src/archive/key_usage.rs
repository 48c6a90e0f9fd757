//! Which keys were met, how often and when.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::json::hex;
use super::table::{Table, bytes, day};
use crate::error::{KeyState, SlotId};
use crate::format::slot::PASSPHRASE;
use crate::keys::KeyInfo;

/// Key ids that are counted apart. Whoever can write files could name another one in each.
const MOST_KEYS: usize = 10_000;

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Totals {
    /// How many files.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Totals {
    pub(super) fn add(&mut self, bytes: u64) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn cells(self) -> [String; 2] {
        [self.files.to_string(), bytes(self.bytes)]
    }
}

/// The keys that were met, in the order of scheme and id. `Display` makes a table of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyUses {
    /// Ten thousand of them at most.
    pub listed: Vec<KeyUse>,
    /// Slots of keys beyond these.
    pub further: u64,
}

/// The use of one key. All passphrases are one, since each of their slots has an id of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyUse {
    /// The number of the scheme (FORMAT §4): 1 is a keyring, 2 a passphrase.
    pub scheme: u8,
    /// The key's id in hexadecimal; empty for passphrases.
    pub key_id: String,
    /// The key in words.
    pub name: String,
    /// Its label, where [`InventorySummary::with_keys`](crate::archive::InventorySummary::with_keys) was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its state, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<KeyState>,
    /// The files that it opens.
    pub tally: Totals,
    /// When the one of them was last written to that it was longest ago for, in seconds since 1970.
    pub oldest: Option<u64>,
    /// The same of the one that was written to last.
    pub newest: Option<u64>,
}

impl KeyUses {
    /// Says the label and the state of the keys that a keyring knows, and adds those that were not met.
    pub(super) fn name(&mut self, known: &[KeyInfo]) {
        for key in known {
            if let Some(found) = self.of(&key.id.into()) {
                found.label = Some(key.label.clone());
                found.state = Some(key.state);
            }
        }
    }

    /// Counts a slot of an envelope.
    pub(super) fn count(&mut self, slot: &SlotId, bytes: u64, modified: Option<u64>) {
        let Some(key) = self.of(slot) else {
            self.further = self.further.saturating_add(1);
            return;
        };
        key.tally.add(bytes);
        key.oldest = key.oldest.into_iter().chain(modified).min();
        key.newest = key.newest.max(modified);
    }

    /// The entry of a slot's key, in the order of scheme and id.
    fn of(&mut self, slot: &SlotId) -> Option<&mut KeyUse> {
        let id = match slot.scheme {
            PASSPHRASE => String::new(),
            _ => hex(&slot.key_id),
        };
        let at = self
            .listed
            .binary_search_by(|key| (key.scheme, &*key.key_id).cmp(&(slot.scheme, &*id)));
        let at = match at {
            Ok(at) => at,
            Err(_) if self.listed.len() >= MOST_KEYS => return None,
            Err(at) => {
                let key = KeyUse {
                    scheme: slot.scheme,
                    key_id: id,
                    name: slot.to_string(),
                    label: None,
                    state: None,
                    tally: Totals::default(),
                    oldest: None,
                    newest: None,
                };
                self.listed.insert(at, key);
                at
            }
        };
        self.listed.get_mut(at)
    }
}

impl fmt::Display for KeyUses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["key", "state", "files", "bytes", "oldest", "newest"]);
        for key in &self.listed {
            let name = match &key.label {
                Some(label) => format!("{} ({label})", key.name),
                None => key.name.clone(),
            };
            let state = key.state.map_or("?".to_owned(), |state| state.to_string());
            let [files, bytes] = key.tally.cells();
            let date = |time: Option<u64>| time.map_or("-".to_owned(), day);
            let (oldest, newest) = (date(key.oldest), date(key.newest));
            table.row(&name, [state, files, bytes, oldest, newest]);
        }
        table.fmt(f)?;
        if self.further > 0 {
            writeln!(f, "{} slots of further keys", self.further)?;
        }
        Ok(())
    }
}
