//! Rotation over whole archives: which keys protect what, everything moved to the current ones, a key retired with proof, and
//! what a stolen key could read.

mod compare;
mod crew;
mod evidence;
mod exposure;
mod inventory;
mod json;
mod look;
mod outcome;
mod retire;
mod rewrap;
mod rows;
mod scan;
mod summary;
mod table;
mod tree;
mod uses;

pub use compare::{InventoryChange, InventoryChanges};
pub use crew::Progress;
pub use evidence::{Evidence, Finding, Place};
pub use exposure::{Exposed, Exposure, ExposureEntry, ExposureSummary, exposure};
pub use inventory::{Inventory, inventory};
pub use look::{Content, InventoryEntry};
pub use outcome::{PassedOver, RewrapEntry, RewrapOutcome, RewrapSummary};
pub use retire::{DestroyOptions, RetireOptions, Retired, destroy_key, retire};
pub use rewrap::{RewrapOptions, RewrapTree, rewrap_tree};
pub use rows::{RowsPass, RowsReport, Swap, rewrap_rows};
pub use scan::EvidenceScan;
pub use summary::InventorySummary;
pub use tree::{Shard, Tree};
pub use uses::{KeyUse, KeyUses, Tally};
