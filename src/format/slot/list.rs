//! FORMAT §1: slots as a header holds them, and the rules that bind them together.

use super::scheme::{COMPARTMENT, asks_service, is_passphrase};
use super::{Slot, WrappedKey};
use crate::error::{Error, Limit, Malformed, Result};
use crate::format::codec::Input;
use crate::format::limits::{MAX_NETWORK_SLOTS, MAX_SLOTS};

/// Slots as a header holds them, obeying the rules that bind them together.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlotList {
    encoded: Vec<u8>,
    count: u8,
}

impl SlotList {
    /// Appends what a provider wrapped.
    pub(crate) fn push(&mut self, wrapped: WrappedKey) -> Result<()> {
        let slot = wrapped.as_slot()?;
        // FORMAT §4: a writer refuses a fifth slot of one scheme of 0x04, 0x05, 0x07, 0x08.
        let alike = |other: &Slot<'_>| other.scheme() == slot.scheme();
        if asks_service(slot.scheme()) && self.iter().filter(alike).count() >= MAX_NETWORK_SLOTS {
            return Err(Limit::NetworkSlots.into());
        }
        self.admit(&slot)?;
        if self.encoded.is_empty() {
            self.encoded = wrapped.into_encoded();
        } else {
            self.encoded.extend_from_slice(wrapped.encoded());
        }
        Ok(())
    }

    /// Appends a slot byte for byte.
    pub(crate) fn keep(&mut self, slot: &Slot<'_>) -> Result<()> {
        self.admit(slot)?;
        self.encoded.extend_from_slice(slot.encoded());
        Ok(())
    }

    /// All of these, byte for byte.
    pub(crate) fn keeping<'s>(slots: impl Iterator<Item = Slot<'s>>) -> Result<Self> {
        let mut list = Self::default();
        for slot in slots {
            list.keep(&slot)?;
        }
        Ok(list)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot<'_>> {
        slots_in(&self.encoded)
    }

    pub(crate) fn count(&self) -> u8 {
        self.count
    }

    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    fn admit(&mut self, slot: &Slot<'_>) -> Result<()> {
        if usize::from(self.count) == MAX_SLOTS {
            return Err(Limit::Slots.into());
        }
        for earlier in self.iter() {
            refuse_pair(&earlier, slot).map_err(|error| {
                Error::Misuse(match error {
                    Malformed::CompartmentSlot => "a compartment's slot stands alone",
                    _ => "two slots of one key, or of two passphrases",
                })
            })?;
        }
        self.count += 1;
        Ok(())
    }
}

/// The slots of an encoding that was parsed or made before.
pub(in crate::format) fn slots_in(encoded: &[u8]) -> impl Iterator<Item = Slot<'_>> {
    let mut input = Input::new(encoded);
    std::iter::from_fn(move || Slot::parse(&mut input).ok())
}

// FORMAT §1: no two with the same scheme and key id, at most one of the passphrase schemes (0x02 and 0x09 together); a slot of
// scheme 0x0A stands alone.
/// Refuses two slots that one header cannot have.
pub(in crate::format) fn refuse_pair(left: &Slot<'_>, right: &Slot<'_>) -> Result<(), Malformed> {
    if left.same_id(right) {
        Err(Malformed::DuplicateSlot)
    } else if is_passphrase(left.scheme()) && is_passphrase(right.scheme()) {
        Err(Malformed::TwoPassphraseSlots)
    } else if left.scheme() == COMPARTMENT || right.scheme() == COMPARTMENT {
        Err(Malformed::CompartmentSlot)
    } else {
        Ok(())
    }
}
