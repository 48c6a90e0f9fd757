//! A keyring's home: an envelope in a store, its options, leases and pins.

mod access;
mod content;
#[cfg(test)]
mod crafted;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod faults;
mod file;
mod json;
#[cfg(test)]
mod leases;
mod options;
#[cfg(test)]
mod pinned;
mod pins;
mod recipients;
mod store;
#[cfg(test)]
mod strangers;

pub use file::{KeyringFile, Updated};
pub use options::{KeyringFileOptions, SlotChange};
pub use pins::KeyringPin;
