//! [envelope format]: manual::format
//! [threat model]: manual::threat_model
//! [considerations]: manual::considerations
//! [assurance]: manual::assurance
//! [compliance map]: manual::compliance
//! [architecture]: manual::architecture
//! [files and `phi`]: manual::files
//! [performance]: manual::performance
//! [rotation runbook]: manual::rotation
//! [why]: manual::why
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod archive;
mod crypto;
mod disk;
mod envelope;
pub mod error;
pub mod files;
pub mod floe;
mod format;
pub mod header;
pub mod keys;
pub mod manual;
mod memory;
mod parallel;
mod secret;

// Records, sessions and streams.
pub use envelope::{
    Context, DecryptReader, EncryptWriter, Envelope, EnvelopeCipher, EnvelopeCipherBuilder,
    HeaderDamage, Session, SessionLimits,
};
pub use secret::Plaintext;

// Keys.
pub use envelope::KeyringFile;
pub use error::KeyId;
pub use keys::{KeyProvider, Keyring, MasterKey, Passphrase};

// A look at an envelope without a key.
pub use envelope::{Inspection, inspect};

pub use error::{Error, Result};
