//! FLOE beside another implementation: each opens what the other seals, and of a changed message both think the same.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use phi_envelope::floe::{self, Key, SegmentLength};

const KEY: [u8; 32] = [0x42; 32];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    segment_length: u8,
    aad: &'a [u8],
    /// Where, and the bits to flip there.
    changes: Vec<(u16, u8)>,
    cut: Option<u16>,
    plaintext: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let Input { aad, plaintext, .. } = input;
    let (ours, theirs) = (Key::from_bytes(KEY), fast_floe::Key::from_bytes(KEY));
    let bytes = 64 + u32::from(input.segment_length);
    let our_length = SegmentLength::new(bytes).expect("an allowed length");
    let their_length =
        fast_floe::Parameters::with_segment_length(bytes).expect("an allowed length");

    let sealed = floe::encrypt(&ours, aad, our_length, plaintext).expect("sealing");
    assert!(fast_floe::decrypt(&theirs, aad, &sealed).expect("opening") == plaintext);
    let mut message = fast_floe::encrypt(&theirs, aad, their_length, plaintext).expect("sealing");
    assert!(floe::decrypt(&ours, aad, &message).expect("opening")[..] == *plaintext);

    for (at, flips) in input.changes {
        let at = usize::from(at) % message.len();
        message[at] ^= flips;
    }
    if let Some(len) = input.cut {
        message.truncate(len.into());
    }
    let (us, them) = (
        floe::decrypt(&ours, aad, &message),
        fast_floe::decrypt(&theirs, aad, &message),
    );
    match (us, them) {
        (Ok(us), Ok(them)) => assert!(us[..] == them[..] && us[..] == *plaintext),
        (Err(_), Err(_)) => {}
        (us, them) => panic!(
            "{us:?}, and the other {:?}",
            them.map(|plaintext| plaintext.len())
        ),
    }
});
