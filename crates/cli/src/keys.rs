//! Ciphers and contexts out of the options.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use phi_envelope::{
    Context, EnvelopeCipher, EnvelopeCipherBuilder, KeyProvider, KeyringFile, Passphrase,
    files::{KeyringFileOptions, KeyringPin},
};

use crate::failure::{usage, usage_of};
use crate::options::{ContextArgs, FromArgs, KeyArgs, LayoutArgs, ToArgs};
use crate::output::escaped_path;
use crate::secrets::{self, Asked, Secret};

type Provider = Arc<dyn KeyProvider>;

/// Whose keys a command uses. Asks for the secret when it is first needed, and once.
pub(crate) struct Keys<'a> {
    args: &'a KeyArgs,
    asked: Asked,
    secret: Option<Secret>,
    file: Option<KeyringFile>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(args: &'a KeyArgs) -> Self {
        Self {
            args,
            asked: Asked::Once,
            secret: None,
            file: None,
        }
    }

    /// The cipher of a command that reads or rewraps.
    pub(crate) fn reader(&mut self) -> Result<EnvelopeCipher> {
        Ok(self.builder().encrypt_for(self.main()?).build()?)
    }

    /// The cipher that seals a new file.
    pub(crate) fn writer(&mut self, to: &ToArgs, layout: &LayoutArgs) -> Result<EnvelopeCipher> {
        let mut builder = laid_out(self.builder(), layout)?;
        if self.is_recipient(to) {
            if self.args.keyring.is_none() {
                self.asked = Asked::Twice;
            }
            builder = builder.encrypt_for(self.main()?);
        }
        let cipher = self.finish(builder, to)?;
        let secret = &self.args.secret;
        let is_given = secret.passphrase_file.is_some() || secret.master_key_file.is_some();
        if is_given && self.secret.is_none() {
            return Err(usage(
                "nothing is sealed for --passphrase-file or --master-key-file: without --keyring, recipients that are named take their place",
            ));
        }
        Ok(cipher)
    }

    /// The cipher that seals a file anew: it reads with the main key in any case.
    pub(crate) fn rewriter(&mut self, to: &ToArgs) -> Result<EnvelopeCipher> {
        let (builder, main) = (self.builder(), self.main()?);
        let builder = if self.is_recipient(to) {
            builder.encrypt_for(main)
        } else {
            builder.decrypt_with(main)
        };
        self.finish(builder, to)
    }

    /// The one recipient that `to` names.
    pub(crate) fn one(&mut self, to: &ToArgs) -> Result<Provider> {
        let mut all = self.recipients(to)?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            _ => Err(usage(
                "name one recipient: --to-keyring or --to-passphrase-file",
            )),
        }
    }

    /// The recipient that has a slot.
    pub(crate) fn holder(&mut self, from: &FromArgs) -> Result<Provider> {
        let Some(path) = &from.from_keyring else {
            // A file has one passphrase at most, so its slot is known without it, and nothing is opened with this one.
            return Ok(Arc::new(Passphrase::new("any")?));
        };
        self.keyring(
            path,
            from.from_keyring_passphrase_file.as_deref(),
            from.from_keyring_master_key_file.as_deref(),
        )
    }

    /// The file of the command's own keyring; the ciphers made here use the same keyring.
    pub(crate) fn file(&mut self) -> Result<&KeyringFile> {
        let file = match (self.file.take(), &self.args.keyring) {
            (Some(file), _) => file,
            (None, Some(path)) => self.open_own(path)?,
            (None, None) => return Err(usage("this needs --keyring")),
        };
        Ok(self.file.insert(file))
    }

    fn builder(&self) -> EnvelopeCipherBuilder {
        let builder = EnvelopeCipher::builder();
        if self.args.allow_compromised {
            builder.allow_compromised()
        } else {
            builder
        }
    }

    /// Without a keyring, whoever is named takes the place of the secret.
    fn is_recipient(&self, to: &ToArgs) -> bool {
        self.args.keyring.is_some()
            || (to.to_keyrings.is_empty() && to.to_passphrase_file.is_none())
    }

    fn finish(&mut self, builder: EnvelopeCipherBuilder, to: &ToArgs) -> Result<EnvelopeCipher> {
        let recipients = self.recipients(to)?;
        let add = |builder: EnvelopeCipherBuilder, one| builder.encrypt_for(one);
        Ok(recipients.into_iter().fold(builder, add).build()?)
    }

    fn recipients(&mut self, to: &ToArgs) -> Result<Vec<Provider>> {
        let passphrases = of_each(
            &to.to_keyring_passphrase_files,
            &to.to_keyrings,
            "--to-keyring-passphrase-file",
        )?;
        let master_keys = of_each(
            &to.to_keyring_master_key_files,
            &to.to_keyrings,
            "--to-keyring-master-key-file",
        )?;
        let mut recipients = Vec::new();
        let secrets = passphrases.into_iter().zip(master_keys);
        for (path, (passphrase, master_key)) in to.to_keyrings.iter().zip(secrets) {
            recipients.push(self.keyring(path, passphrase, master_key)?);
        }
        if let Some(path) = &to.to_passphrase_file {
            let secret = Secret::chosen_in_file(path)?;
            recipients.push(secret.provider()?);
        }
        Ok(recipients)
    }

    /// The provider that the command's own options name.
    fn main(&mut self) -> Result<Provider> {
        match &self.args.keyring {
            Some(_) => Ok(Arc::new(self.file()?.keyring())),
            None => self.secret("the file")?.provider(),
        }
    }

    fn open_own(&mut self, path: &Path) -> Result<KeyringFile> {
        // Said before a passphrase is asked for.
        path.metadata().with_context(|| escaped_path(path))?;
        open_own_keyring(path, self.secret(&escaped_path(path))?)
    }

    /// The keyring of a recipient, by its own secret if there is one.
    fn keyring(
        &mut self,
        path: &Path,
        passphrase_file: Option<&Path>,
        master_key_file: Option<&Path>,
    ) -> Result<Provider> {
        // Said before a passphrase is asked for.
        path.metadata().with_context(|| escaped_path(path))?;
        let file = match (passphrase_file, master_key_file) {
            (Some(passphrase), _) => {
                open_keyring(path, &Secret::from_passphrase_file(passphrase)?)?
            }
            (None, Some(key)) => open_keyring(path, &Secret::from_master_key_file(key)?)?,
            (None, None) => open_keyring(path, self.secret(&escaped_path(path))?)?,
        };
        Ok(Arc::new(file.keyring()))
    }

    fn secret(&mut self, what: &str) -> Result<&Secret> {
        let secret = match self.secret.take() {
            Some(secret) => secret,
            None => Secret::read(&self.args.secret, what, self.asked)?,
        };
        Ok(self.secret.insert(secret))
    }
}

