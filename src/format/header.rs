//! FORMAT §3: the header.

use std::ops::Range;

use super::codec::{Input, before};
use super::context_encoding;
use super::limits::{BLOCK_STEP, MAX_BLOCK, MAX_HEADER, MAX_LABELS, MAX_SLOTS};
use super::slot::{COMPARTMENT, Slot, SlotList, refuse_pair, slots_in};
pub(crate) use crate::error::EnvelopeKind;
use crate::error::{Error, Limit, Malformed, Result};

/// "PHIE".
pub(crate) const MAGIC: [u8; 4] = *b"PHIE";
/// Bytes of the header's tag.
pub(crate) const TAG_LEN: usize = 32;
/// Bytes before the data key id: what a change of the header may change, and flags.
const PREFIX_LEN: usize = 16;
const VERSION: u8 = 1;
const FLAG_BINDINGS: u8 = 0b01;
const FLAG_MESSAGE_ID: u8 = 0b10;

// FORMAT §3: payload type is 0x02 for both stream kinds and the kind itself for all others.
fn payload_type(kind: EnvelopeKind) -> u8 {
    match kind {
        EnvelopeKind::StreamInline | EnvelopeKind::StreamDetached => 2,
        other => other.byte(),
    }
}

/// A header that obeys every rule of the format. Nothing in it is verified yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    bytes: &'a [u8],
    kind: EnvelopeKind,
    flags: u8,
    generation: u32,
    block_length: u32,
    data_key_id: &'a [u8; 16],
    message_id: Option<&'a [u8; 16]>,
    labels: &'a [u8],
    bindings_tag: Option<&'a [u8; 32]>,
    slots: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl<'a> Header<'a> {
    /// Reads the header at the head of `bytes` and returns what follows it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut input = Input::new(bytes);
        check_magic(&mut input)?;
        // FORMAT §2: 0x0B has no header, and a header parser refuses it at the kind byte.
        let kind = EnvelopeKind::from_byte(input.u8()?)
            .filter(|kind| *kind != EnvelopeKind::CompactRecord)
            .ok_or(Malformed::Kind)?;
        let flags = input.u8()?;
        check_flags(kind, flags)?;
        let slot_count = input.u8()?;
        match usize::from(slot_count) {
            0 => return Err(Malformed::NoSlot.into()),
            1..=MAX_SLOTS => {}
            _ => return Err(Malformed::TooManySlots.into()),
        }
        let generation = input.u32()?;
        let block_length = input.u32()?;
        check_block_length(kind, block_length)?;
        let data_key_id = input.array()?;
        let message_id = optional(flags & FLAG_MESSAGE_ID != 0, &mut input)?;
        let labels = parse_labels(&mut input)?;
        // FORMAT §2: kinds 0x04 to 0x0A have no labels.
        if kind.is_own() && labels.len() > 2 {
            return Err(Malformed::LabelsOfOwnFile.into());
        }
        let bindings_tag = optional(flags & FLAG_BINDINGS != 0, &mut input)?;
        let at_slots = input.rest();
        parse_slots(&mut input, kind, slot_count, bytes.len())?;
        let slots = before(at_slots, input.rest());
        let tag = input.array()?;
        let bytes = before(bytes, input.rest());
        if bytes.len() > MAX_HEADER {
            return Err(Malformed::HeaderLength.into());
        }
        let header = Self {
            bytes,
            kind,
            flags,
            generation,
            block_length,
            data_key_id,
            message_id,
            labels,
            bindings_tag,
            slots,
            tag,
        };
        Ok((header, input.rest()))
    }

    /// All of the header, its tag included.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn kind(&self) -> EnvelopeKind {
        self.kind
    }

    /// The error of a call that takes `wanted`, for a header of another kind.
    pub(crate) fn other_kind(&self, wanted: EnvelopeKind) -> Error {
        let found = self.kind;
        Malformed::OtherKind { found, wanted }.into()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn block_length(&self) -> u32 {
        self.block_length
    }

    pub(crate) fn data_key_id(&self) -> &'a [u8; 16] {
        self.data_key_id
    }

    /// The message id where the header states one.
    pub(crate) fn stated_message_id(&self) -> Option<&'a [u8; 16]> {
        self.message_id
    }

    // FORMAT §3: absent a message id, *message id* means the data key id.
    pub(crate) fn message_id(&self) -> &'a [u8; 16] {
        self.message_id.unwrap_or(self.data_key_id)
    }

    /// The labels with their length in front.
    pub(crate) fn labels(&self) -> &'a [u8] {
        self.labels
    }

    /// The labels' pairs.
    pub(crate) fn label_pairs(&self) -> &'a [u8] {
        self.labels.get(2..).unwrap_or_default()
    }

    pub(crate) fn bindings_tag(&self) -> Option<&'a [u8; 32]> {
        self.bindings_tag
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot<'a>> + use<'a> {
        slots_in(self.slots)
    }

    pub(crate) fn tag(&self) -> &'a [u8; TAG_LEN] {
        self.tag
    }

    /// Every byte before the tag.
    pub(crate) fn tagged(&self) -> &'a [u8] {
        self.bytes
            .get(..self.bytes.len().saturating_sub(TAG_LEN))
            .unwrap_or_default()
    }

    // FORMAT §3: immutable = version ‖ payload type ‖ flags ‖ data key id ‖ message id ‖ labels length ‖ labels ‖ bindings tag
    /// The head of *immutable*; [`Self::immutable_tail`] is the rest of it.
    pub(crate) fn immutable_head(&self) -> [u8; 3] {
        [VERSION, payload_type(self.kind), self.flags]
    }

    pub(crate) fn immutable_tail(&self) -> &'a [u8] {
        let before_slots = self.tagged().len().saturating_sub(self.slots.len());
        self.bytes.get(PREFIX_LEN..before_slots).unwrap_or_default()
    }
}

