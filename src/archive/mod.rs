//! Rotation over whole archives: which keys protect what, everything moved to the current ones, a key retired with proof, and
//! what a stolen key could read.

mod class;
mod close;
mod destroy;
mod entry;
mod evidence;
mod evidence_json;
mod evidence_rows;
mod evidence_scan;
mod evidence_tree;
mod examine;
mod exposure;
mod inventory;
mod inventory_diff;
mod json;
mod key_usage;
mod ledger;
mod links;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test stops where something is not as it says
mod permit_vectors;
mod permits;
mod previous;
mod retire;
mod rewrap;
mod rewrap_report;
mod rows;
mod search;
mod settle;
mod shard;
mod sight;
mod subject;
mod summary;
mod table;
mod tree;
mod walk;
mod workers;

pub use class::{ClassCount, FindingClass};
pub use destroy::{DestroyOptions, destroy_key};
pub use entry::{EntryKind, InventoryEntry};
pub use evidence::{Evidence, Finding, KeyringRevision, PlaceKind, ScannedPlace};
pub use evidence_scan::{EntryId, EvidenceScan, HeaderOpener, Looked, OpenedHeader, PlaceId};
pub use exposure::{
    ExposureEntry, ExposurePass, ExposureSummary, Readability, exposure, exposure_through,
};
pub use inventory::{InventoryPass, InventoryScan, inventory};
pub use inventory_diff::{InventoryChange, InventoryChanges};
pub use key_usage::{KeyUse, KeyUses, Totals};
pub use links::NamesBefore;
pub use previous::Previous;
pub use retire::{RetireOptions, RetireReport, retire};
pub use rewrap::{RewrapOptions, RewrapPass, rewrap};
pub use rewrap_report::{RewrapEntry, RewrapOutcome, RewrapSummary, SkipReason};
pub use rows::{RowUpdate, RowsPass, RowsReport, rewrap_rows};
pub use shard::Shard;
pub use summary::InventorySummary;
pub use tree::FileTree;
pub use workers::Progress;
