//! Files: positional I/O on all cores, header blocks changed in place, output that appears whole or not at all.

mod change;
mod decrypt;
mod encrypt;
mod head;
mod inspect;
mod options;
mod range;
mod repack;
mod runs;
mod sealed;
#[cfg(test)]
mod tests;

pub use change::{
    Rewrapped, add_recipient_file, remove_recipient_file, replace_recipient_file, rewrap_file,
};
pub use decrypt::{decrypt_file, reencrypt_file, verify_file};
pub use encrypt::{FileReport, encrypt_file};
pub use head::FileInspection;
pub(crate) use head::{Head, PayloadHead, StreamProof};
pub use inspect::inspect_file;
pub use options::FileOptions;
pub(crate) use options::threads_or_cores;
pub use range::{RangeReader, open_range};
pub use repack::repack_file;