/// What a header is written from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: EnvelopeKind,
    pub(crate) generation: u32,
    pub(crate) block_length: u32,
    pub(crate) data_key_id: &'a [u8; 16],
    pub(crate) message_id: Option<&'a [u8; 16]>,
    /// With their length in front.
    pub(crate) labels: &'a [u8],
    pub(crate) bindings_tag: Option<&'a [u8; 32]>,
}

impl<'a> Draft<'a> {
    /// What stays of a header when its slots change, a generation later.
    pub(crate) fn next_generation_of(header: &Header<'a>) -> Result<Self> {
        Ok(Self {
            kind: header.kind,
            generation: header.generation.checked_add(1).ok_or(Limit::Generation)?,
            block_length: header.block_length,
            data_key_id: header.data_key_id,
            message_id: header.message_id,
            labels: header.labels,
            bindings_tag: header.bindings_tag,
        })
    }

    /// Appends every byte before the tag to `out`, and says where *immutable* stands there.
    pub(crate) fn write(&self, slots: &SlotList, out: &mut Vec<u8>) -> Result<Immutable> {
        let flag = |present: bool, flag: u8| if present { flag } else { 0 };
        let flags = flag(self.bindings_tag.is_some(), FLAG_BINDINGS)
            | flag(self.message_id.is_some(), FLAG_MESSAGE_ID);
        let start = out.len();
        if self.len(slots) > MAX_HEADER {
            return Err(Limit::Header.into());
        }
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.kind.byte(), flags, slots.count()]);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.block_length.to_be_bytes());
        out.extend_from_slice(self.data_key_id);
        out.extend_from_slice(self.message_id.map_or(&[], <[u8; 16]>::as_slice));
        out.extend_from_slice(self.labels);
        out.extend_from_slice(self.bindings_tag.map_or(&[], <[u8; 32]>::as_slice));
        let immutable = Immutable {
            head: [VERSION, payload_type(self.kind), flags],
            tail: start + PREFIX_LEN..out.len(),
        };
        out.extend_from_slice(slots.encoded());
        Ok(immutable)
    }

    /// Bytes of the whole header, its tag included.
    pub(crate) fn len(&self, slots: &SlotList) -> usize {
        PREFIX_LEN
            + self.data_key_id.len()
            + self.message_id.map_or(0, |id| id.len())
            + self.labels.len()
            + self.bindings_tag.map_or(0, |tag| tag.len())
            + slots.encoded().len()
            + TAG_LEN
    }
}

