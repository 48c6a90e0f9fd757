//! Any bytes, opened as a record with keys that open some: every way of opening comes to one end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phi_envelope::{Context, inspect};
use phi_envelope_fuzz::READER;

fuzz_target!(|bytes: &[u8]| {
    let context = Context::new();
    let opened = READER.decrypt(bytes, &context);
    let in_place = READER.decrypt_in_place(bytes.to_vec(), &context);
    match (&opened, &in_place) {
        (Ok(opened), Ok(in_place)) => {
            assert_eq!(opened[..], in_place[..]);
            assert!(inspect(bytes).is_ok());
            let again = READER.encrypt(&opened[..], &context).expect("sealing");
            assert_eq!(
                READER.decrypt(again, &context).expect("opening")[..],
                opened[..]
            );
        }
        (Err(opened), Err(in_place)) => assert_eq!(opened.to_string(), in_place.to_string()),
        _ => panic!("{opened:?} and {in_place:?}"),
    }
    if let Ok(moved) = READER.rewrap(bytes) {
        assert_eq!(READER.decrypt(moved, &context).is_ok(), opened.is_ok());
    }
});
