//! Envelopes: the facade, and what it does to records, streams and headers.

mod asking;
mod cache;
mod cipher;
mod confirm;
mod context;
pub(crate) mod inline;
mod inspect;
mod keyring_content;
#[cfg(test)]
mod keyring_crafted;
#[cfg(test)]
mod keyring_faults;
mod keyring_file;
mod keyring_json;
#[cfg(test)]
mod keyring_leases;
mod keyring_options;
mod keyring_pins;
mod keyring_recipients;
mod keyring_store;
#[cfg(test)]
mod keyring_strangers;
mod open;
mod own_file;
mod proof;
mod recipients;
mod record;
mod reencrypt;
mod rewrap;
mod seal;
mod session;
mod stream;
mod text;
#[cfg(test)]
mod vectors;
mod without;

pub(crate) use cipher::checked_segment_length;
pub use cipher::{EnvelopeCipher, EnvelopeCipherBuilder};
pub use context::Context;
pub use inspect::{Inspection, inspect};
pub use keyring_file::{KeyringFile, Updated};
pub use keyring_options::{KeyringFileOptions, SlotChange};
pub use keyring_pins::KeyringPin;
pub(crate) use own_file::NewOwnFile;
pub(crate) use recipients::{Change, check_change};
pub use session::{Session, SessionLimits};
pub(crate) use stream::stream_key;
pub use stream::{DecryptReader, EncryptWriter, HeaderDamage};
pub use text::Envelope;

/// Applies `each` to all of `work`, in order of results, on all cores where the feature `parallel` is on.
pub(crate) fn map_all<T: Send, U: Send>(
    work: Vec<T>,
    each: impl Fn(T) -> U + Sync + Send,
) -> Vec<U> {
    #[cfg(feature = "parallel")]
    {
        use rayon::prelude::*;
        if crate::parallel::threads() > 1 {
            // A record takes microseconds: a few make a task.
            return work.into_par_iter().with_min_len(16).map(each).collect();
        }
    }
    work.into_iter().map(each).collect()
}