/// Where *immutable* stands in what was written: its head, and its tail as a range of the output.
#[derive(Debug)]
pub(crate) struct Immutable {
    pub(crate) head: [u8; 3],
    pub(crate) tail: Range<usize>,
}

// FORMAT §2: kinds 0x04 to 0x0A have no message id; flag bit 0 is set in 0x08 and 0x0A and in no other of them.
fn check_flags(kind: EnvelopeKind, flags: u8) -> Result<()> {
    let allowed = match kind {
        EnvelopeKind::CompartmentEntry | EnvelopeKind::AuditSegmentHead => flags == FLAG_BINDINGS,
        kind if kind.is_own() => flags == 0,
        _ => flags & !(FLAG_BINDINGS | FLAG_MESSAGE_ID) == 0,
    };
    if allowed {
        Ok(())
    } else {
        Err(Malformed::Flags.into())
    }
}

fn check_magic(input: &mut Input<'_>) -> Result<()> {
    let head = input.rest();
    match input.array::<4>() {
        Ok(magic) if *magic == MAGIC => {}
        Err(_) if !head.is_empty() && MAGIC.starts_with(head) => return Err(Error::Truncated),
        _ => return Err(Error::NotAnEnvelope),
    }
    match input.u8()? {
        VERSION => Ok(()),
        0 => Err(Malformed::Version.into()),
        version => Err(Error::NewerVersion { version }),
    }
}

// FORMAT §7: a multiple of 4,096 from 4,096 to 65,536 where inline; FORMAT §3: otherwise 0.
fn check_block_length(kind: EnvelopeKind, block_length: u32) -> Result<()> {
    let allowed = match (kind, usize::try_from(block_length)) {
        (EnvelopeKind::StreamInline, Ok(length)) => is_block_length(length),
        _ => block_length == 0,
    };
    if allowed {
        Ok(())
    } else {
        Err(Malformed::BlockLength.into())
    }
}

/// Whether header blocks may have this length.
pub(crate) fn is_block_length(length: usize) -> bool {
    (BLOCK_STEP..=MAX_BLOCK).contains(&length) && length.is_multiple_of(BLOCK_STEP)
}

fn optional<'a, const N: usize>(
    present: bool,
    input: &mut Input<'a>,
) -> Result<Option<&'a [u8; N]>> {
    present.then(|| input.array()).transpose()
}

fn parse_labels<'a>(input: &mut Input<'a>) -> Result<&'a [u8]> {
    let whole = input.rest();
    let len = usize::from(input.u16()?);
    if len > MAX_LABELS {
        return Err(Malformed::LabelsLength.into());
    }
    context_encoding::check_labels(input.bytes(len)?)?;
    Ok(before(whole, input.rest()))
}

fn parse_slots(
    input: &mut Input<'_>,
    kind: EnvelopeKind,
    count: u8,
    available: usize,
) -> Result<()> {
    let first = input.rest();
    for index in 0..count {
        let slot = Slot::parse(input)?;
        if available - input.rest().len() + TAG_LEN > MAX_HEADER {
            return Err(Malformed::HeaderLength.into());
        }
        // FORMAT §10: 0x0A on a kind other than 0x01 to 0x03 is malformed.
        if slot.scheme() == COMPARTMENT && kind.is_own() {
            return Err(Malformed::CompartmentSlot.into());
        }
        let mut earlier = Input::new(first);
        for _ in 0..index {
            refuse_pair(&Slot::parse(&mut earlier)?, &slot)?;
        }
    }
    Ok(())
}