/// The file of the secret of each of `keyrings`: one for all, or one for each in their order.
fn of_each<'f>(
    files: &'f [PathBuf],
    keyrings: &[PathBuf],
    option: &str,
) -> Result<Vec<Option<&'f Path>>> {
    let count = keyrings.len();
    match files {
        [] => Ok(vec![None; count]),
        [one] => Ok(vec![Some(one.as_path()); count]),
        files if files.len() == count => {
            Ok(files.iter().map(|file| Some(file.as_path())).collect())
        }
        _ => Err(usage(format_args!(
            "{option} stands once, or once for each --to-keyring"
        ))),
    }
}

/// Whether files of secrets are opened although others may read or write them.
static OTHERS_ARE_ALLOWED: AtomicBool = AtomicBool::new(false);

/// From now on files of keyrings, and of what opens them, are opened although others may read or write them.
pub(crate) fn allow_access_by_others() {
    OTHERS_ARE_ALLOWED.store(true, Ordering::SeqCst);
}

/// Whether files of secrets are opened although others may read or write them.
pub(crate) fn others_are_allowed() -> bool {
    OTHERS_ARE_ALLOWED.load(Ordering::SeqCst)
}

/// The least revision of the command's own keyring.
static MIN_REVISION: AtomicU64 = AtomicU64::new(0);

/// From now on the command's own keyring is refused if its revision is lower.
pub(crate) fn set_min_revision(revision: u64) {
    MIN_REVISION.store(revision, Ordering::SeqCst);
}

/// A file that holds it.
static MIN_REVISION_FILE: OnceLock<PathBuf> = OnceLock::new();

