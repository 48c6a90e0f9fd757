//! Changes of a header: rewrap, and recipients added, removed and replaced (FORMAT §7). The payload keeps its bytes.

use super::proof::gives;
use super::rewrap::{opener, wrap};
use super::unlock::Verified;
use super::wrap::reseal_header;
use super::{Context, EnvelopeCipher};
use crate::error::{Error, Malformed, RecipientError, Result};
use crate::format::header::{EnvelopeKind, Header};
use crate::format::slot::{Slot, SlotList};
use crate::keys::KeyProvider;
use crate::secret::on_cleared_stack;

/// A change of a header's slots.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    /// New slots under the current keys, for the recipients that have one already.
    Rewrap,
    /// A slot more, at the end.
    Add(&'a dyn KeyProvider, &'a Context),
    /// Without the slots of a recipient.
    Remove(&'a dyn KeyProvider, &'a Context),
    /// The slot of another recipient in the place of the first one's.
    Replace(&'a dyn KeyProvider, &'a dyn KeyProvider, &'a Context),
}

impl<'a> Change<'a> {
    /// Who gets a slot by it, beside the providers that a cipher writes for.
    pub(super) fn named(self) -> Option<&'a dyn KeyProvider> {
        match self {
            Self::Rewrap | Self::Remove(..) => None,
            Self::Add(new, _) | Self::Replace(_, new, _) => Some(new),
        }
    }
}

