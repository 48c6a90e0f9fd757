//! FORMAT §§3, 4: slots, `u8 scheme ‖ u16 len ‖ key id ‖ u16 len ‖ wrapped`.

use super::codec::{Input, before};
use super::limits::{MAX_KEY_ID, MAX_SLOTS, MAX_WRAPPED};
use crate::error::{Error, Limit, Malformed, Result, SlotId, split_external};

/// Scheme 0x01: a master key of a keyring.
pub(crate) const KEYRING: u8 = 0x01;
/// Scheme 0x02: a passphrase.
pub(crate) const PASSPHRASE: u8 = 0x02;
/// Scheme 0xF0: a provider from outside this crate.
pub(crate) const EXTERNAL: u8 = 0xF0;

/// A slot as a header holds it: a data key, wrapped under one key of one provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Slot<'a> {
    scheme: u8,
    key_id: &'a [u8],
    wrapped: &'a [u8],
    encoded: &'a [u8],
}

impl<'a> Slot<'a> {
    /// The number of the scheme (FORMAT §4): 0x01 keyring, 0x02 passphrase, 0xF0 external.
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

    /// The reverse-DNS name and the id of a slot of scheme 0xF0, from a provider outside this crate.
    #[must_use]
    pub fn external(&self) -> Option<(&'a str, &'a [u8])> {
        (self.scheme == EXTERNAL)
            .then(|| split_external(self.key_id))
            .flatten()
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
        check_scheme(scheme, key_id, wrapped)?;
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

/// A data key that a provider wrapped, ready to be a slot.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    encoded: Vec<u8>,
}

impl WrappedKey {
    /// A slot of scheme 0xF0, for a [`KeyProvider`](crate::KeyProvider) outside this crate.
    ///
    /// `name` is the provider's reverse-DNS name (ASCII, 1 to 255 bytes), `id` names the key (1 byte or more; name and
    /// id take at most 511 bytes together), `wrapped` is the wrapped data key (1 to 4,096 bytes).
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] where a length is out of bounds, [`Error::Misuse`] where the name is not ASCII.
    ///
    /// ```
    /// use phi_envelope::WrappedKey;
    /// let wrapped = WrappedKey::external("org.example.kms", b"key-7", &[0; 60])?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn external(name: &str, id: &[u8], wrapped: &[u8]) -> Result<Self> {
        if !name.is_ascii() {
            return Err(Error::Misuse("a provider's name is not ASCII"));
        }
        let len = u8::try_from(name.len()).map_err(|_| Limit::Slot)?;
        if len == 0 || id.is_empty() {
            return Err(Limit::Slot.into());
        }
        Self::of(EXTERNAL, &[&[len], name.as_bytes(), id], wrapped)
    }

    pub(crate) fn of(scheme: u8, key_id: &[&[u8]], wrapped: &[u8]) -> Result<Self> {
        let key_id_len = key_id.iter().map(|part| part.len()).sum::<usize>();
        if !(1..=MAX_KEY_ID).contains(&key_id_len) || !(1..=MAX_WRAPPED).contains(&wrapped.len()) {
            return Err(Limit::Slot.into());
        }
        let key_len = u16::try_from(key_id_len).map_err(|_| Limit::Slot)?;
        let wrapped_len = u16::try_from(wrapped.len()).map_err(|_| Limit::Slot)?;
        let mut encoded = Vec::with_capacity(5 + key_id_len + wrapped.len());
        encoded.push(scheme);
        encoded.extend_from_slice(&key_len.to_be_bytes());
        key_id
            .iter()
            .for_each(|part| encoded.extend_from_slice(part));
        encoded.extend_from_slice(&wrapped_len.to_be_bytes());
        encoded.extend_from_slice(wrapped);
        Ok(Self { encoded })
    }

    /// The slot that this will be.
    ///
    /// # Errors
    /// None for what this crate's constructors made.
    pub fn as_slot(&self) -> Result<Slot<'_>> {
        Slot::parse(&mut Input::new(&self.encoded))
    }
}

