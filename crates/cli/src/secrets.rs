//! Passphrases and master keys: from a file, stdin, a variable or a prompt without echo, never from an argument.
//!
//! One rule holds for all of these sources: a byte order mark at the start and one line end at the end are dropped.

use std::env;
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use phi_envelope::{Error, KeyProvider, Keyring, MasterKey, Passphrase, error::Malformed};
use zeroize::Zeroizing;

use crate::failure::{interrupted, usage, usage_of};
use crate::options::SecretArgs;
use crate::output::{escaped, escaped_path};
use crate::streams::is_dash;
use crate::{signals, stdio, terminal};

/// Bytes of a secret at most, so that a wrong path is noticed.
const LONGEST: usize = 1 << 16;
/// The byte order mark that some editors put before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Byte order marks, of UTF-16 too.
const MARKS: [&[u8]; 3] = [MARK, b"\xff\xfe", b"\xfe\xff"];

/// What opens a keyring's file, or a sealed file by itself.
pub(crate) enum Secret {
    Passphrase(Zeroizing<Vec<u8>>),
    MasterKey(Zeroizing<Vec<u8>>, PathBuf),
}

/// Whether a passphrase exists and a prompt asks once, or is being chosen and a prompt asks twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Once,
    Twice,
}

/// Where a secret may come from.
struct Sources<'a> {
    master_key_file: Option<&'a Path>,
    passphrase_file: Option<&'a Path>,
    variable: &'static str,
    prompt: String,
    /// The same in words.
    named: &'static str,
}

impl Secret {
    /// What `args` name, else the variable, else what the prompt for `what` is answered.
    pub(crate) fn read(args: &SecretArgs, what: &str, asked: Asked) -> Result<Self> {
        Sources {
            master_key_file: args.master_key_file.as_deref(),
            passphrase_file: args.passphrase_file.as_deref(),
            variable: "PHI_PASSPHRASE",
            prompt: format!("Passphrase of {}", escaped(what)),
            named: "--passphrase-file, --master-key-file or PHI_PASSPHRASE",
        }
        .read(asked)
    }

    /// The one that is to replace what protects the keyring's file `what`.
    pub(crate) fn read_new(
        passphrase_file: Option<&Path>,
        master_key_file: Option<&Path>,
        what: &str,
    ) -> Result<Self> {
        Sources {
            master_key_file,
            passphrase_file,
            variable: "PHI_NEW_PASSPHRASE",
            prompt: format!("New passphrase of {}", escaped(what)),
            named: "--new-passphrase-file, --new-master-key-file or PHI_NEW_PASSPHRASE",
        }
        .read(Asked::Twice)
    }

    /// The passphrase in a file, which exists.
    pub(crate) fn from_passphrase_file(path: &Path) -> Result<Self> {
        let passphrase = not_empty(secret(path)?, &escaped_path(path))?;
        Ok(Self::Passphrase(passphrase))
    }

    /// The master key in a file.
    pub(crate) fn from_master_key_file(path: &Path) -> Result<Self> {
        Ok(Self::MasterKey(secret(path)?, path.to_owned()))
    }

    /// The passphrase in a file, which is being chosen.
    pub(crate) fn chosen_in_file(path: &Path) -> Result<Self> {
        Ok(Self::Passphrase(chosen(
            secret(path)?,
            &escaped_path(path),
        )?))
    }

    /// The secret as a recipient of its own.
    pub(crate) fn provider(&self) -> Result<Arc<dyn KeyProvider>> {
        Ok(match self {
            Self::Passphrase(bytes) => Arc::new(Passphrase::new(&**bytes).map_err(usage_of)?),
            Self::MasterKey(bytes, path) => {
                let text = std::str::from_utf8(bytes);
                let key = text
                    .map_err(|_| Error::from(Malformed::MasterKeyText))
                    .and_then(MasterKey::from_base64)
                    .with_context(|| escaped_path(path))?;
                Arc::new(Keyring::from_master_key(key, "master key"))
            }
        })
    }
}

