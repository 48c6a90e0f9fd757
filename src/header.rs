//! What a header shows to everyone: its kind, its slots, its labels.

pub use crate::envelope::{HeaderDamage, Inspection, inspect};
pub use crate::error::{EnvelopeKind, SlotId, SlotName};
