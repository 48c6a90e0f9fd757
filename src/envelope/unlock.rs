//! The key half of reading: asks the providers and verifies a header. Only what comes out of here gives a payload key.

use std::sync::Arc;

use super::asking::Answers;
use super::unlocked::DataKeyState;
use super::wrap::relength_header;
use super::{Context, EnvelopeCipher};
use crate::crypto::derive;
use crate::crypto::mac::Mac256;
use crate::error::{ContextMismatch, Malformed, Result};
use crate::floe;
use crate::format::header::Header;
use crate::format::slot::Slot;
use crate::keys::UnwrapRequest;
use crate::secret::on_cleared_stack;

/// A header whose tag has verified under a data key that a provider unwrapped.
#[derive(Debug)]
pub(crate) struct Verified<'a> {
    header: Header<'a>,
    state: Arc<DataKeyState>,
    /// The slot that gave the data key.
    slot: Slot<'a>,
}

/// A verified header whose labels and bindings are those that the reader presented.
#[derive(Debug)]
pub(crate) struct Opened<'a>(Verified<'a>);

impl<'a> Verified<'a> {
    pub(crate) fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// The slot that gave the data key.
    pub(super) fn slot(&self) -> &Slot<'a> {
        &self.slot
    }

    pub(super) fn state(&self) -> &DataKeyState {
        &self.state
    }

    // FORMAT §5: a scan for evidence derives the payload key of a detached header after the header tag alone, checks FLOE's header
    // tag with it, and opens nothing.
    /// The key and the AAD of the payload's FLOE message, for its header tag alone.
    pub(crate) fn stream_key_of_scan(&self) -> (floe::Key, Vec<u8>) {
        let header = &self.header;
        let aad = [&header.immutable_head(), header.immutable_tail()].concat();
        let immutable = [&header.immutable_head(), header.immutable_tail()];
        let make = || derive::payload_key(&self.state.mac, immutable, floe::Key::derived);
        (on_cleared_stack(make), aad)
    }

    /// The header for blocks of another length.
    pub(crate) fn with_block_length(&self, bytes: usize) -> Result<Vec<u8>> {
        let bytes = u32::try_from(bytes).map_err(|_| Malformed::BlockLength)?;
        on_cleared_stack(|| relength_header(&self.state.mac, &self.header, bytes))
    }

    // FORMAT §3 (labels), §5 (the bindings tag, in constant time, before the payload key).
    pub(super) fn admit(self, context: &Context) -> Result<Opened<'a>> {
        context.check_presence(&self.header)?;
        context.check_labels(&self.header)?;
        if let Some(stated) = self.header.bindings_tag() {
            let computed = derive::bindings_tag(
                &self.state.mac,
                self.header.message_id(),
                context.encoded_bindings(),
            );
            if !crate::crypto::equal(&computed, stated) {
                return Err(ContextMismatch::BindingsDiffer.into());
            }
        }
        Ok(Opened(self))
    }
}

impl<'a> Opened<'a> {
    // FORMAT §5
    /// What `make` makes of the payload key.
    pub(super) fn payload_key<T>(&self, make: impl FnOnce(&[u8; 32]) -> T) -> T {
        let header = &self.0.header;
        let immutable = [&header.immutable_head(), header.immutable_tail()];
        derive::payload_key(&self.0.state.mac, immutable, make)
    }

    pub(crate) fn header(&self) -> &Header<'a> {
        &self.0.header
    }

    /// The data key's HMAC, to seal further messages under it.
    pub(super) fn data(&self) -> &Mac256 {
        &self.0.state.mac
    }
}

impl EnvelopeCipher {
    /// Opens a header for a reader who presents `context`.
    pub(crate) fn open_header<'a>(
        &self,
        header: Header<'a>,
        context: &Context,
    ) -> Result<Opened<'a>> {
        on_cleared_stack(|| self.open_header_uncleared(header, context))
    }

    /// [`open_header`](Self::open_header), for a caller who clears the stack when he has done more.
    pub(super) fn open_header_uncleared<'a>(
        &self,
        header: Header<'a>,
        context: &Context,
    ) -> Result<Opened<'a>> {
        if !header.kind().is_own() {
            context.check_demands(&self.0.demands)?;
        }
        context.check_presence(&header)?;
        self.verify_slots(header, None)?.admit(context)
    }

    /// Verifies a header's tag under a data key that one of its slots gives.
    pub(crate) fn verify_header<'a>(&self, header: Header<'a>) -> Result<Verified<'a>> {
        on_cleared_stack(|| self.verify_slots(header, None))
    }

    /// [`verify_header`](Self::verify_header) for one of two header blocks, with what was said to the other.
    pub(super) fn verify_header_with<'a>(
        &self,
        header: Header<'a>,
        answers: &mut Answers,
    ) -> Result<Verified<'a>> {
        on_cleared_stack(|| self.verify_slots(header, Some(answers)))
    }

    fn verify_slots<'a>(
        &self,
        header: Header<'a>,
        answers: Option<&mut Answers>,
    ) -> Result<Verified<'a>> {
        let (state, slot) = self.ask_for_key(&header, answers)?;
        Ok(Verified {
            header,
            state,
            slot,
        })
    }

    pub(super) fn unwrap_context<'a>(&self, header: &Header<'a>) -> UnwrapRequest<'a> {
        UnwrapRequest::new(
            header.kind(),
            header.data_key_id(),
            header.labels(),
            self.0.allow_compromised,
        )
    }
}
