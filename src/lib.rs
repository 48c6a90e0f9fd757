//! Client-side envelope encryption of patient health information.

mod crypto;
mod error;
pub mod floe;
mod format;
mod keys;
mod secret;

pub use error::{
    Authenticated, ContextMismatch, Error, KeyId, KeyState, KeyringRule, Limit, Malformed, Result,
    SlotId,
};
pub use secret::Plaintext;