impl Sources<'_> {
    fn read(&self, asked: Asked) -> Result<Secret> {
        if let Some(path) = self.master_key_file {
            return Secret::from_master_key_file(path);
        }
        let (passphrase, from) = match (self.passphrase_file, variable(self.variable)) {
            (Some(path), _) => (secret(path)?, escaped_path(path)),
            (None, Some(passphrase)) => (passphrase, self.variable.to_owned()),
            (None, None) => (
                line(prompt(&self.prompt, asked, self.named)?),
                "the terminal".to_owned(),
            ),
        };
        Ok(Secret::Passphrase(match asked {
            Asked::Once => not_empty(passphrase, &from)?,
            Asked::Twice => chosen(passphrase, &from)?,
        }))
    }
}

/// A secret without the byte order mark before it and the one line end after it.
fn line(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.starts_with(MARK) {
        let len = bytes.len() - MARK.len();
        bytes.copy_within(MARK.len().., 0);
        bytes.truncate(len);
    }
    bytes
}

/// Refuses a new passphrase that nobody would type again as it is.
fn chosen(passphrase: Zeroizing<Vec<u8>>, from: &str) -> Result<Zeroizing<Vec<u8>>> {
    if passphrase.ends_with(b"\n") || passphrase.ends_with(b"\r") {
        return Err(usage(format_args!(
            "{from}: the new passphrase ends in a line end, besides the one that is dropped; remove it"
        )));
    }
    if MARKS.iter().any(|mark| passphrase.starts_with(mark)) {
        return Err(usage(format_args!(
            "{from}: the new passphrase begins with a byte order mark; save it as plain UTF-8"
        )));
    }
    not_empty(passphrase, from)
}

fn not_empty(passphrase: Zeroizing<Vec<u8>>, from: &str) -> Result<Zeroizing<Vec<u8>>> {
    if passphrase.is_empty() {
        return Err(usage(format_args!("{from}: the passphrase is empty")));
    }
    Ok(passphrase)
}

/// The bindings in a small file, or from stdin, in memory that is erased.
pub(crate) fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    checked_contents(path, |_| Ok(()))
}

/// The passphrase or the master key in a small file, or from stdin, in memory that is erased.
fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    checked_contents(path, refuse_access_by_others)
}

fn checked_contents(
    path: &Path,
    check: impl FnOnce(&Metadata) -> io::Result<()>,
) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = if is_dash(path) {
        bounded(stdio::stdin()?).context("stdin")
    } else {
        let read = || {
            let file = File::open(path)?;
            check(&file.metadata()?)?;
            bounded(file)
        };
        read().with_context(|| escaped_path(path))
    };
    Ok(line(bytes?))
}

/// What a file holds, without one line end at its end.
pub(crate) fn contents_of_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    bounded_file(path).map(line)
}

fn bounded_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    bounded(File::open(path)?)
}

/// Refuses a file of a secret that group or others may read or write, as a keyring's file is refused. Of a pipe, whoever feeds it knows
/// what is in it.
#[cfg(unix)]
fn refuse_access_by_others(there: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = there.permissions().mode() & 0o7777;
    if !there.is_file() || mode & 0o077 == 0 || crate::keys::others_are_allowed() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "the file of a secret has mode {mode:04o}, which lets others at it: `chmod 600` it, or give --allow-access-by-others"
        ),
    ))
}

#[cfg(not(unix))]
fn refuse_access_by_others(_: &Metadata) -> io::Result<()> {
    Ok(())
}

fn bounded(source: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    source.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(io::Error::other("longer than any secret or bindings"));
    }
    Ok(bytes)
}

fn variable(name: &str) -> Option<Zeroizing<Vec<u8>>> {
    let value = env::var_os(name)?;
    Some(line(Zeroizing::new(value.into_encoded_bytes())))
}

/// Asks on the terminal; where there is none, says where else the passphrase can come `from`.
fn prompt(text: &str, asked: Asked, from: &str) -> Result<Zeroizing<Vec<u8>>> {
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Err(usage(format_args!(
            "no terminal to ask for a passphrase: give it by {from}"
        )));
    }
    let ask = |text: &str| {
        terminal::ask(&format!("{text}: ")).map_err(|error| match signals::caught() {
            Some(exit) => interrupted(exit),
            None => usage(format_args!("no passphrase: {error}; give it by {from}")),
        })
    };
    let passphrase = ask(text)?;
    if asked == Asked::Twice && *ask("The same once more")? != *passphrase {
        return Err(usage("the two passphrases differ"));
    }
    Ok(passphrase)
}
