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
pub use decrypt::{decrypt_file, decrypt_from, decrypt_read, decrypt_to, verify_file};
pub use encrypt::{FileReport, encrypt_file, encrypt_from, encrypt_read};
pub use inspect::inspect_file;
pub use inspection::FileInspection;
pub(crate) use inspection::Head;
pub use options::FileOptions;
pub(crate) use options::threads_or_cores;
pub(crate) use payload_scan::{PayloadHead, StreamProof};
pub use range::{RangeReader, open_range};
pub use reencrypt::reencrypt_file;
pub use repack::repack_file;
pub use rewrap::{
    ChangeOptions, Rewrapped, add_recipient_file, remove_recipient_file, replace_recipient_file,
    rewrap_file,
};
