//! Envelopes: the facade, and what it does to records, streams and headers.

mod asking;
mod cache;
mod cipher;
mod confirm;
mod context;
mod excluding;
mod field;
pub(crate) mod inline;
mod inspect;
mod keyring;
mod own_file;
mod proof;
mod proven;
mod recipients;
mod record;
mod reencrypt;
mod rewrap;
mod session;
mod stream;
mod unlock;
mod unlocked;
#[cfg(test)]
#[path = "../../tests/vectors/make/mod.rs"]
mod vectors;
mod wrap;

pub(crate) use cipher::checked_segment_length;
pub use cipher::{EnvelopeCipher, EnvelopeCipherBuilder};
pub use context::Context;
pub use field::Envelope;
pub use inline::HeaderDamage;
pub use inspect::{Inspection, inspect};
pub use keyring::{KeyringFile, KeyringFileOptions, KeyringPin, SlotChange, Updated};
pub(crate) use own_file::NewOwnFile;
pub(crate) use recipients::{Change, check_change};
pub use session::{Session, SessionLimits};
pub(crate) use stream::stream_key;
pub use stream::{DecryptReader, EncryptWriter};
