//! Rotation: what holds many envelopes is moved to a new master key, and says what became of each.

mod rows;

pub use rows::{RowsPass, RowsReport, Swap, rewrap_rows};
