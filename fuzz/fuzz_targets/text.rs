//! Any text as an envelope: it has one encoding and no other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phi_envelope::Envelope;

fuzz_target!(|text: &str| {
    let Ok(envelope) = text.parse::<Envelope>() else {
        return;
    };
    assert!(text.starts_with("UEhJRQEB"));
    assert_eq!(envelope.to_string(), text);
    let json = serde_json::to_string(&envelope).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Envelope>(&json).expect("an envelope"),
        envelope
    );
    assert_eq!(
        Envelope::from_bytes(envelope.clone().into_bytes()).expect("its bytes"),
        envelope
    );
});
