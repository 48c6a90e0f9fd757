//! A second encoder of the format, which checks nothing, so that a vector breaks the rule that it is about and no other: all
//! tags are right, whatever they stand over.

use super::{keyring, passphrase};
use crate::crypto::derive;
use crate::crypto::gcm::GcmKey;
use crate::crypto::mac::{Mac256, Mac384};
use crate::crypto::random::{self, SharedIv};
use crate::error::EnvelopeKind;
use crate::keys::{DataKey, KeyProvider, WrapRequest};

/// A header that is still to be written, with its data key.
pub(super) struct Draft {
    pub(super) version: u8,
    pub(super) kind: u8,
    /// What the fields say, or something else.
    pub(super) flags: Option<u8>,
    pub(super) count: Option<u8>,
    pub(super) generation: u32,
    pub(super) block_length: u32,
    data_key: DataKey,
    pub(super) data_key_id: [u8; 16],
    pub(super) message_id: Option<[u8; 16]>,
    /// With their length in front.
    labels: Vec<u8>,
    pub(super) bindings: Vec<u8>,
    pub(super) slots: Vec<Vec<u8>>,
    pub(super) iv: SharedIv,
}

impl Draft {
    /// Without a slot.
    pub(super) fn new(kind: u8, labels: Vec<u8>) -> Self {
        let draw = random::record().unwrap();
        Self {
            version: 1,
            kind,
            flags: None,
            count: None,
            generation: 0,
            block_length: if kind == 2 { 4096 } else { 0 },
            data_key: draw.data_key.into(),
            data_key_id: draw.data_key_id,
            message_id: None,
            labels,
            bindings: Vec::new(),
            slots: Vec::new(),
            iv: draw.iv,
        }
    }

    /// A record without labels, with a slot of master key 1.
    pub(super) fn record() -> Self {
        Self::labelled(&[])
    }

    /// As [`record`](Self::record), with these labels.
    pub(super) fn labelled(labels: &[(&[u8], &[u8])]) -> Self {
        Self::of_labels(with_length(&pairs(labels)))
    }

    /// As [`record`](Self::record), with labels of this encoding.
    pub(super) fn of_labels(labels: Vec<u8>) -> Self {
        Self::new(1, labels).with_master(1)
    }

    /// A detached stream with a slot of master key 1.
    pub(super) fn detached() -> Self {
        Self::new(3, vec![0, 0]).with_master(1)
    }

    pub(super) fn with_master(mut self, number: u8) -> Self {
        let slot = self.wrap(&keyring(number));
        self.slots.push(slot);
        self
    }

    pub(super) fn with_passphrase(mut self, text: &str) -> Self {
        let slot = self.wrap(&passphrase(text));
        self.slots.push(slot);
        self
    }

    pub(super) fn with_slot(mut self, scheme: u8, key_id: &[u8], wrapped: &[u8]) -> Self {
        self.slots.push(slot(scheme, key_id, wrapped));
        self
    }

    pub(super) fn wrap(&self, provider: &dyn KeyProvider) -> Vec<u8> {
        let (kind, id, aad) = (self.known_kind(), &self.data_key_id, self.wrap_aad());
        let context = WrapRequest::new(kind, id, &self.labels, &aad, &self.iv);
        let wrapped = provider.wrap_key(&self.data_key, &context).unwrap();
        wrapped.as_slot().unwrap().encoded().to_vec()
    }

    /// With a slot of a service that the reader plays (`tests/vectors/README.md`).
    pub(super) fn with_service(mut self, name: &str, id: &[u8], authenticates: bool) -> Self {
        let aad = if authenticates {
            self.wrap_aad()
        } else {
            Vec::new()
        };
        let wrapped = played(name, &aad, self.data_key.as_bytes());
        self.slots.push(service_slot(name, id, &wrapped));
        self
    }

    pub(super) fn wrap_aad(&self) -> Vec<u8> {
        derive::wrap_aad(self.known_kind(), &self.data_key_id, &self.labels)
    }

