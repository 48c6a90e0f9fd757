//! FORMAT §§3, 4: slots, `u8 scheme ‖ u16 len ‖ key id ‖ u16 len ‖ wrapped`.

mod list;
mod scheme;
mod wrapped;

use super::codec::{Input, before};
use super::limits::{MAX_KEY_ID, MAX_WRAPPED};
use crate::error::{Malformed, Result, SlotId, SlotName};

pub(crate) use list::SlotList;
pub(super) use list::{refuse_pair, slots_in};
pub(crate) use scheme::{
    AZURE_KEY_VAULT, COMPARTMENT, EXTERNAL, KEYRING, PASSPHRASE, check_passphrase_costs,
    passphrase_costs,
};
pub use wrapped::WrappedKey;

/// A slot as a header holds it: a data key, wrapped under one key of one provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Slot<'a> {
    scheme: u8,
    key_id: &'a [u8],
    wrapped: &'a [u8],
    encoded: &'a [u8],
}

impl<'a> Slot<'a> {
    /// The number of the scheme (FORMAT §4): 0x01 keyring, 0x02 passphrase, 0xF0 external, and those that
    /// [`SlotName`] lists.
    #[must_use]
    pub fn scheme(&self) -> u8 {
        self.scheme
    }

    /// The id of the key in that scheme.
    #[must_use]
    pub fn key_id(&self) -> &'a [u8] {
        self.key_id
    }

    /// The wrapped data key, as the scheme writes it.
    #[must_use]
    pub fn wrapped(&self) -> &'a [u8] {
        self.wrapped
    }

    /// Says what the slot names, in the words of its scheme.
    #[must_use]
    pub fn name(&self) -> SlotName<'a> {
        SlotName::parse(self.scheme, self.key_id).unwrap_or(SlotName::Unknown)
    }

    /// The reverse-DNS name and the id of a slot of scheme 0xF0, from a provider outside this crate.
    #[must_use]
    pub fn external(&self) -> Option<(&'a str, &'a [u8])> {
        match self.name() {
            SlotName::External { name, id } => Some((name, id)),
            _ => None,
        }
    }

    /// What names the slot: scheme and key id.
    #[must_use]
    pub fn id(&self) -> SlotId {
        SlotId {
            scheme: self.scheme,
            key_id: self.key_id.to_vec(),
        }
    }

    pub(crate) fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Scheme and key id as they are encoded.
    pub(crate) fn encoded_id(&self) -> &'a [u8] {
        self.encoded
            .get(..3 + self.key_id.len())
            .unwrap_or_default()
    }

    fn same_id(&self, other: &Slot<'_>) -> bool {
        self.scheme == other.scheme && self.key_id == other.key_id
    }

    pub(super) fn parse(input: &mut Input<'a>) -> Result<Self> {
        let whole = input.rest();
        let scheme = input.u8()?;
        let key_id_len = usize::from(input.u16()?);
        if !(1..=MAX_KEY_ID).contains(&key_id_len) {
            return Err(Malformed::KeyIdLength.into());
        }
        let key_id = input.bytes(key_id_len)?;
        let wrapped_len = usize::from(input.u16()?);
        if !(1..=MAX_WRAPPED).contains(&wrapped_len) {
            return Err(Malformed::WrappedKeyLength.into());
        }
        let wrapped = input.bytes(wrapped_len)?;
        scheme::check(scheme, key_id, wrapped)?;
        Ok(Self {
            scheme,
            key_id,
            wrapped,
            encoded: before(whole, input.rest()),
        })
    }
}

impl std::fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({})", self.id())
    }
}
