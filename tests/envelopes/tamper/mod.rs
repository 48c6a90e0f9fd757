//! Whoever holds the storage changes it: each single bit, each length, and every part put where another was. Nothing opens,
//! the error names what was wrong, and of a stream nothing comes out from the bad segment on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test stops where something is not as it says

mod bits;
mod contexts;
mod headers;
mod segments;

use crate::common::{
    BLOCK, FLOE_HEADER, Field, OpenBook, PLAIN, RawHeader, RawSlot, SEGMENT, block, context,
    data_key, drain, drain_opened, flipped, keyring, labels, sample, with_digest,
};
use phi_envelope::{
    Context, EnvelopeCipher, Error, HeaderDamage, Keyring, Result, SessionLimits,
    error::{AuthenticatedPart, ContextMismatch, Malformed},
};

/// Two full segments and a short one.
const STREAM: usize = 2 * PLAIN + 900;
/// Where the payload of an inline stream begins.
const PAYLOAD: usize = 2 * BLOCK;

const HEADER: Error = Error::AuthenticationFailed(AuthenticatedPart::Header);
const WRAPPED_KEY: Error = Error::AuthenticationFailed(AuthenticatedPart::WrappedKey);
const RECORD: Error = Error::AuthenticationFailed(AuthenticatedPart::Record);
const STREAM_HEADER: Error = Error::AuthenticationFailed(AuthenticatedPart::StreamHeader);
const TRAILING_BYTES: Error = Error::Malformed(Malformed::TrailingBytes);
const NO_HEADER_BLOCK: Error = Error::Malformed(Malformed::NoHeaderBlock);

fn segment(position: u64) -> Error {
    Error::AuthenticationFailed(AuthenticatedPart::Segment(position))
}

fn cipher(keyring: Keyring) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder().encrypt_for(keyring);
    builder.segment_length(4096).unwrap().build().unwrap()
}

fn seal_inline(cipher: &EnvelopeCipher, plaintext: &[u8]) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    std::io::Write::write_all(&mut out, plaintext).unwrap();
    out.finish().unwrap()
}

/// A header, and the FLOE message without what names the header in front of it.
fn seal_detached(cipher: &EnvelopeCipher, plaintext: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    std::io::Write::write_all(&mut out, plaintext).unwrap();
    let payload = out.finish().unwrap();
    assert_eq!(payload[..24], payload_head(&header));
    (header, payload[24..].to_vec())
}

/// The head of the payload of this header: anyone can write one.
fn payload_head(header: &[u8]) -> [u8; 24] {
    let has_message_id = header.get(6).is_some_and(|flags| flags & 2 != 0);
    let at = if has_message_id { 32 } else { 16 };
    let mut head = *b"PHIP\x01\x03\0\0................";
    // Of a header that is cut, whatever.
    if let Some(id) = header.get(at..at + 16) {
        head[8..].copy_from_slice(id);
    }
    head
}

fn open_inline(cipher: &EnvelopeCipher, bytes: &[u8]) -> (Vec<u8>, Result<()>) {
    drain_opened(cipher.decrypt_reader(bytes, &context()))
}

fn open_detached(cipher: &EnvelopeCipher, header: &[u8], payload: &[u8]) -> (Vec<u8>, Result<()>) {
    let payload = [&payload_head(header)[..], payload].concat();
    drain_opened(cipher.decrypt_reader_detached(header, &payload[..], &context()))
}

/// Equal variants, down to the rule, the tag or the segment.
#[track_caller]
fn assert_same(error: &Error, expected: &Error, what: &str) {
    assert_eq!(format!("{error:?}"), format!("{expected:?}"), "{what}");
}

#[track_caller]
fn assert_record_refused(opened: Result<phi_envelope::Plaintext>, expected: &Error) {
    assert_same(&opened.unwrap_err(), expected, "record");
}

/// Refused with this error after exactly this many whole segments of the plaintext, whose prefix they are.
#[track_caller]
fn assert_stops((out, end): (Vec<u8>, Result<()>), expected: &Error, segments: usize) {
    assert_same(&end.unwrap_err(), expected, "stream");
    assert!(
        out == sample(STREAM)[..segments * PLAIN],
        "{} bytes came out",
        out.len()
    );
}

/// The bindings of [`context`] alone.
fn bindings() -> Context {
    Context::new()
        .bind("patient", "MRN-0042")
        .unwrap()
        .bind("record", "77")
        .unwrap()
}