impl EnvelopeCipher {
    /// Moves an envelope to the current keys of its recipients: new slots, the same payload bytes.
    ///
    /// Takes a record, or the detached header of a stream, and needs no bindings. Only providers that this cipher writes for,
    /// **and that have a slot already**, get a new one; all other slots stay byte for byte. Where nothing is to do, the same
    /// bytes come back. A file with header blocks is rewrapped by [`files::rewrap`](crate::files::rewrap).
    ///
    /// # Errors
    /// Those of opening the header, [`Limit::Header`](crate::error::Limit::Header) and
    /// [`Limit::Generation`](crate::error::Limit::Generation).
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Keyring};
    /// let keyring = Keyring::generate("ehr-2026")?;
    /// let cipher = EnvelopeCipher::new(keyring.clone());
    /// let envelope = cipher.encrypt("BP 120/80", &Context::new())?;
    ///
    /// keyring.rotate("ehr-2027")?;
    /// let moved = cipher.rewrap(&envelope)?;
    /// assert_ne!(moved, envelope);
    /// assert_eq!(cipher.rewrap(&moved)?, moved);
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn rewrap(&self, envelope: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        self.change(envelope.as_ref(), Change::Rewrap)
    }

    /// Gives a recipient a slot, after all others.
    ///
    /// `labels` must be exactly the envelope's labels, so that nobody who moves envelopes about can have a recipient added to
    /// another's. It has no bindings: a header's change needs none, and would not look at them. Takes a record, or the detached header of a stream.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap), [`Error::ContextMismatch`](crate::Error::ContextMismatch) for other labels, and [`RecipientError::Present`] where the
    /// recipient has a slot already.
    pub fn add_recipient(
        &self,
        envelope: impl AsRef<[u8]>,
        recipient: &dyn KeyProvider,
        labels: &Context,
    ) -> Result<Vec<u8>> {
        self.change(envelope.as_ref(), Change::Add(recipient, labels))
    }

    /// Takes a recipient's slots away. `labels` as for [`add_recipient`](Self::add_recipient).
    ///
    /// Whoever opened the envelope before may have kept its data key: re-encrypt where that matters. An envelope has one passphrase
    /// slot at most, and any [`Passphrase`](crate::Passphrase) names it, whatever it says.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap), [`Error::ContextMismatch`](crate::Error::ContextMismatch) for other labels, and [`RecipientError::Absent`] or
    /// [`RecipientError::Last`] where the recipient has no slot or the only one.
    pub fn remove_recipient(
        &self,
        envelope: impl AsRef<[u8]>,
        recipient: &dyn KeyProvider,
        labels: &Context,
    ) -> Result<Vec<u8>> {
        self.change(envelope.as_ref(), Change::Remove(recipient, labels))
    }

    /// Puts a slot of `new` in the place of `old`'s, at once: a passphrase changed, one keyring for another. `labels` as for
    /// [`add_recipient`](Self::add_recipient).
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap), [`Error::ContextMismatch`](crate::Error::ContextMismatch) for other labels, and [`RecipientError::Absent`] where `old`
    /// has no slot, [`RecipientError::Present`] where `new` has one already.
    pub fn replace_recipient(
        &self,
        envelope: impl AsRef<[u8]>,
        old: &dyn KeyProvider,
        new: &dyn KeyProvider,
        labels: &Context,
    ) -> Result<Vec<u8>> {
        self.change(envelope.as_ref(), Change::Replace(old, new, labels))
    }

    /// [`rewrap`](Self::rewrap) for an envelope that takes the place of the only one there is: checked as a file's header is, and
    /// for anything left over. None where the envelope is where it is to be.
    pub(crate) fn rewrap_checked(&self, envelope: &[u8]) -> Result<Option<Vec<u8>>> {
        let (header, payload) = changeable(envelope, Change::Rewrap)?;
        let verified = self.verify_header(header)?;
        let Some(changed) = self.changed_header(&verified, Change::Rewrap)? else {
            self.check_rewrapped(verified.header())?;
            return Ok(None);
        };
        let (written, _) = Header::parse(&changed)?;
        self.check_changed(&verified, &written, Change::Rewrap)?;
        self.check_rewrapped(&written)?;
        Ok(Some([&changed, payload].concat()))
    }

    /// A header of this process's own with its slots under the keys that are current now, or none where they are.
    pub(crate) fn brought_up_to_date(&self, header: &[u8]) -> Result<Option<Vec<u8>>> {
        let (header, _) = Header::parse(header)?;
        if self.leftover(&header).is_none() {
            return Ok(None);
        }
        let verified = self.verify_header(header)?;
        let changed = self.changed_header(&verified, Change::Rewrap)?;
        if let Some(changed) = &changed {
            self.check_changed(&verified, &Header::parse(changed)?.0, Change::Rewrap)?;
        }
        Ok(changed)
    }

    fn change(&self, envelope: &[u8], change: Change<'_>) -> Result<Vec<u8>> {
        let (header, payload) = changeable(envelope, change)?;
        let verified = self.verify_header(header)?;
        let Some(changed) = self.changed_header(&verified, change)? else {
            return Ok(envelope.to_vec());
        };
        self.check_changed(&verified, &Header::parse(&changed)?.0, change)?;
        Ok([&changed, payload].concat())
    }

    /// The header after the change, or none where there is nothing to change.
    pub(crate) fn changed_header(
        &self,
        verified: &Verified<'_>,
        change: Change<'_>,
    ) -> Result<Option<Vec<u8>>> {
        on_cleared_stack(|| self.changed_header_uncleared(verified, change))
    }

    fn changed_header_uncleared(
        &self,
        verified: &Verified<'_>,
        change: Change<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let header = verified.header();
        check_change(header, change)?;
        let slots = match change {
            Change::Rewrap => self.rewrapped(verified)?,
            Change::Add(recipient, labels) => {
                labels.check_exact_labels(header)?;
                if header
                    .slots()
                    .any(|slot| recipient.recognize(&slot).is_mine())
                {
                    return Err(RecipientError::Present.into());
                }
                let mut slots = SlotList::keeping(header.slots())?;
                slots.push(wrap(verified, recipient)?)?;
                Some(slots)
            }
            Change::Remove(recipient, labels) => {
                labels.check_exact_labels(header)?;
                Some(without(header, recipient)?)
            }
            Change::Replace(old, new, labels) => {
                labels.check_exact_labels(header)?;
                Some(replaced(verified, old, new)?)
            }
        };
        slots
            .map(|slots| reseal_header(&verified.state().mac, header, &slots))
            .transpose()
    }

    // FORMAT §7: read back, verify the tag, unwrap, compare the data key.
    /// Checks a changed header as it was read back: its tag verifies, and each new slot gives the same data key to its provider.
    pub(crate) fn check_changed(
        &self,
        before: &Verified<'_>,
        written: &Header<'_>,
        change: Change<'_>,
    ) -> Result<()> {
        on_cleared_stack(|| self.check_changed_uncleared(before, written, change))
    }

    fn check_changed_uncleared(
        &self,
        before: &Verified<'_>,
        written: &Header<'_>,
        change: Change<'_>,
    ) -> Result<()> {
        before.state().verify_tag(written)?;
        let kept = |slot: &Slot<'_>| before.header().slots().any(|old| old == *slot);
        let readers = self.0.readers.iter().map(AsRef::as_ref);
        let providers: Vec<_> = change.named().into_iter().chain(readers).collect();
        let context = self.unwrap_context(written);
        for slot in written.slots().filter(|slot| !kept(slot)) {
            // The slot of a provider that only wraps can be tried by nobody here.
            if let Some(opener) = opener(providers.iter().copied(), &slot) {
                gives(opener, &slot, &context, &before.state().key)?;
            }
        }
        Ok(())
    }

    /// Checks that a header stands where a rewrap is to bring it: a recipient of this cipher has a slot, and nothing is left over.
    pub(crate) fn check_rewrapped(&self, header: &Header<'_>) -> Result<()> {
        if let Some(slot) = self.leftover(header) {
            return Err(Error::OutdatedSlot { slot });
        }
        if !header.slots().any(|slot| self.is_owned(&slot)) {
            return Err(RecipientError::Absent.into());
        }
        Ok(())
    }
}

