//! The command line of keyrings.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use crate::archive::args::{DestroyGround, DestroyTerms};
use crate::failure::usage;
use crate::key_names::KeyName;
use crate::options::{KEYRING, Lease, SecretArgs};

/// Which keyring a command is about.
#[derive(Args)]
pub(crate) struct WhichKeyring {
    /// The keyring's file; or --keyring names it, or else PHI_KEYRING
    file: Option<PathBuf>,
    #[command(flatten)]
    named: NamedKeyring,
}

/// The same keyring, if the command itself splits its words.
#[derive(Args)]
pub(crate) struct NamedKeyring {
    /// The keyring's file [env: PHI_KEYRING]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

impl WhichKeyring {
    pub(crate) fn path(&self) -> Result<PathBuf> {
        self.named.or(self.file.clone())
    }
}

impl NamedKeyring {
    /// The file that is named, by a word of its own or by an option or the variable.
    pub(crate) fn or(&self, word: Option<PathBuf>) -> Result<PathBuf> {
        match (word, self.keyring.clone()) {
            (Some(_), Some(_)) => Err(usage(
                "the keyring is named twice, by itself and with --keyring",
            )),
            (Some(file), None) | (None, Some(file)) => Ok(file),
            (None, None) => env::var_os(KEYRING)
                .filter(|file| !file.is_empty())
                .map(PathBuf::from)
                .ok_or_else(|| {
                    usage("no keyring is named: name its file, or give --keyring or PHI_KEYRING")
                }),
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum KeyringCommand {
    /// Make a keyring's file with one new random master key
    ///
    /// `phi retire` destroys a key no sooner than the lease and an allowance (300s unless it is told otherwise) after the keyring's last
    /// change: a process may encrypt with a key so long after it was rotated away from.
    New {
        #[command(flatten)]
        which: WhichKeyring,
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
    ///
    /// `phi retire` destroys a key no sooner than the lease and an allowance (300s unless it is told otherwise) after the keyring's last
    /// change, and this is one. For a day after it, the lease counts as a day: a process may go by that of before.
    #[command(allow_missing_positional = true)]
    SetLease {
        #[command(flatten)]
        which: WhichKeyring,
        /// 1s to 24h
        lease: Lease,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Make a new random master key the active one
    Rotate {
        #[command(flatten)]
        which: WhichKeyring,
        /// What to call the new key
        #[arg(long)]
        label: String,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Show the keyring's id, revision and lease, who can open it, and the keys with their states and ages
    List {
        #[command(flatten)]
        which: WhichKeyring,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Change the state of a key
    ///
    /// Marking the active key as compromised makes a new key of the same label first.
    #[command(override_usage = "phi keyring set-state [OPTIONS] [FILE] <KEY> <STATE>")]
    SetState {
        /// The keyring's FILE, unless --keyring or PHI_KEYRING names it; the KEY, by its id or its label, as `phi keyring list` shows
        /// them; and its new STATE: deactivated, suspended, compromised or resumed
        #[arg(required = true, num_args = 2..=3, value_name = "WORD")]
        words: Vec<OsString>,
        #[command(flatten)]
        named: NamedKeyring,
        #[command(flatten)]
        secret: SecretArgs,
    },
    /// Destroy a key for ever: whatever it alone can open is lost
    #[command(allow_missing_positional = true)]
    Destroy {
        #[command(flatten)]
        which: WhichKeyring,
        /// The key, by its id or its label, as `phi keyring list` shows them
        key: KeyName,
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
    ///
    /// Copies of the old file, and evidence that was written before, still open with the old one, and with that alone.
    Passwd {
        #[command(flatten)]
        which: WhichKeyring,
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

/// The words of `set-state`: a keyring's file, if there is one, a key and a state.
pub(crate) fn words_of_set_state(
    words: &[OsString],
) -> Result<(Option<PathBuf>, KeyName, NewState)> {
    let (file, key, state) = match words {
        [key, state] => (None, key, state),
        [file, key, state] => (Some(PathBuf::from(file)), key, state),
        _ => return Err(usage("set-state takes a keyring's file, a key and a state")),
    };
    let known = state
        .to_str()
        .and_then(|state| NewState::from_str(state, false).ok());
    let Some(known) = known else {
        return Err(usage(format_args!(
            "{} is no state that a key can be put into: deactivated, suspended, compromised, resumed",
            state.display()
        )));
    };
    let Some(Ok(key)) = key.to_str().map(str::parse) else {
        return Err(usage("the name of the key is not UTF-8"));
    };
    Ok((file, key, known))
}