impl std::fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.as_slot() {
            Ok(slot) => write!(f, "WrappedKey({})", slot.id()),
            Err(_) => f.write_str("WrappedKey(malformed)"),
        }
    }
}

/// Slots as a header holds them, obeying the rules that bind them together.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlotList {
    encoded: Vec<u8>,
    count: u8,
}

impl SlotList {
    /// Appends what a provider wrapped.
    pub(crate) fn push(&mut self, wrapped: WrappedKey) -> Result<()> {
        self.admit(&wrapped.as_slot()?)?;
        if self.encoded.is_empty() {
            self.encoded = wrapped.encoded;
        } else {
            self.encoded.extend_from_slice(&wrapped.encoded);
        }
        Ok(())
    }

    /// Appends a slot byte for byte.
    pub(crate) fn keep(&mut self, slot: &Slot<'_>) -> Result<()> {
        self.admit(slot)?;
        self.encoded.extend_from_slice(slot.encoded);
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
            refuse_pair(&earlier, slot)
                .map_err(|_| Error::Misuse("two slots of one key, or of two passphrases"))?;
        }
        self.count += 1;
        Ok(())
    }
}

/// The slots of an encoding that was parsed or made before.
pub(super) fn slots_in(encoded: &[u8]) -> impl Iterator<Item = Slot<'_>> {
    let mut input = Input::new(encoded);
    std::iter::from_fn(move || Slot::parse(&mut input).ok())
}

// FORMAT §1: no two with the same scheme and key id, at most one passphrase slot.
pub(super) fn refuse_pair(left: &Slot<'_>, right: &Slot<'_>) -> Result<()> {
    if left.same_id(right) {
        Err(Malformed::DuplicateSlot.into())
    } else if left.scheme == PASSPHRASE && right.scheme == PASSPHRASE {
        Err(Malformed::TwoPassphraseSlots.into())
    } else {
        Ok(())
    }
}

/// The Argon2id costs that a passphrase slot states: memory in KiB, passes, lanes.
pub(crate) fn passphrase_costs(wrapped: &[u8]) -> Result<(u32, u32, u32)> {
    let mut input = Input::new(wrapped);
    Ok((input.u32()?, input.u32()?, input.u32()?))
}

// FORMAT §4, scheme 0x02: all but 8p ≤ m ≤ 1,048,576, 1 ≤ t ≤ 16, 1 ≤ p ≤ 16, m·t ≤ 4,194,304 is malformed.
pub(crate) fn check_passphrase_costs((memory_kib, passes, lanes): (u32, u32, u32)) -> Result<()> {
    let (m, t, p) = (u64::from(memory_kib), u64::from(passes), u64::from(lanes));
    let within = 8 * p <= m
        && m <= 1_048_576
        && (1..=16).contains(&t)
        && (1..=16).contains(&p)
        && m * t <= 4_194_304;
    if within {
        Ok(())
    } else {
        Err(Malformed::PassphraseCosts.into())
    }
}

// FORMAT §4: the exact lengths of each scheme. A scheme that this version does not know is no error.
fn check_scheme(scheme: u8, key_id: &[u8], wrapped: &[u8]) -> Result<()> {
    let lengths = |id, len| {
        if key_id.len() != id {
            Err(Malformed::KeyIdLength)
        } else if wrapped.len() != len {
            Err(Malformed::WrappedKeyLength)
        } else {
            Ok(())
        }
    };
    match scheme {
        0 => Err(Malformed::SchemeZero.into()),
        KEYRING => Ok(lengths(16, 60)?),
        PASSPHRASE => {
            lengths(16, 104)?;
            check_passphrase_costs(passphrase_costs(wrapped)?)
        }
        EXTERNAL if split_external(key_id).is_none() => Err(Malformed::ExternalKeyId.into()),
        _ => Ok(()),
    }
}
