//! Who can open the files of a folder.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider,
    error::RecipientError,
    files::{ChangeOptions, NotKept, RewrapStatus},
};

use super::args::{check_input, threads};
use super::run::{Did, Job, run};
use super::walk::{EnvelopeKind, Met};
use crate::args::RecipientCommand;
use crate::failure::failed;
use crate::keys::{self, Keys};
use crate::output::{Answer, Console};

type Provider = Arc<dyn KeyProvider>;

/// What became of a file whose recipients are other ones now.
const CHANGED: &str = "changed";
/// What became of a file whose recipients were as they are to be.
const UP_TO_DATE: &str = "up-to-date";

pub(crate) fn recipients(console: &Console, command: &RecipientCommand) -> Result<Answer> {
    let on = command.on();
    check_input(&on.file)?;
    let labels = keys::labels(&on.labels)?;
    let mut keys = Keys::new(&on.key);
    let cipher = keys.reader()?;
    let (word, change) = match command {
        RecipientCommand::Add { to, .. } => ("add", Change::Add(keys.one(to)?)),
        RecipientCommand::Remove { from, .. } => ("remove", Change::Remove(keys.holder(from)?)),
        RecipientCommand::Replace { from, to, .. } => {
            let (old, new) = (keys.holder(from)?, keys.one(to)?);
            ("replace", Change::Replace(old, new))
        }
    };
    let has_passphrase = match command {
        RecipientCommand::Add { to, .. } | RecipientCommand::Replace { to, .. } => {
            to.to_passphrase_file.is_some()
        }
        RecipientCommand::Remove { .. } => false,
    };
    let changer = Changer {
        cipher,
        change,
        has_passphrase,
        labels,
        options: on.change.options(),
    };
    let job = Job {
        command: format!("recipient {word}"),
        outcomes: &[CHANGED, UP_TO_DATE],
        inputs: vec![on.file.clone()],
        folder: &on.folder,
        threads: threads(None),
    };
    run(console, job, |met, _| changer.change(met))
}

/// What is to change.
enum Change {
    Add(Provider),
    Remove(Provider),
    Replace(Provider, Provider),
}

/// Changes the recipients of files.
struct Changer {
    cipher: EnvelopeCipher,
    change: Change,
    /// Whether the new recipient is a passphrase, so that its slot does not tell whose it is.
    has_passphrase: bool,
    labels: Context,
    options: ChangeOptions,
}

impl Changer {
    fn change(&self, met: &Met) -> Result<Did> {
        let (path, (cipher, labels)) = (met.path.as_path(), (&self.cipher, &self.labels));
        let options = &self.options;
        let done = match &self.change {
            Change::Add(new) => options.add_recipient(cipher, path, &**new, labels),
            Change::Remove(old) => options.remove_recipient(cipher, path, &**old, labels),
            Change::Replace(old, new) => {
                options.replace_recipient(cipher, path, &**old, &**new, labels)
            }
        };
        let not_kept = match (done, &self.change) {
            (Ok(not_kept), _) => Some(not_kept),
            (Err(Error::Recipients(RecipientError::Present)), Change::Add(new))
                if self.has_passphrase =>
            {
                self.moved(path, new)?
            }
            (Err(Error::Recipients(RecipientError::Present)), Change::Add(_))
            | (Err(Error::Recipients(RecipientError::Absent)), Change::Remove(_)) => None,
            // If the new one opens the file and the old one has no slot, it was replaced before.
            (Err(error @ Error::Recipients(RecipientError::Absent)), Change::Replace(_, new)) => {
                self.moved(path, new).map_err(|_| error)?
            }
            (
                Err(error @ Error::Recipients(RecipientError::Present)),
                Change::Replace(old, new),
            ) => {
                if self.has_slot(path, old)? {
                    return Err(error.into());
                }
                self.moved(path, new)?
            }
            (Err(error), _) => return Err(error.into()),
        };
        let bytes = match met.kind {
            EnvelopeKind::File(bytes) => bytes,
            _ => 0,
        };
        let Some(not_kept) = not_kept else {
            return Ok(Did::new(UP_TO_DATE, bytes));
        };
        let mut did = Did::new(CHANGED, bytes);
        did.not_kept = Some((met.path.clone(), not_kept));
        Ok(did)
    }

    /// Whether a recipient has a slot, by a rewrap that writes for nobody.
    fn has_slot(&self, path: &Path, recipient: &Provider) -> Result<bool> {
        let cipher = EnvelopeCipher::builder()
            .decrypt_with(Arc::clone(recipient))
            .build()?;
        let opened = self.options.rewrap(&cipher, path);
        Ok(!matches!(opened, Err(Error::NoMatchingKey { .. })))
    }

    /// Makes sure that a recipient who has a slot opens the file, by a rewrap for it alone; none if there was nothing to change.
    fn moved(&self, path: &Path, recipient: &Provider) -> Result<Option<NotKept>> {
        let cipher = EnvelopeCipher::builder()
            .encrypt_for(Arc::clone(recipient))
            .build()?;
        match self.options.rewrap(&cipher, path) {
            Ok(RewrapStatus::UpToDate) => Ok(None),
            Ok(rewrapped) => Ok(Some(rewrapped.not_kept())),
            Err(Error::WrongPassphrase) => Err(failed(
                "it has another passphrase already, and can have one alone: `phi recipient replace --from-passphrase` changes it",
            )),
            Err(error) => Err(error.into()),
        }
    }
}
