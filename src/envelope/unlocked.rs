//! A data key that a provider gave, as a cipher works with it and a cache keeps it.

use crate::crypto::derive;
use crate::crypto::mac::Mac256;
use crate::error::{AuthenticatedPart, Result};
use crate::format::header::Header;
use crate::keys::DataKey;

/// An unwrapped data key with its HMAC ready.
#[derive(Debug)]
pub(super) struct DataKeyState {
    pub(super) key: DataKey,
    pub(super) mac: Mac256,
}

impl DataKeyState {
    // FORMAT §5: the header tag commits the envelope to one data key.
    // Under a name of its own: a test finds by it the branches that depend on a key.
    #[inline(never)]
    pub(super) fn verify_tag(&self, header: &Header<'_>) -> Result<()> {
        let computed = derive::header_tag(&self.mac, header.tagged());
        if crate::crypto::equal(&computed, header.tag()) {
            Ok(())
        } else {
            Err(AuthenticatedPart::Header.into())
        }
    }
}
