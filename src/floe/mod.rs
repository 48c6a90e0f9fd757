//! FLOE: authenticated encryption of streams, in bounded memory and with random access (c2sp.org/FLOE).
//!
//! The stream's payload, usable on its own: it knows a key, additional authenticated data (AAD), a reader and a writer,
//! and nothing of envelopes. Any other FLOE implementation with AES-256-GCM and SHA-384 reads what it writes.
//!
//! ```
//! use std::io::{Read as _, Write as _};
//!
//! use phi_envelope::floe::{Key, Reader, SegmentLength, Writer};
//!
//! let key = Key::generate()?;
//! let mut writer = Writer::new(Vec::new(), &key, b"export 2026-03", SegmentLength::DEFAULT)?;
//! writer.write_all(b"{\"resourceType\":\"Patient\"}\n")?;
//! let message = writer.finish()?; // without it the message does not open
//!
//! let mut reader = Reader::new(&message[..], &key, b"export 2026-03")?;
//! let mut plaintext = Vec::new();
//! reader.read_to_end(&mut plaintext)?; // an error where the end is missing
//! assert_eq!(plaintext, b"{\"resourceType\":\"Patient\"}\n");
//! # Ok::<(), phi_envelope::Error>(())
//! ```
//!
//! A message is a header of 74 bytes and segments of one length, each sealed on its own; only the last may be shorter.
//! No segment can be changed, moved, dropped, repeated or taken from another message without an error. The AAD is not
//! stored: whoever reads presents the same bytes. A key may serve any number of messages that a system will ever write,
//! since every message has keys of its own, derived from 32 random bytes.

mod batch;
mod buffer;
mod key;
mod layout;
mod length;
mod message;
mod one_shot;
mod open;
mod reader;
mod seal;
mod seek;
mod segment;
mod source;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use batch::Threads;
pub use key::Key;
pub(crate) use layout::Layout;
pub use length::SegmentLength;
pub(crate) use message::{HEADER_LEN, stated_segment_length};
pub use one_shot::{decrypt, encrypt};
pub(crate) use open::Opener;
pub use reader::Reader;
pub(crate) use seal::Sealer;
pub use writer::Writer;
