//! Two inventories of one archive, and what came and went between them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::key_usage::{KeyUse, Totals};
use super::summary::InventorySummary;
use super::table::{Table, day};

/// What changed from one inventory to a later one. `Display` makes a table of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InventoryChanges {
    /// When the earlier one was taken, in seconds since 1970.
    pub from: u64,
    /// When the later one was.
    pub to: u64,
    /// What there was and is, by kind and by key; what is as it was is not listed.
    pub changes: Vec<InventoryChange>,
}

/// One line of [`InventoryChanges`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InventoryChange {
    /// A kind of file, or a key.
    pub name: String,
    /// What there was.
    pub before: Totals,
    /// What there is.
    pub after: Totals,
}

impl InventorySummary {
    /// What changed since an earlier inventory of the same places.
    ///
    /// ```no_run
    /// # use phi_envelope::archive::{self, FileTree, InventorySummary};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let now = archive::inventory(FileTree::new(["/archive"]))?.finish();
    /// let last_week: InventorySummary = serde_json::from_slice(&std::fs::read("week-46.json")?)?;
    /// println!("{}", now.since(&last_week));
    /// std::fs::write("week-47.json", serde_json::to_vec(&now)?)?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> InventoryChanges {
        let mut lines = BTreeMap::<(u8, String), (Totals, Totals)>::new();
        for (order, name, tally) in earlier.lines() {
            lines.entry((order, name)).or_default().0 = tally;
        }
        for (order, name, tally) in self.lines() {
            lines.entry((order, name)).or_default().1 = tally;
        }
        let changes = lines
            .into_iter()
            .filter(|(_, (before, after))| before != after)
            .map(|((_, name), (before, after))| InventoryChange {
                name,
                before,
                after,
            });
        InventoryChanges {
            from: earlier.taken,
            to: self.taken,
            changes: changes.collect(),
        }
    }

    /// Everything that is counted, by name, in an order.
    fn lines(&self) -> impl Iterator<Item = (u8, String, Totals)> {
        let count = |files| Totals { files, bytes: 0 };
        let kinds = [
            (0, "records", self.records),
            (1, "streams", self.streams),
            (2, "detached headers", self.detached_headers),
            (3, "detached payloads", self.detached_payloads),
            (3, "keyrings, evidence and the like", self.own_files),
            (3, "compact records", self.compact_records),
            (4, "NOT ENVELOPES", self.not_envelopes),
            (6, "could not be read", count(self.unreadable)),
            (6, "header blocks that differ", count(self.blocks_differ)),
            (6, "pipes, sockets and devices", count(self.special)),
            (6, "symbolic links", count(self.symlinks)),
            (6, "excluded", count(self.excluded)),
            (6, "temporary", count(self.temporary)),
            (8, "slots of further keys", count(self.keys.further)),
        ];
        let kinds = kinds.map(|(order, name, tally)| (order, name.to_owned(), tally));
        let damaged = self.damaged.iter();
        let damaged = damaged.map(|(rule, tally)| (5, format!("damaged: {rule}"), *tally));
        let key = |key: &KeyUse| (7, key.name.clone(), key.tally);
        kinds
            .into_iter()
            .chain(damaged)
            .chain(self.keys.listed.iter().map(key))
    }
}

impl fmt::Display for InventoryChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from {} to {}", day(self.from), day(self.to))?;
        if self.changes.is_empty() {
            return writeln!(f, "nothing changed");
        }
        let mut table = Table::new(&["", "files before", "now", "bytes before", "now"]);
        for change in &self.changes {
            let ([files, bytes], [had_files, had_bytes]) =
                (change.after.cells(), change.before.cells());
            table.row(&change.name, [had_files, files, had_bytes, bytes]);
        }
        table.fmt(f)
    }
}
