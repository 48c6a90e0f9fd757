//! A provider from outside that comes back to a keyring within one wrap gets another IV: under one key, two plaintexts under
//! one IV would tell their difference.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider, Keyring, Result, inspect,
    keys::{DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

/// Splits a data key into two shares, both wrapped by one keyring, and keeps both wraps in one slot.
struct Shares(Keyring);

impl KeyProvider for Shares {
    fn recognize(&self, _: &Slot<'_>) -> Recognition {
        Recognition::NotMine
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        let mut mask = context.random::<32>()?;
        let mut rest = [0; 32];
        for (to, (one, two)) in rest.iter_mut().zip(key.as_bytes().iter().zip(&mask)) {
            *to = one ^ two;
        }
        let first = self
            .0
            .wrap_key(&DataKey::from_bytes_zeroizing(&mut mask), context)?;
        let second = self
            .0
            .wrap_key(&DataKey::from_bytes_zeroizing(&mut rest), context)?;
        let both = [first.as_slot()?.wrapped(), second.as_slot()?.wrapped()].concat();
        WrappedKey::external("org.example.shares", &both[..12], &both)
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        Err(Error::provider(false, "never asked"))
    }
}

#[test]
fn two_wraps_of_one_context_have_two_ivs() {
    let cipher = EnvelopeCipher::new(Shares(Keyring::generate("test").unwrap()));
    let envelope = cipher.encrypt("note", &Context::new()).unwrap();
    // Both wraps stand one after the other before the header tag (32), the IV (12), "note" and the tag (16): 60 bytes each.
    assert_eq!(inspect(&envelope).unwrap().slots.len(), 1);
    let end = envelope.len() - 32 - 12 - 4 - 16;
    let (first, second) = (&envelope[end - 120..end - 60], &envelope[end - 60..end]);
    assert_ne!(first[..12], second[..12]);
    // The first wrap's IV is the payload's, under another key.
    assert_eq!(first[..12], envelope[end + 32..end + 44]);
}