// FORMAT §2: rewrap takes kinds 0x05 and 0x07 to 0x0A like any header; 0x04 and 0x06 move by their own calls alone. Calls that
// change recipients refuse all of them, before any key work.
/// Refuses a change of a file of this crate's own that is not made this way, and bindings that would have no effect.
pub(crate) fn check_change(header: &Header<'_>, change: Change<'_>) -> Result<()> {
    match change {
        Change::Rewrap => {}
        Change::Add(_, labels) | Change::Remove(_, labels) | Change::Replace(_, _, labels) => {
            labels.refuse_bindings()?;
        }
    }
    let refused = match header.kind() {
        EnvelopeKind::Keyring | EnvelopeKind::Identity => true,
        kind => kind.is_own() && !matches!(change, Change::Rewrap),
    };
    if refused {
        return Err(header.other_kind(EnvelopeKind::Record));
    }
    Ok(())
}

/// The header of an envelope that is changed in memory, and its payload.
fn changeable<'a>(envelope: &'a [u8], change: Change<'_>) -> Result<(Header<'a>, &'a [u8])> {
    let (header, payload) = Header::parse(envelope)?;
    check_change(&header, change)?;
    match header.kind() {
        kind if kind.is_record_like() => super::record::check_payload(payload)?,
        EnvelopeKind::StreamDetached if payload.is_empty() => {}
        EnvelopeKind::StreamDetached => return Err(Malformed::TrailingBytes.into()),
        _ => return Err(header.other_kind(EnvelopeKind::Record)),
    }
    Ok((header, payload))
}

fn without(header: &Header<'_>, recipient: &dyn KeyProvider) -> Result<SlotList> {
    let mut slots = SlotList::default();
    let mut found = false;
    for slot in header.slots() {
        if recipient.recognize(&slot).is_mine() {
            found = true;
        } else {
            slots.keep(&slot)?;
        }
    }
    if !found {
        return Err(RecipientError::Absent.into());
    }
    if slots.count() == 0 {
        return Err(RecipientError::Last.into());
    }
    Ok(slots)
}

fn replaced(
    verified: &Verified<'_>,
    old: &dyn KeyProvider,
    new: &dyn KeyProvider,
) -> Result<SlotList> {
    let mut slots = SlotList::default();
    let mut found = false;
    for slot in verified.header().slots() {
        if !old.recognize(&slot).is_mine() {
            if new.recognize(&slot).is_mine() {
                return Err(RecipientError::Present.into());
            }
            slots.keep(&slot)?;
        } else if !std::mem::replace(&mut found, true) {
            slots.push(wrap(verified, new)?)?;
        }
    }
    if found {
        Ok(slots)
    } else {
        Err(RecipientError::Absent.into())
    }
}
