//! Files: positional I/O on all cores, header blocks changed in place, output that appears whole or not at all.

mod at;
mod decrypt;
mod encrypt;
mod in_place;
mod inspect;
mod inspection;
mod message;
mod options;
mod output;
mod parallel;
mod payload_scan;
mod range;
mod reader;
mod reencrypt;
mod repack;
mod rewrap;
mod rewrite;
#[cfg(test)]
mod tests;

pub use crate::disk::{NotKept, ask_while_locked, on_lock_wait, set_lock_wait};
pub use crate::envelope::{KeyringFile, KeyringFileOptions, KeyringPin, SlotChange, Updated};
pub use decrypt::{decrypt, decrypt_from, decrypt_read, decrypt_to, verify};
pub use encrypt::{FileReport, encrypt, encrypt_from, encrypt_read};
pub use inspect::inspect;
pub use inspection::FileInspection;
pub(crate) use inspection::Head;
pub use options::FileOptions;
pub(crate) use options::threads_or_cores;
pub(crate) use payload_scan::{PayloadHead, StreamProof};
pub use range::{SealedFile, open};
pub use reencrypt::reencrypt;
pub use repack::repack;
pub use rewrap::{
    ChangeOptions, RewrapStatus, add_recipient, remove_recipient, replace_recipient, rewrap,
};