    /// Another draft under the same data key and ids.
    pub(super) fn again(&self) -> Self {
        Self {
            data_key: DataKey::from_bytes_zeroizing(&mut { *self.data_key.as_bytes() }),
            labels: self.labels.clone(),
            bindings: self.bindings.clone(),
            slots: self.slots.clone(),
            iv: SharedIv::draw().unwrap(),
            ..*self
        }
    }

    /// Both blocks of an inline stream hold this header, and its payload follows.
    pub(super) fn block(&self) -> Vec<u8> {
        let length = usize::try_from(self.block_length).unwrap();
        crate::format::blocks::write(&self.header(), length).unwrap()
    }

    /// The head of a detached payload and a FLOE message of these segments.
    pub(super) fn payload(&self, segments: &[&[u8]]) -> Vec<u8> {
        [self.payload_head(), self.floe().message(segments)].concat()
    }

    // FORMAT §2
    pub(super) fn payload_head(&self) -> Vec<u8> {
        let id = self.message_id.unwrap_or(self.data_key_id);
        [&b"PHIP\x01\x03\0\0"[..], &id].concat()
    }

    fn known_kind(&self) -> EnvelopeKind {
        EnvelopeKind::from_byte(self.kind).unwrap_or(EnvelopeKind::Record)
    }

    // FORMAT §§3, 5
    pub(super) fn header(&self) -> Vec<u8> {
        let count = u8::try_from(self.slots.len()).unwrap();
        let mut header = b"PHIE".to_vec();
        header.extend([
            self.version,
            self.kind,
            self.flags(),
            self.count.unwrap_or(count),
        ]);
        header.extend(self.generation.to_be_bytes());
        header.extend(self.block_length.to_be_bytes());
        header.extend(self.identity());
        header.extend(self.slots.concat());
        let tag = derive::header_tag(&self.mac(), &header);
        header.extend(tag);
        header
    }

    /// The whole record.
    pub(super) fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut ciphertext = vec![0; plaintext.len()];
        let key = GcmKey::new(&self.payload_key());
        let sealed = key.seal_into(self.iv.for_another_key(), &[], plaintext, &mut ciphertext);
        [
            self.header(),
            sealed.iv.to_vec(),
            ciphertext,
            sealed.tag.to_vec(),
        ]
        .concat()
    }

    /// A FLOE message under this header.
    pub(super) fn floe(&self) -> Floe {
        Floe::new(&self.payload_key(), self.immutable(), super::SEGMENT)
    }

    pub(super) fn payload_key(&self) -> [u8; 32] {
        derive::payload_key(&self.mac(), [&self.immutable(), &[]], |key| *key)
    }

    pub(super) fn immutable(&self) -> Vec<u8> {
        let payload_type = if self.kind == 3 { 2 } else { self.kind };
        [
            vec![self.version, payload_type, self.flags()],
            self.identity(),
        ]
        .concat()
    }

    fn flags(&self) -> u8 {
        let stated = u8::from(!self.bindings.is_empty()) | u8::from(self.message_id.is_some()) << 1;
        self.flags.unwrap_or(stated)
    }

    /// Data key id ‖ message id ‖ labels ‖ bindings tag.
    fn identity(&self) -> Vec<u8> {
        let message_id = self.message_id.map_or(vec![], |id| id.to_vec());
        let of = self.message_id.unwrap_or(self.data_key_id);
        let bindings_tag = if self.bindings.is_empty() {
            vec![]
        } else {
            derive::bindings_tag(&self.mac(), &of, &self.bindings).to_vec()
        };
        [
            self.data_key_id.to_vec(),
            message_id,
            self.labels.clone(),
            bindings_tag,
        ]
        .concat()
    }

    fn mac(&self) -> Mac256 {
        Mac256::new(self.data_key.as_bytes())
    }
}

/// A FLOE message, segment by segment (FORMAT §6).
pub(super) struct Floe {
    header: Vec<u8>,
    aad: Vec<u8>,
    message_key: Mac384,
}

impl Floe {
    pub(super) fn new(key: &[u8; 32], aad: Vec<u8>, segment_length: u32) -> Self {
        let params = [
            vec![0, 0],
            segment_length.to_be_bytes().to_vec(),
            vec![0, 0, 0, 32],
        ];
        Self::of_params(key, aad, &params.concat())
    }