/// From now on the command's own keyring is refused if its revision is lower than the number that this file then holds.
pub(crate) fn set_min_revision_file(path: &Path) {
    let _ = MIN_REVISION_FILE.set(path.to_owned());
}

/// The least revision that a file holds.
fn min_revision_in(path: &Path) -> phi_envelope::Result<KeyringPin> {
    let read = || {
        let text = secrets::contents_of_file(path)?;
        let text = std::str::from_utf8(&text).map_err(io::Error::other)?;
        text.parse().map_err(io::Error::other)
    };
    let revision = read().map_err(|error| {
        let path = escaped_path(path);
        io::Error::new(error.kind(), format!("--min-revision-file {path}: {error}"))
    });
    Ok(KeyringPin::least_revision(revision?))
}

/// Opens a keyring's file.
pub(crate) fn open_keyring(path: &Path, secret: &Secret) -> Result<KeyringFile> {
    open_with(KeyringFileOptions::default(), path, secret)
}

/// Opens the file of the command's own keyring.
pub(crate) fn open_own_keyring(path: &Path, secret: &Secret) -> Result<KeyringFile> {
    let revision = MIN_REVISION.load(Ordering::SeqCst);
    let mut options = KeyringFileOptions::default().min_revision(revision);
    if let Some(pinned) = MIN_REVISION_FILE.get() {
        options = options.pinned_by(|| min_revision_in(pinned));
    }
    open_with(options, path, secret)
}

fn open_with(mut options: KeyringFileOptions, path: &Path, secret: &Secret) -> Result<KeyringFile> {
    if others_are_allowed() {
        options = options.allow_access_by_others();
    }
    let opened = options.open(path, secret.provider()?);
    at(path, opened)
}

/// What a call on a keyring's file came to. Most of its errors name the file; it is not named twice.
pub(crate) fn at<T>(path: &Path, outcome: phi_envelope::Result<T>) -> Result<T> {
    let text = outcome.as_ref().err().map(ToString::to_string);
    if text.is_some_and(|text| text.contains(&*path.to_string_lossy())) {
        return Ok(outcome?);
    }
    outcome.with_context(|| escaped_path(path))
}

/// The context that the options present.
pub(crate) fn context(args: &ContextArgs) -> Result<Context> {
    let mut context = labels(&args.labels)?;
    for pair in &args.bindings {
        context = bind(context, pair)?;
    }
    if let Some(path) = &args.bind_file {
        let bytes = secrets::contents(path)?;
        let refused = |why: &str| usage(format_args!("--bind-file {}: {why}", escaped_path(path)));
        let text = std::str::from_utf8(&bytes).map_err(|_| refused("it is not UTF-8"))?;
        let mut pairs = text.lines().filter(|line| !line.is_empty()).peekable();
        if pairs.peek().is_none() {
            // Sealed without them, the file would open without them.
            return Err(refused("it holds no bindings"));
        }
        for pair in pairs {
            context = bind(context, pair)?;
        }
    }
    Ok(context)
}

/// The context of these labels alone.
pub(crate) fn labels(pairs: &[String]) -> Result<Context> {
    pairs.iter().try_fold(Context::new(), |context, pair| {
        let (key, value) = split(pair, "--label")?;
        let labelled = context.label(key, value);
        labelled.map_err(|error| usage_of(error).context("--label"))
    })
}

fn bind(context: Context, pair: &str) -> Result<Context> {
    let (key, value) = split(pair, "--bind")?;
    let bound = context.bind(key, value);
    bound.map_err(|error| usage_of(error).context("--bind and --bind-file"))
}

/// Says nothing of a pair that is none: it may be private.
fn split<'a>(pair: &'a str, option: &str) -> Result<(&'a str, &'a str)> {
    pair.split_once('=')
        .ok_or_else(|| usage(format_args!("{option} and --bind-file take KEY=VALUE")))
}

fn laid_out(
    mut builder: EnvelopeCipherBuilder,
    layout: &LayoutArgs,
) -> Result<EnvelopeCipherBuilder> {
    if let Some(bytes) = layout.segment_length {
        builder = builder.segment_length(bytes).map_err(usage_of)?;
    }
    if let Some(bytes) = layout.block_length {
        builder = builder.block_length(bytes).map_err(usage_of)?;
    }
    Ok(builder)
}
