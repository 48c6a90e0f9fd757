//! What the integration tests share: a reader and a writer of headers that know the format's specification and nothing of
//! the library's code, and a key provider that keeps no secret.

// Each test file uses a part of its own, and a test stops where something is not as it says.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)] // lengths in tests are chosen to fit, or not to

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use phi_envelope::{
    Context, DecryptReader, Error, KeyProvider, Keyring, MasterKey, Result,
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};
use sha2::{Digest as _, Sha256};

/// The shortest segments that an envelope's stream may have, and how much plaintext one takes.
pub(crate) const SEGMENT: usize = 4096;
pub(crate) const PLAIN: usize = SEGMENT - 32;
/// Bytes of the header in front of a FLOE message's segments.
pub(crate) const FLOE_HEADER: usize = 74;
/// The default length of an inline stream's header blocks.
pub(crate) const BLOCK: usize = 4096;

pub(crate) const KEYRING: u8 = 0x01;
pub(crate) const PASSPHRASE: u8 = 0x02;
pub(crate) const EXTERNAL: u8 = 0xF0;

/// Bytes that repeat with no segment's length.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

/// Two labels and two bindings.
pub(crate) fn context() -> Context {
    labels()
        .bind("patient", "MRN-0042")
        .unwrap()
        .bind("record", "77")
        .unwrap()
}

/// The labels of [`context`] alone.
pub(crate) fn labels() -> Context {
    Context::new()
        .label("system", "ehr")
        .unwrap()
        .label("tenant", "clinic-7")
        .unwrap()
}

pub(crate) fn keyring() -> Keyring {
    Keyring::generate("test").unwrap()
}

/// The same master key each time, as a secret manager hands it out.
pub(crate) fn master_key(number: u8) -> MasterKey {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode([number; 32]);
    MasterKey::from_base64(&text).unwrap()
}

/// A keyring that has this one master key.
pub(crate) fn keyring_of(number: u8) -> Keyring {
    Keyring::from_master_key(master_key(number), "test")
}

/// Reads to the end: what came out, and the error that ended it.
pub(crate) fn drain(mut reader: impl Read) -> (Vec<u8>, Result<()>) {
    let mut out = Vec::new();
    let end = reader.read_to_end(&mut out).map(drop).map_err(Error::from);
    (out, end)
}

/// Opens and reads to the end.
pub(crate) fn drain_opened<R: Read>(opened: Result<DecryptReader<R>>) -> (Vec<u8>, Result<()>) {
    match opened {
        Ok(reader) => drain(reader.single_threaded()),
        Err(error) => (Vec::new(), Err(error)),
    }
}

/// `bytes` with one bit flipped.
pub(crate) fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// A header taken apart (FORMAT §3), to be put together again with something else in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u8,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// What the count says where it is not the number of `slots`.
    pub(crate) slot_count: Option<u8>,
    pub(crate) generation: u32,
    pub(crate) block_length: u32,
    pub(crate) data_key_id: [u8; 16],
    pub(crate) message_id: Vec<u8>,
    /// What the length says where it is not that of `labels`.
    pub(crate) labels_length: Option<u16>,
    pub(crate) labels: Vec<u8>,
    pub(crate) bindings_tag: Vec<u8>,
    pub(crate) slots: Vec<RawSlot>,
    pub(crate) tag: [u8; 32],
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawSlot {
    pub(crate) scheme: u8,
    pub(crate) key_id: Vec<u8>,
    pub(crate) wrapped: Vec<u8>,
}

