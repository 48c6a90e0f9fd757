//! Files: positional I/O on all cores, header blocks changed in place, output that appears whole or not at all.

mod at;
mod change;
mod decrypt;
mod encrypt;
mod head;
mod head_scan;
mod in_place;
mod inspect;
mod message;
mod options;
mod output;
mod range;
mod reencrypt;
mod repack;
mod runs;
mod sealed;
#[cfg(test)]
mod tests;

pub use crate::disk::{NotKept, ask_while_locked, on_lock_wait, set_lock_wait};
pub use change::{
    ChangeOptions, Rewrapped, add_recipient_file, remove_recipient_file, replace_recipient_file,
    rewrap_file,
};
pub use decrypt::{decrypt_file, decrypt_from, decrypt_read, decrypt_to, verify_file};
pub use encrypt::{FileReport, encrypt_file, encrypt_from, encrypt_read};
pub use head::FileInspection;
pub(crate) use head::Head;
pub(crate) use head_scan::{PayloadHead, StreamProof};
pub use inspect::inspect_file;
pub use options::FileOptions;
pub(crate) use options::threads_or_cores;
pub use range::{RangeReader, open_range};
pub use reencrypt::reencrypt_file;
pub use repack::repack_file;
