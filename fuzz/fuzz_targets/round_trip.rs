//! Streams written in any pieces, read in any pieces and read at any place.
#![no_main]

use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use phi_envelope::Context;
use phi_envelope_fuzz::{READER, sample};

#[derive(Arbitrary, Debug)]
struct Input {
    len: u16,
    writes: Vec<u16>,
    reads: Vec<u16>,
    /// Where, and how much to read there.
    seeks: Vec<(u16, u8)>,
}

fuzz_target!(|input: Input| {
    let Input {
        len,
        writes,
        reads,
        seeks,
    } = input;
    let plaintext = sample(len.into());
    let context = Context::new();

    let mut out = READER
        .encrypt_writer(Vec::new(), &context)
        .expect("a stream");
    let mut left = &plaintext[..];
    for piece in writes {
        let (now, later) = left.split_at(left.len().min(piece.into()));
        out.write_all(now).expect("room");
        left = later;
    }
    out.write_all(left).expect("room");
    let stream = out.finish().expect("an end");
    assert_eq!(
        stream.len(),
        8192 + 74 + plaintext.len() + 32 * plaintext.len().div_ceil(4064).max(1)
    );

    let mut input = READER
        .decrypt_reader(Cursor::new(stream), &context)
        .expect("a reader");
    let mut opened = Vec::new();
    for piece in reads {
        let more = input.by_ref().take(piece.into()).read_to_end(&mut opened);
        more.expect("authentic segments");
    }
    input.read_to_end(&mut opened).expect("authentic segments");
    assert!(opened == plaintext);
    assert_eq!(
        input.plaintext_len().expect("the last segment"),
        u64::from(len)
    );

    for (at, amount) in seeks {
        let mut piece = Vec::new();
        input.seek(SeekFrom::Start(at.into())).expect("a place");
        input
            .by_ref()
            .take(amount.into())
            .read_to_end(&mut piece)
            .expect("authentic segments");
        let from = plaintext.len().min(at.into());
        let to = plaintext.len().min(from + usize::from(amount));
        assert!(piece == plaintext[from..to]);
    }
});