impl RawHeader {
    /// Of what begins with a good header, and what follows it.
    pub(crate) fn parse(bytes: &[u8]) -> (Self, Vec<u8>) {
        let mut rest = bytes;
        let magic = array(&mut rest);
        let [version, kind, flags, slot_count] = array(&mut rest);
        let generation = u32::from_be_bytes(array(&mut rest));
        let block_length = u32::from_be_bytes(array(&mut rest));
        let data_key_id = array(&mut rest);
        let message_id = take(&mut rest, if flags & 2 == 0 { 0 } else { 16 });
        let labels_length = u16::from_be_bytes(array(&mut rest));
        let labels = take(&mut rest, labels_length.into());
        let bindings_tag = take(&mut rest, if flags & 1 == 0 { 0 } else { 32 });
        let slots = (0..slot_count).map(|_| RawSlot::parse(&mut rest)).collect();
        let tag = array(&mut rest);
        let header = Self {
            magic,
            version,
            kind,
            flags,
            slot_count: None,
            generation,
            block_length,
            data_key_id,
            message_id,
            labels_length: None,
            labels,
            bindings_tag,
            slots,
            tag,
        };
        (header, rest.to_vec())
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        [&self.write_tagged(), &self.tag[..]].concat()
    }

    /// The header and what follows it.
    pub(crate) fn with(&self, payload: &[u8]) -> Vec<u8> {
        [&self.write(), payload].concat()
    }

    /// The same with a right tag, by someone who holds the data key (FORMAT §5).
    pub(crate) fn sealed(mut self, data_key: &[u8]) -> Self {
        self.tag = expand(data_key, "header", &self.write_tagged());
        self
    }

    /// FORMAT §3: what the payload is bound to.
    pub(crate) fn immutable(&self) -> Vec<u8> {
        let payload_type = if self.kind == 1 { 1 } else { 2 };
        let mut out = vec![self.version, payload_type, self.flags];
        self.write_identity(&mut out);
        out
    }

    /// FORMAT §5.
    pub(crate) fn payload_key(&self, data_key: &[u8]) -> [u8; 32] {
        expand(data_key, "payload", &self.immutable())
    }

    /// Where in the written header each field stands, in order.
    pub(crate) fn fields(&self) -> Vec<(Field, Range<usize>)> {
        let mut at = 0;
        let mut fields = Vec::new();
        let mut field = |name, len| {
            fields.push((name, at..at + len));
            at += len;
        };
        field(Field::Magic, 4);
        field(Field::Version, 1);
        field(Field::Kind, 1);
        field(Field::Flags, 1);
        field(Field::SlotCount, 1);
        field(Field::Generation, 4);
        field(Field::BlockLength, 4);
        field(Field::DataKeyId, 16);
        field(Field::MessageId, self.message_id.len());
        field(Field::LabelsLength, 2);
        field(Field::Labels, self.labels.len());
        field(Field::BindingsTag, self.bindings_tag.len());
        for slot in &self.slots {
            field(Field::SlotScheme, 1);
            field(Field::SlotLength, 2);
            field(Field::SlotKeyId, slot.key_id.len());
            field(Field::SlotLength, 2);
            field(Field::SlotWrapped, slot.wrapped.len());
        }
        field(Field::Tag, 32);
        fields
    }

    /// FORMAT §7: the header in a block of the length that it states.
    pub(crate) fn block(&self) -> Vec<u8> {
        block(&self.write(), self.block_length as usize)
    }

    fn write_tagged(&self) -> Vec<u8> {
        let count = self.slot_count.unwrap_or(self.slots.len() as u8);
        let mut out = self.magic.to_vec();
        out.extend([self.version, self.kind, self.flags, count]);
        out.extend(self.generation.to_be_bytes());
        out.extend(self.block_length.to_be_bytes());
        self.write_identity(&mut out);
        for slot in &self.slots {
            out.extend(slot.write());
        }
        out
    }

    fn write_identity(&self, out: &mut Vec<u8>) {
        out.extend(self.data_key_id);
        out.extend(&self.message_id);
        let length = self.labels_length.unwrap_or(self.labels.len() as u16);
        out.extend(length.to_be_bytes());
        out.extend(&self.labels);
        out.extend(&self.bindings_tag);
    }
}

