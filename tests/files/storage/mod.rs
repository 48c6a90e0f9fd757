//! A store that lies, against everything that reads: it exchanges what is valid, cuts, appends, gives short answers, gives other answers the
//! second time, and puts old things back. Whoever reads gets the truth or an error, never another plaintext; what the threat model does
//! not promise is shown as well.
//!
//! Single bits, every length and every field are in `tests/tamper`, broken rules of the format in `tests/envelopes/hostile.rs`, header blocks in
//! `tests/envelopes/streams.rs`, crashes in `tests/files/calls/processes.rs`: they are not repeated here.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test stops where something is not as it says

mod at_rest;
mod in_motion;
mod keyring_files;
mod not_promised;
mod under_way;
mod ways;

use std::io::Write as _;

use crate::common::{BLOCK, FLOE_HEADER, PLAIN, RawHeader, SEGMENT, keyring, sample};
use phi_envelope::{
    Context, EnvelopeCipher, Error, Keyring, Result,
    error::{AuthenticatedPart, ContextMismatch, Malformed, RecipientError},
};

/// Three full segments and a short one.
const STREAM: usize = 3 * PLAIN + 900;
/// Where the payload of an inline stream begins.
const PAYLOAD: usize = 2 * BLOCK;
/// Bytes at the head of a detached payload that name its header.
const PAYLOAD_HEAD: usize = 24;

fn cipher(keyring: &Keyring) -> EnvelopeCipher {
    let builder = EnvelopeCipher::builder().encrypt_for(keyring.clone());
    builder.segment_length(4096).unwrap().build().unwrap()
}

/// The context of a record of this id.
fn of(record: &str) -> Context {
    in_tenant("clinic-7", record)
}

fn in_tenant(tenant: &str, record: &str) -> Context {
    let context = labels(tenant).bind("patient", "MRN-0042").unwrap();
    context.bind("record", record).unwrap()
}

fn labels(tenant: &str) -> Context {
    Context::new().label("tenant", tenant).unwrap()
}

fn seal_inline(cipher: &EnvelopeCipher, plaintext: &[u8], context: &Context) -> Vec<u8> {
    let mut out = cipher.encrypt_writer(Vec::new(), context).unwrap();
    out.write_all(plaintext).unwrap();
    out.finish().unwrap()
}

fn seal_detached(
    cipher: &EnvelopeCipher,
    plaintext: &[u8],
    context: &Context,
) -> (Vec<u8>, Vec<u8>) {
    let (header, mut out) = cipher.encrypt_writer_detached(Vec::new(), context).unwrap();
    out.write_all(plaintext).unwrap();
    (header, out.finish().unwrap())
}

/// Another plaintext of the same length.
fn other_sample(len: usize) -> Vec<u8> {
    sample(len).iter().map(|byte| byte ^ 0x55).collect()
}

/// How an error is told from others: its group and rule, without the position of a segment.
fn kind(error: &Error) -> String {
    match error {
        Error::AuthenticationFailed(AuthenticatedPart::Segment(_)) => "Segment".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Each way must have been refused with one of these errors.
#[track_caller]
fn assert_refused(outcomes: Vec<(&'static str, Result<()>)>, expected: &[Error], what: &str) {
    let expected: Vec<_> = expected.iter().map(kind).collect();
    assert!(outcomes.len() > 5);
    for (way, outcome) in outcomes {
        let Err(error) = outcome else {
            panic!("{what}: {way} opened it");
        };
        assert!(
            expected.contains(&kind(&error)),
            "{what}: {way} says {error:?}"
        );
    }
}

#[track_caller]
fn assert_opened(outcomes: Vec<(&'static str, Result<()>)>, what: &str) {
    assert!(outcomes.len() > 5);
    for (way, outcome) in outcomes {
        outcome.unwrap_or_else(|error| panic!("{what}: {way} says {error:?}"));
    }
}

const HEADER: Error = Error::AuthenticationFailed(AuthenticatedPart::Header);
const WRAPPED_KEY: Error = Error::AuthenticationFailed(AuthenticatedPart::WrappedKey);
const RECORD: Error = Error::AuthenticationFailed(AuthenticatedPart::Record);
const STREAM_HEADER: Error = Error::AuthenticationFailed(AuthenticatedPart::StreamHeader);
const OTHER_PAYLOAD: Error = Error::AuthenticationFailed(AuthenticatedPart::PayloadOfAnotherHeader);
const ANY_SEGMENT: Error = Error::AuthenticationFailed(AuthenticatedPart::Segment(0));
const BINDINGS_DIFFER: Error = Error::ContextMismatch(ContextMismatch::BindingsDiffer);
const LABELS_DIFFER: Error = Error::ContextMismatch(ContextMismatch::LabelsDiffer);
const TRAILING_BYTES: Error = Error::Malformed(Malformed::TrailingBytes);
const SEGMENT_LENGTH: Error = Error::Malformed(Malformed::SegmentLength);
const LENGTH_WORD: Error = Error::Malformed(Malformed::SegmentLengthWord);
