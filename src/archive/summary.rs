//! What an inventory adds up to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::entry::{EntryKind, InventoryEntry};
use super::json;
use super::key_usage::{KeyUses, Totals};
use super::table::Table;
use crate::format::header::EnvelopeKind;
use crate::keys::KeyInfo;

/// What an inventory adds up to, by the files' own account. `Display` makes a table of it; serialized, it is a snapshot to be
/// compared with a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InventorySummary {
    /// When it was begun, in seconds since 1970.
    pub taken: u64,
    /// All regular files that could be read.
    pub files: Totals,
    /// Records, those in text form included.
    pub records: Totals,
    /// Streams behind header blocks.
    pub streams: Totals,
    /// Headers of streams that lie elsewhere.
    pub detached_headers: Totals,
    /// What looks like the payload of such a header.
    pub detached_payloads: Totals,
    /// **Not encrypted by this format.**
    pub not_envelopes: Totals,
    /// Damaged headers, by the rule that they break.
    pub damaged: BTreeMap<String, Totals>,
    /// Streams whose two header blocks differ, as a rewrap that was cut short leaves them. The next one repairs them.
    pub blocks_differ: u64,
    /// Files and folders that could not be read.
    pub unreadable: u64,
    /// Symbolic links, which were not followed.
    pub symlinks: u64,
    /// Pipes, sockets and devices.
    pub special: u64,
    /// Files and folders that the caller excluded.
    #[serde(default)]
    pub excluded: u64,
    /// Keyrings, evidence and other files of this crate's own.
    #[serde(default)]
    pub own_files: Totals,
    /// Compact records.
    #[serde(default)]
    pub compact_records: Totals,
    /// Files that a process left behind which died while it wrote, or that one is writing now.
    pub temporary: u64,
    /// The keys that open what was found. A file that several keys open is counted for each.
    pub keys: KeyUses,
}

impl InventorySummary {
    pub(super) fn new() -> Self {
        Self {
            taken: json::seconds(SystemTime::now()),
            files: Totals::default(),
            records: Totals::default(),
            streams: Totals::default(),
            detached_headers: Totals::default(),
            detached_payloads: Totals::default(),
            not_envelopes: Totals::default(),
            damaged: BTreeMap::new(),
            blocks_differ: 0,
            unreadable: 0,
            symlinks: 0,
            special: 0,
            excluded: 0,
            own_files: Totals::default(),
            compact_records: Totals::default(),
            temporary: 0,
            keys: KeyUses::default(),
        }
    }

    /// Says the label and the state of the keys that a keyring knows, and adds those that open nothing here.
    #[must_use]
    pub fn with_keys(mut self, known: &[KeyInfo]) -> Self {
        self.keys.name(known);
        self
    }

    /// All envelopes.
    #[must_use]
    pub fn envelopes(&self) -> Totals {
        let all = [
            self.records,
            self.streams,
            self.detached_headers,
            self.own_files,
            self.compact_records,
        ];
        all.into_iter()
            .fold(Totals::default(), |sum, tally| Totals {
                files: sum.files.saturating_add(tally.files),
                bytes: sum.bytes.saturating_add(tally.bytes),
            })
    }

    /// Everything that was met.
    pub(super) fn seen(&self) -> u64 {
        self.files.files + self.unreadable + self.symlinks + self.special + self.excluded
    }

    pub(super) fn add(&mut self, entry: &InventoryEntry) {
        self.temporary += u64::from(entry.is_temporary);
        let tally = match &entry.content {
            EntryKind::Symlink => return self.symlinks += 1,
            EntryKind::Special => return self.special += 1,
            EntryKind::Unreadable(_) => return self.unreadable += 1,
            EntryKind::Excluded(_) => return self.excluded += 1,
            EntryKind::CompactRecord(key) => {
                let modified = entry.modified.map(json::seconds);
                self.keys.count(key, entry.bytes, modified);
                &mut self.compact_records
            }
            EntryKind::Envelope(found) => {
                self.blocks_differ += u64::from(!found.blocks_alike);
                let modified = entry.modified.map(json::seconds);
                for slot in found.all_slots() {
                    self.keys.count(slot, entry.bytes, modified);
                }
                match found.header.kind {
                    EnvelopeKind::StreamInline => &mut self.streams,
                    EnvelopeKind::StreamDetached => &mut self.detached_headers,
                    kind if kind.is_own() => &mut self.own_files,
                    _ => &mut self.records,
                }
            }
            EntryKind::DetachedPayload => &mut self.detached_payloads,
            EntryKind::NotAnEnvelope => &mut self.not_envelopes,
            EntryKind::Damaged(error) => {
                // There are as many rules as there are, and no more.
                self.damaged.entry(error.to_string()).or_default()
            }
        };
        tally.add(entry.bytes);
        self.files.add(entry.bytes);
    }
}

impl fmt::Display for InventorySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = Table::new(&["", "files", "bytes"]);
        for (name, tally) in [
            ("records", self.records),
            ("streams", self.streams),
            ("detached headers", self.detached_headers),
            ("detached payloads", self.detached_payloads),
            ("keyrings, evidence and the like", self.own_files),
            ("compact records", self.compact_records),
            ("NOT ENVELOPES", self.not_envelopes),
        ] {
            kinds.row(name, tally.cells());
        }
        for (rule, tally) in &self.damaged {
            kinds.row(&format!("damaged: {rule}"), tally.cells());
        }
        kinds.row("all files", self.files.cells());
        kinds.fmt(f)?;
        for (count, what) in [
            (self.unreadable, "could not be read"),
            (self.blocks_differ, "with two header blocks that differ"),
            (
                self.temporary,
                "temporary, of a process that died or writes",
            ),
            (self.symlinks, "symbolic links, not followed"),
            (self.special, "pipes, sockets and devices"),
            (self.excluded, "excluded, not looked at"),
        ] {
            if count > 0 {
                writeln!(f, "{count} {what}")?;
            }
        }
        write!(f, "\n{}", self.keys)
    }
}
