//! FORMAT §2: the head of a detached payload, `"PHIP" ‖ 0x01 ‖ 0x03 ‖ 0x00 ‖ 0x00 ‖ message id[16]`.

use super::codec::Input;
use crate::error::{AuthenticatedPart, Error, Malformed, Result};

/// "PHIP".
pub(crate) const MAGIC: [u8; 4] = *b"PHIP";
/// Bytes before the FLOE message.
pub(crate) const LEN: usize = 24;
const VERSION: u8 = 1;
const REST: [u8; 3] = [0x03, 0, 0];

/// The head of the payload of the header with this message id.
pub(crate) fn write(message_id: &[u8; 16]) -> [u8; LEN] {
    let mut head = [0; LEN];
    let fields = MAGIC.iter().chain(&[VERSION]).chain(&REST);
    let fields = fields.chain(message_id);
    head.iter_mut()
        .zip(fields)
        .for_each(|(to, from)| *to = *from);
    head
}

/// The message id that the head of `bytes` states.
pub(crate) fn parse(bytes: &[u8]) -> Result<&[u8; 16]> {
    let mut input = Input::new(bytes);
    match input.array::<4>() {
        Ok(magic) if *magic == MAGIC => {}
        Err(_) if MAGIC.starts_with(bytes) => return Err(Error::Truncated),
        _ => return Err(Malformed::NotAPayload.into()),
    }
    match input.u8()? {
        VERSION => {}
        0 => return Err(Malformed::PayloadHead.into()),
        version => return Err(Error::NewerVersion { version }),
    }
    if *input.array::<3>()? != REST {
        return Err(Malformed::PayloadHead.into());
    }
    input.array()
}

// FORMAT §2: a reader compares the id with the header's before any key work and refuses another.
/// Checks that the payload that begins with `bytes` belongs to the header with this message id.
pub(crate) fn check(bytes: &[u8], message_id: &[u8; 16]) -> Result<()> {
    if parse(bytes)? == message_id {
        Ok(())
    } else {
        Err(AuthenticatedPart::PayloadOfAnotherHeader.into())
    }
}
