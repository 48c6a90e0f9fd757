//! The last look before a header is written (FORMAT §9.2, Lease): what was wrapped within a lease may be written beyond it, when the key
//! that it is under is gone.

use super::{Change, EnvelopeCipher};
use crate::error::{Error, Result};
use crate::format::header::Header;
use crate::format::slot::Slot;
use crate::keys::Recognition;

impl EnvelopeCipher {
    /// Makes sure, right before a changed header is written, that its new slots may be: whoever has one would still wrap, and has not moved
    /// off the key of it since.
    pub(crate) fn confirm_change(
        &self,
        before: &Header<'_>,
        written: &Header<'_>,
        change: Change<'_>,
    ) -> Result<()> {
        self.confirm_writers()?;
        if let Some(named) = change.named() {
            named.confirm()?;
        }
        let outdated = |slot: &Slot<'_>| match change.named().map(|named| named.recognize(slot)) {
            Some(Recognition::Current) => false,
            Some(Recognition::Outdated | Recognition::Restricted) => true,
            Some(Recognition::NotMine) | None => self.is_outdated(slot),
        };
        let kept = |slot: &Slot<'_>| before.slots().any(|old| old == *slot);
        let mut new = written.slots().filter(|slot| !kept(slot));
        match new.find(outdated) {
            Some(slot) => Err(Error::OutdatedSlot { slot: slot.id() }),
            None => Ok(()),
        }
    }

    /// [`confirm_change`](Self::confirm_change) for the header at the head of a new envelope, all of whose slots are new.
    pub(crate) fn confirm_new(&self, envelope: &[u8]) -> Result<()> {
        self.confirm_writers()?;
        match self.leftover(&Header::parse(envelope)?.0) {
            Some(slot) => Err(Error::OutdatedSlot { slot }),
            None => Ok(()),
        }
    }

    /// [`confirm_change`](Self::confirm_change) for what [`rewrap_checked`](Self::rewrap_checked) made of an envelope.
    pub(crate) fn confirm_rewrapped(&self, old: &[u8], new: &[u8]) -> Result<()> {
        let ((before, _), (written, _)) = (Header::parse(old)?, Header::parse(new)?);
        self.confirm_change(&before, &written, Change::Rewrap)
    }
}
