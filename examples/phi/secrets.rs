//! Passphrases and master keys: from a file, a variable or a prompt without echo, never from an argument.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use phi_envelope::{KeyProvider, Keyring, MasterKey, Passphrase};
use zeroize::Zeroizing;

use crate::failure::{usage, usage_of};
use crate::options::SecretArgs;

/// Bytes of a secret at most, so that a wrong path is noticed.
const LONGEST: usize = 1 << 16;

/// What opens a keyring's file, or a sealed file by itself.
pub(crate) enum Secret {
    Passphrase(Zeroizing<Vec<u8>>),
    MasterKey(Zeroizing<Vec<u8>>),
}

/// Whether a prompt asks once, for a passphrase that exists, or twice, for one that is being chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Once,
    Twice,
}

impl Secret {
    /// What `args` name, else the variable, else what the prompt for `what` is answered.
    pub(crate) fn read(args: &SecretArgs, what: &str, asked: Asked) -> Result<Self> {
        if let Some(path) = &args.master_key_file {
            return Ok(Self::MasterKey(contents(path)?));
        }
        if let Some(path) = &args.passphrase_file {
            return Self::from_passphrase_file(path);
        }
        let from = "--passphrase-file, --master-key-file or PHI_PASSPHRASE";
        let passphrase = match variable("PHI_PASSPHRASE") {
            Some(passphrase) => passphrase,
            None => prompt(&format!("Passphrase of {what}"), asked, from)?,
        };
        Ok(Self::Passphrase(passphrase))
    }

    /// The one that is to replace what protects the keyring's file `what`.
    pub(crate) fn read_new(
        passphrase_file: Option<&Path>,
        master_key_file: Option<&Path>,
        what: &str,
    ) -> Result<Self> {
        if let Some(path) = master_key_file {
            return Ok(Self::MasterKey(contents(path)?));
        }
        if let Some(path) = passphrase_file {
            return Self::from_passphrase_file(path);
        }
        let from = "--new-passphrase-file, --new-master-key-file or PHI_NEW_PASSPHRASE";
        let passphrase = match variable("PHI_NEW_PASSPHRASE") {
            Some(passphrase) => passphrase,
            None => prompt(&format!("New passphrase of {what}"), Asked::Twice, from)?,
        };
        Ok(Self::Passphrase(passphrase))
    }

    /// The passphrase in a file, without the newline at its end.
    pub(crate) fn from_passphrase_file(path: &Path) -> Result<Self> {
        let mut passphrase = contents(path)?;
        if passphrase.ends_with(b"\n") {
            passphrase.pop();
            if passphrase.ends_with(b"\r") {
                passphrase.pop();
            }
        }
        Ok(Self::Passphrase(passphrase))
    }

    /// The secret as a recipient of its own.
    pub(crate) fn provider(&self) -> Result<Arc<dyn KeyProvider>> {
        Ok(match self {
            Self::Passphrase(bytes) => Arc::new(Passphrase::new(&**bytes).map_err(usage_of)?),
            Self::MasterKey(bytes) => {
                let text = std::str::from_utf8(bytes)
                    .map_err(|_| usage("a master key is base64 text, and this file is none"))?;
                Arc::new(Keyring::from_master_key(
                    MasterKey::from_base64(text)?,
                    "master key",
                ))
            }
        })
    }
}

/// All of a small file, in memory that is erased.
pub(crate) fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let read = || {
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
        File::open(path)?
            .take(LONGEST as u64 + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() > LONGEST {
            return Err(io::Error::other("longer than any secret or bindings"));
        }
        Ok(bytes)
    };
    read().with_context(|| path.display().to_string())
}

fn variable(name: &str) -> Option<Zeroizing<Vec<u8>>> {
    env::var_os(name).map(|value| Zeroizing::new(value.into_encoded_bytes()))
}

/// Asks on the terminal; where there is none, says where else the passphrase can come `from`.
fn prompt(text: &str, asked: Asked, from: &str) -> Result<Zeroizing<Vec<u8>>> {
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Err(usage(format_args!(
            "no terminal to ask for a passphrase: give it by {from}"
        )));
    }
    let ask = |text: &str| {
        let answer = rpassword::prompt_password(format!("{text}: "))
            .map_err(|error| usage(format_args!("no passphrase: {error}")))?;
        anyhow::Ok(Zeroizing::new(answer.into_bytes()))
    };
    let passphrase = ask(text)?;
    if asked == Asked::Twice && *ask("The same once more")? != *passphrase {
        return Err(usage("the two passphrases differ"));
    }
    Ok(passphrase)
}
