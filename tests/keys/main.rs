//! Master keys, keyrings and their files, passphrases, providers, recipients.
// A test stops where something is not as it says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod asking;
#[path = "../common/mod.rs"]
mod common;
mod keyring;
mod keyring_file;
mod keyring_rules;
mod provider_ivs;
mod recipients;
