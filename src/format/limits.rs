//! FORMAT §1: the limits, first, because every parser checks them before it allocates.

/// Slots in an envelope.
pub(crate) const MAX_SLOTS: usize = 32;
/// Bytes of one slot's key id.
pub(crate) const MAX_KEY_ID: usize = 512;
/// Bytes of one slot's wrapped key.
pub(crate) const MAX_WRAPPED: usize = 4096;
/// Pairs of labels, and of bindings.
pub(crate) const MAX_PAIRS: usize = 32;
/// Bytes of a label's or binding's key.
pub(crate) const MAX_PAIR_KEY: usize = 64;
/// Bytes of a label's value.
pub(crate) const MAX_LABEL_VALUE: usize = 256;
/// Bytes of a binding's value.
pub(crate) const MAX_BINDING_VALUE: usize = 4096;
/// Bytes of all labels, encoded.
pub(crate) const MAX_LABELS: usize = 4096;
/// Bytes of all bindings, encoded.
pub(crate) const MAX_BINDINGS: usize = 16_384;
/// Bytes of a header.
pub(crate) const MAX_HEADER: usize = 16_384;
/// Messages under one data key.
pub(crate) const MAX_MESSAGES: u64 = 1 << 32;
/// Bytes of an encrypted segment of an envelope's stream, least and most.
pub(crate) const SEGMENT_LENGTHS: std::ops::RangeInclusive<u32> = 4096..=16_777_216;
/// A header block's length is a multiple of this, and at least this.
pub(crate) const BLOCK_STEP: usize = 4096;
/// Bytes of the longest header block.
pub(crate) const MAX_BLOCK: usize = 65_536;
/// Slots of one key service that a writer puts into a header.
pub(crate) const MAX_NETWORK_SLOTS: usize = 4;
/// Bytes of a file of this crate's own, envelope and all.
pub(crate) const MAX_OWN_FILE: usize = 16 << 20;
/// Bytes of a compartment store's entry, envelope and all.
pub(crate) const MAX_COMPARTMENT_ENTRY: usize = 64 << 10;
