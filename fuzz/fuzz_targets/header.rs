//! Any bytes, inspected without a key; and once more as a header whose tag is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phi_envelope::{
    Context, EnvelopeCipher, Error,
    error::{AuthenticatedPart, Limit},
    header::EnvelopeKind,
    inspect,
};
use phi_envelope_fuzz::{OpenBook, mend};

fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = inspect(bytes) else { return };
    assert!(found.header_len <= bytes.len().min(16_384));
    assert!((1..=32).contains(&found.slots.len()) && found.labels.len() <= 32);
    if found.kind != EnvelopeKind::Record {
        return;
    }
    let mut envelope = bytes.to_vec();
    mend(&mut envelope, found.header_len);
    let cipher = EnvelopeCipher::new(OpenBook);
    let error = cipher
        .decrypt(&envelope, &Context::new())
        .expect_err("a payload that nobody sealed");
    assert!(matches!(
        error,
        Error::ContextMismatch(_) | Error::AuthenticationFailed(AuthenticatedPart::Record)
    ));
    match cipher.rewrap(&envelope) {
        Ok(moved) => {
            let moved = inspect(&moved).expect("what a rewrap wrote");
            assert_eq!(moved.data_key_id, found.data_key_id);
            assert_eq!(moved.labels, found.labels);
        }
        Err(Error::LimitExceeded(Limit::Generation)) => assert_eq!(found.generation, u32::MAX),
        // The one slot that takes the place of two very short ones may be longer.
        Err(error) => assert!(matches!(error, Error::LimitExceeded(Limit::Header))),
    }
});
