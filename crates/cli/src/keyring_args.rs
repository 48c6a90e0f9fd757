//! The command line of keyrings.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use phi_envelope::KeyId;

use crate::archive::args::{DestroyGround, DestroyTerms};
use crate::options::{Lease, SecretArgs};

#[derive(Subcommand)]
pub(crate) enum KeyringCommand {
    /// Make a keyring's file with one new random master key
    New {
        /// The keyring's file
        file: PathBuf,
        /// What to call the key
        #[arg(long)]
        label: String,
        /// How long a process may use it without confirming that the file is still the same, 1s to 24h [default: 15m]
        #[arg(long, value_name = "TIME")]
        lease: Option<Lease>,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Set how long a process may use the keyring without confirming that the file is still the same
    SetLease {
        /// The keyring's file
        file: PathBuf,
        /// 1s to 24h
        lease: Lease,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Make a new random master key the active one
    Rotate {
        /// The keyring's file
        file: PathBuf,
        /// What to call the new key
        #[arg(long)]
        label: String,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Show the keyring's id, revision and lease, who can open it, and the keys with their states and ages
    List {
        /// The keyring's file
        file: PathBuf,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Change the state of a key
    ///
    /// Marking the active key as compromised makes a new key of the same label first.
    SetState {
        /// The keyring's file
        file: PathBuf,
        /// As `phi keyring list` shows it
        key_id: KeyId,
        state: NewState,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Destroy a key for ever: whatever it alone can open is lost
    Destroy {
        /// The keyring's file
        file: PathBuf,
        /// As `phi keyring list` shows it
        key_id: KeyId,
        #[command(flatten)]
        ground: DestroyGround,
        #[command(flatten)]
        terms: DestroyTerms,
        /// Say that you mean it
        #[arg(long, required = true)]
        yes_destroy: bool,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Seal the keyring's file under a new passphrase: from a prompt, a file or PHI_NEW_PASSPHRASE
    Passwd {
        /// The keyring's file
        file: PathBuf,
        #[command(flatten)]
        secret: SecretArgs,
        /// The new passphrase: all of this file but a byte order mark and one line end; - is stdin
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// A master key in place of a passphrase: base64 text
        #[arg(long, value_name = "FILE", conflicts_with = "new_passphrase_file")]
        new_master_key_file: Option<PathBuf>,
        /// Also if somebody else who can open the file, by another slot, could not open it any more
        #[arg(long)]
        dropping_recipients: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum NewState {
    Deactivated,
    Suspended,
    Compromised,
    Resumed,
}
