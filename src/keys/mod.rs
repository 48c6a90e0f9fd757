//! Keys in memory, and the joint for those that live elsewhere.

mod data_key;
mod journal;
mod keyring;
mod lease;
mod master_key;
mod passphrase;
mod provider;
mod transaction;

pub use crate::error::{KeyId, KeyState};
pub use crate::format::slot::{Slot, WrappedKey};
pub use data_key::DataKey;
pub(crate) use journal::{CHAIN, Journal, LEASES};
pub use keyring::Keyring;
pub(crate) use lease::{Clock, Home, Moment};
pub use master_key::MasterKey;
pub use passphrase::{Argon2Costs, Passphrase};
pub use provider::{KeyProvider, Recognition, UnwrapRequest, WrapRequest};
pub(crate) use transaction::Entry;
pub use transaction::{KeyInfo, KeyringTransaction};