    pub(super) fn of_params(key: &[u8; 32], aad: Vec<u8>, params: &[u8]) -> Self {
        let key = Mac384::new(key);
        let prefix = [params, &random::bytes::<32>().unwrap()].concat();
        let tag = derive::floe_header_tag(&key, &prefix, &aad);
        let message_key = derive::floe_message_key(&key, &prefix, &aad);
        Self {
            header: [prefix, tag.to_vec()].concat(),
            aad,
            message_key: Mac384::new(message_key.as_bytes()),
        }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        self.header.clone()
    }

    pub(super) fn segment(&self, position: u64, last: bool, plaintext: &[u8]) -> Vec<u8> {
        let (prefix, _) = self.header.split_at(42);
        let key = derive::floe_segment_key(&self.message_key, prefix, &self.aad, position);
        let iv = SharedIv::draw().unwrap().for_another_key();
        let aad = [&position.to_be_bytes()[..], &[u8::from(last)]].concat();
        let mut ciphertext = vec![0; plaintext.len()];
        let sealed = GcmKey::new(key.as_bytes()).seal_into(iv, &aad, plaintext, &mut ciphertext);
        let len = u32::try_from(plaintext.len() + 32).unwrap();
        let word = if last { len } else { u32::MAX };
        let parts = [
            &word.to_be_bytes()[..],
            &sealed.iv,
            &ciphertext,
            &sealed.tag,
        ];
        parts.concat()
    }

    /// The message of these segments, the last of which ends it.
    pub(super) fn message(&self, segments: &[&[u8]]) -> Vec<u8> {
        let mut message = self.header();
        for (position, plaintext) in (0..).zip(segments) {
            let last = usize::try_from(position).unwrap() + 1 == segments.len();
            message.extend(self.segment(position, last, plaintext));
        }
        message
    }
}

/// `u8 scheme ‖ u16 len ‖ key id ‖ u16 len ‖ wrapped`.
pub(super) fn slot(scheme: u8, key_id: &[u8], wrapped: &[u8]) -> Vec<u8> {
    [vec![scheme], with_length(key_id), with_length(wrapped)].concat()
}

/// A slot of an external service.
pub(super) fn service_slot(name: &str, id: &[u8], wrapped: &[u8]) -> Vec<u8> {
    let len = [u8::try_from(name.len()).unwrap()];
    slot(0xF0, &[&len, name.as_bytes(), id].concat(), wrapped)
}

/// What the service that a reader plays answers to `wrap`.
fn played(name: &str, aad: &[u8], data_key: &[u8; 32]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    let mask = Sha256::digest([name.as_bytes(), &[0], aad].concat());
    let tag = Sha256::digest([name.as_bytes(), &[1], aad, data_key].concat());
    let masked = data_key.iter().zip(mask).map(|(key, mask)| key ^ mask);
    masked.chain(tag.into_iter().take(16)).collect()
}

/// `(u8 len ‖ key ‖ u16 len ‖ value)`*, in the order given.
pub(super) fn pairs(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let pair = |(key, value): &(&[u8], &[u8])| {
        let key_len = u8::try_from(key.len()).unwrap();
        [vec![key_len], key.to_vec(), with_length(value)].concat()
    };
    pairs.iter().flat_map(pair).collect()
}

/// `u16 len ‖ bytes`.
pub(super) fn with_length(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes(), bytes].concat()
}

#[test]
fn both_encoders_write_the_same_bytes() {
    use super::{NOTE, cipher, context};
    use crate::crypto::random::with_fixed_randomness;

    let written = with_fixed_randomness("encoders", || {
        let context = context(&[("tenant", "clinic-7")], &[("patient", "MRN-0042")]);
        cipher(1).encrypt(NOTE, &context).unwrap()
    });
    let crafted = with_fixed_randomness("encoders", || {
        let mut draft = Draft::labelled(&[(b"tenant", b"clinic-7")]);
        draft.bindings = pairs(&[(b"patient", b"MRN-0042")]);
        draft.seal(NOTE)
    });
    assert_eq!(written, crafted);
}
