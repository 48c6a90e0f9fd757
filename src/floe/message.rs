//! A message's header and its keys.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::key::Key;
use super::length::SegmentLength;
use crate::crypto::gcm::GcmKey;
use crate::crypto::mac::Mac384;
use crate::crypto::{derive, equal, random};
use crate::error::{AuthenticatedPart, Malformed, Result};
use crate::secret::on_cleared_stack;

const PARAMS_LEN: usize = 10;
const PREFIX_LEN: usize = PARAMS_LEN + 32;

/// Bytes of a message before its first segment.
pub(crate) const HEADER_LEN: usize = PREFIX_LEN + 32;

/// Segments share a key in groups of 2^20. Readers that jump about find the keys of this many groups ready.
const KEPT_GROUPS: usize = 16;
const GROUP_BITS: u32 = 20;

/// What all segments of one message have in common.
pub(super) struct Message {
    pub(super) length: SegmentLength,
    header: [u8; HEADER_LEN],
    aad: Box<[u8]>,
    key: Mac384,
    groups: RwLock<VecDeque<(u64, Arc<GcmKey>)>>,
}

impl Message {
    // FORMAT §6: header = params ‖ iv ‖ kdf(key, "HEADER_TAG:", 32)
    /// Begins a message: draws its 32 random bytes and makes its header.
    pub(super) fn begin(key: &Key, aad: &[u8], length: SegmentLength) -> Result<Self> {
        let mut header = [0; HEADER_LEN];
        let (prefix, _) = split(&mut header);
        let (params, iv) = prefix.split_at_mut(PARAMS_LEN);
        params.copy_from_slice(&encode(length));
        iv.copy_from_slice(&random::bytes::<32>()?);
        let (prefix, tag) = split(&mut header);
        on_cleared_stack(|| {
            tag.copy_from_slice(&derive::floe_header_tag(key.mac(), prefix, aad));
        });
        Ok(Self::keyed(key, aad, length, header))
    }

    /// Takes up a message by its header, once the header's tag has verified.
    pub(super) fn verify(key: &Key, aad: &[u8], mut header: [u8; HEADER_LEN]) -> Result<Self> {
        let length = decode(&header)?;
        let (prefix, tag) = split(&mut header);
        let computed = on_cleared_stack(|| derive::floe_header_tag(key.mac(), prefix, aad));
        if !equal(tag, &computed) {
            return Err(AuthenticatedPart::StreamHeader.into());
        }
        Ok(Self::keyed(key, aad, length, header))
    }

    fn keyed(key: &Key, aad: &[u8], length: SegmentLength, mut header: [u8; HEADER_LEN]) -> Self {
        let (prefix, _) = split(&mut header);
        let message_key = on_cleared_stack(|| derive::floe_message_key(key.mac(), prefix, aad));
        Self {
            length,
            header,
            aad: aad.into(),
            key: on_cleared_stack(|| Mac384::new(message_key.as_bytes())),
            groups: RwLock::default(),
        }
    }

    pub(super) fn header(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    /// The key of the segment at `position`.
    pub(super) fn segment_key(&self, position: u64) -> Arc<GcmKey> {
        let group = position >> GROUP_BITS;
        let kept = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = find(&kept, group) {
            return key;
        }
        drop(kept);
        let mut kept = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = find(&kept, group) {
            return key;
        }
        let (prefix, _) = self.header.split_at(PREFIX_LEN);
        let key = on_cleared_stack(|| {
            let bytes = derive::floe_segment_key(&self.key, prefix, &self.aad, position);
            Arc::new(GcmKey::new(bytes.as_bytes()))
        });
        kept.truncate(KEPT_GROUPS - 1);
        kept.push_front((group, Arc::clone(&key)));
        key
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The segment length that a message's header states. Nothing is verified.
pub(crate) fn stated_segment_length(header: &[u8; HEADER_LEN]) -> Result<SegmentLength> {
    decode(header)
}

fn find(kept: &VecDeque<(u64, Arc<GcmKey>)>, group: u64) -> Option<Arc<GcmKey>> {
    let (_, key) = kept.iter().find(|(of, _)| *of == group)?;
    Some(Arc::clone(key))
}

/// `params ‖ iv`, and the tag.
fn split(header: &mut [u8; HEADER_LEN]) -> (&mut [u8], &mut [u8]) {
    header.split_at_mut(PREFIX_LEN)
}

// FORMAT §6: params = u8 0 ‖ u8 0 ‖ u32 encrypted segment length ‖ u32 32
fn encode(length: SegmentLength) -> [u8; PARAMS_LEN] {
    let [a, b, c, d] = length.get().to_be_bytes();
    [0, 0, a, b, c, d, 0, 0, 0, 32]
}

fn decode(prefix: &[u8]) -> Result<SegmentLength> {
    match prefix {
        [0, 0, a, b, c, d, 0, 0, 0, 32, ..] => {
            SegmentLength::new(u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => Err(Malformed::StreamParameters.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_a_key_and_the_keys_of_16_groups_are_kept() {
        let key = Key::from_bytes([7; 32]);
        let message = Message::begin(&key, b"", SegmentLength::DEFAULT).unwrap();
        let of = |group: u64| message.segment_key(group << 20);
        let kept: Vec<_> = (0..16).map(of).collect();
        for (group, key) in (0..).zip(&kept) {
            let last_of_group = message.segment_key((group << 20) + (1 << 20) - 1);
            assert!(Arc::ptr_eq(&last_of_group, key));
            assert!(Arc::ptr_eq(&of(group), key));
        }
        of(16);
        for (group, key) in (1..).zip(&kept[1..]) {
            assert!(Arc::ptr_eq(&of(group), key));
        }
        assert!(!Arc::ptr_eq(&of(0), &kept[0]));
    }
}