impl RawSlot {
    pub(crate) fn new(scheme: u8, key_id: &[u8], wrapped: &[u8]) -> Self {
        Self {
            scheme,
            key_id: key_id.to_vec(),
            wrapped: wrapped.to_vec(),
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![self.scheme];
        out.extend((self.key_id.len() as u16).to_be_bytes());
        out.extend(&self.key_id);
        out.extend((self.wrapped.len() as u16).to_be_bytes());
        out.extend(&self.wrapped);
        out
    }

    fn parse(rest: &mut &[u8]) -> Self {
        let [scheme] = array(rest);
        let len = u16::from_be_bytes(array(rest));
        let key_id = take(rest, len.into());
        let len = u16::from_be_bytes(array(rest));
        let wrapped = take(rest, len.into());
        Self {
            scheme,
            key_id,
            wrapped,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Magic,
    Version,
    Kind,
    Flags,
    SlotCount,
    Generation,
    BlockLength,
    DataKeyId,
    MessageId,
    LabelsLength,
    Labels,
    BindingsTag,
    SlotScheme,
    SlotLength,
    SlotKeyId,
    SlotWrapped,
    Tag,
}

/// One label as FORMAT §3 writes it.
pub(crate) fn pair(key: &[u8], value: &[u8]) -> Vec<u8> {
    let value_len = (value.len() as u16).to_be_bytes();
    [&[key.len() as u8], key, &value_len, value].concat()
}

/// FORMAT §7: `header ‖ zero padding ‖ digest[8]`.
pub(crate) fn block(header: &[u8], length: usize) -> Vec<u8> {
    let mut block = header.to_vec();
    block.resize(length - 8, 0);
    with_digest(block)
}

/// A block's bytes before the digest, and the digest that belongs there.
pub(crate) fn with_digest(mut content: Vec<u8>) -> Vec<u8> {
    let digest = Sha256::digest(&content);
    content.extend(&digest[..8]);
    content
}

/// FORMAT's `Expand256(key, "phi-envelope/1 <label>" ‖ 0x00 ‖ context)`.
pub(crate) fn expand(key: &[u8], label: &str, context: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(b"phi-envelope/1 ");
    mac.update(label.as_bytes());
    mac.update(&[0]);
    mac.update(context);
    mac.update(&[1]);
    mac.finalize().into_bytes().into()
}

fn array<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    take(rest, N).try_into().unwrap()
}

fn take(rest: &mut &[u8], len: usize) -> Vec<u8> {
    let (taken, left) = rest.split_at(len);
    *rest = left;
    taken.to_vec()
}

/// A provider from outside the crate that stores the data key in clear, so that a test can play someone who holds it. It
/// authenticates nothing: what is noticed about its slots, the header's tag noticed.
#[derive(Clone, Debug)]
pub(crate) struct OpenBook {
    name: &'static str,
    /// The first is current.
    ids: Vec<Vec<u8>>,
    unwraps: Arc<AtomicUsize>,
}

impl OpenBook {
    pub(crate) fn new(id: impl Into<Vec<u8>>) -> Self {
        Self::with_older(vec![id.into()])
    }

    /// Of several ids, of which the first is current.
    pub(crate) fn with_older(ids: Vec<Vec<u8>>) -> Self {
        Self {
            name: "test.open-book",
            ids,
            unwraps: Arc::default(),
        }
    }

    /// How often it was asked to unwrap.
    pub(crate) fn unwraps(&self) -> usize {
        self.unwraps.load(Ordering::Relaxed)
    }
}

impl KeyProvider for OpenBook {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        let Some((name, id)) = slot.external() else {
            return Recognition::NotMine;
        };
        match self.ids.iter().position(|mine| mine == id) {
            Some(0) if name == self.name => Recognition::Current,
            Some(_) if name == self.name => Recognition::Outdated,
            _ => Recognition::NotMine,
        }
    }

    fn wrap_key(&self, key: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
        WrappedKey::external(self.name, &self.ids[0], key.as_bytes())
    }

    fn unwrap_key(&self, slot: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.unwraps.fetch_add(1, Ordering::Relaxed);
        let mut key = slot
            .wrapped()
            .try_into()
            .map_err(|_| Error::provider(false, "no key"))?;
        Ok(DataKey::from_bytes_zeroizing(&mut key))
    }
}

/// The data key that an [`OpenBook`] left in a header.
pub(crate) fn data_key(header: &RawHeader) -> Vec<u8> {
    let open = header.slots.iter().find(|slot| slot.scheme == EXTERNAL);
    open.unwrap().wrapped.clone()
}
