//! Rotation over whole archives: which keys protect what, everything moved to the current ones, a key retired with proof, and
//! what a stolen key could read.

mod class;
mod close;
mod compare;
mod crew;
mod destroy;
mod evidence;
mod evidence_json;
mod examine;
mod exposure;
mod inventory;
mod json;
mod ledger;
mod links;
mod look;
mod outcome;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test stops where something is not as it says
mod permit_vectors;
mod permits;
mod previous;
mod retire;
mod rewrap;
mod rows;
mod scan;
mod scan_rows;
mod scan_tree;
mod search;
mod settle;
mod sight;
mod subject;
mod summary;
mod table;
mod tree;
mod uses;
mod walk;

pub use class::{ClassCount, FindingClass};
pub use compare::{InventoryChange, InventoryChanges};
pub use crew::Progress;
pub use destroy::{DestroyOptions, destroy_key};
pub use evidence::{Evidence, Finding, KeyringRevision, Place, PlaceKind};
pub use exposure::{Exposed, Exposure, ExposureEntry, ExposureSummary, exposure, exposure_through};
pub use inventory::{Inventory, InventoryScan, inventory};
pub use links::NamesBefore;
pub use look::{Content, InventoryEntry};
pub use outcome::{PassedOver, RewrapEntry, RewrapOutcome, RewrapSummary};
pub use previous::Previous;
pub use retire::{RetireOptions, Retired, retire};
pub use rewrap::{RewrapOptions, RewrapTree, rewrap_tree};
pub use rows::{RowsPass, RowsReport, Swap, rewrap_rows};
pub use scan::{EntryId, EvidenceScan, HeaderOpener, Looked, OpenedHeader, PlaceId};
pub use summary::InventorySummary;
pub use tree::{Shard, Tree};
pub use uses::{KeyUse, KeyUses, Tally};
