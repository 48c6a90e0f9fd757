//! Every envelope of a tree, moved to the current keys of its recipients.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::entry::{EntryKind, look};
use super::rewrap_report::{RewrapEntry, RewrapOutcome, RewrapSummary, SkipReason};
use super::tree::FileTree;
use super::walk::Met;
use super::workers::{Crew, Progress, is_gone};
use crate::disk::{Disk, NotKept};
use crate::envelope::{Context, EnvelopeCipher};
use crate::error::{EnvelopeKind, Error, KeyId, Malformed, Result, SlotId};
use crate::files::{ChangeOptions, FileInspection, Head, RewrapStatus, reencrypt};

/// Gives the context that a file was sealed with.
type Contexts = Arc<dyn Fn(&Path, &FileInspection) -> Result<Context> + Send + Sync>;

/// The choices there are in rewrapping a tree: none must be made.
#[derive(Clone)]
#[must_use]
pub struct RewrapOptions {
    pub(super) dry_run: bool,
    max_failures: u64,
    reencrypt: Option<(Vec<KeyId>, Contexts)>,
    change: ChangeOptions,
}

impl RewrapOptions {
    /// The defaults: files are changed, nothing is re-encrypted, and a pass in which more than 1,000 fail stops.
    pub fn new() -> Self {
        Self {
            dry_run: false,
            max_failures: 1000,
            reencrypt: None,
            change: ChangeOptions::new(),
        }
    }

    /// How each file is rewrapped: how long its lock is waited for, for one. A lock that is held for longer is a failure of that file.
    pub fn change(mut self, options: ChangeOptions) -> Self {
        self.change = options;
        self
    }

    /// Changes nothing, and says what would be changed and what would fail.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Stops once more than this many files have failed. Default: 1,000. Files that are being worked on then are finished.
    pub fn max_failures(mut self, most: u64) -> Self {
        self.max_failures = most;
        self
    }

    /// Seals what has a slot of one of these keys anew, under a new data key, file by file and each atomically: for keys that are
    /// compromised, where a rewrap is not enough. The cipher must allow compromised keys. What was rewrapped already has no slot of them any
    /// more, and is not sealed anew: re-encrypt first.
    ///
    /// The new envelope is for those whom the cipher writes for: a file with a slot of another recipient fails, and stays as it is. Its
    /// [`generation`](crate::Inspection::generation) is 0 again. A detached header fails, since its payload lies elsewhere, and so does a
    /// file of this crate's own.
    ///
    /// `contexts` gives the context that a file was sealed with: its bindings, and exactly its labels. What it is told of the file is a
    /// claim, as all that was read without a key. It is asked on several threads.
    pub fn reencrypt(
        mut self,
        keys: impl IntoIterator<Item = KeyId>,
        contexts: impl Fn(&Path, &FileInspection) -> Result<Context> + Send + Sync + 'static,
    ) -> Self {
        self.reencrypt = Some((keys.into_iter().collect(), Arc::new(contexts)));
        self
    }
}

impl Default for RewrapOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RewrapOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrapOptions")
            .field("dry_run", &self.dry_run)
            .field("max_failures", &self.max_failures)
            .field("reencrypt", &self.reencrypt.as_ref().map(|(keys, _)| keys))
            .finish()
    }
}

/// Moves every envelope of a tree to the current keys of its recipients, as [`files::rewrap`](crate::files::rewrap) does for one, on all cores and in no order.
///
/// It keeps no journal. Each file's rewrap is atomic, and one that was rewrapped stays as it is: **to run again is to go on**, after a
/// power cut too, and any number of processes and machines may share the work, by [`FileTree::shard`] or without. When a file is
/// [`Done`](RewrapOutcome::Rewrapped) or [`Current`](RewrapOutcome::UpToDate), it was read again, and has no slot left of a key that one of the
/// cipher's providers has moved off, in either header block.
///
/// A failure ends nothing, up to [`RewrapOptions::max_failures`]: it is an entry like the others, and its file opens as it did.
///
/// A record or a detached header is replaced by a new file. Where it has several names in the tree (hard links), they become files of their own.
/// Records in text form are not rewrapped.
///
/// # Errors
/// [`Error::Misuse`] where the cipher writes for nobody, [`Error::Io`] where no thread can be started.
///
/// ```no_run
/// use phi_envelope::{EnvelopeCipher, KeyringFile, Passphrase, archive::{self, FileTree, RewrapOptions}};
///
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// file.update(|keyring| keyring.rotate("ehr-2027"))?;
/// let cipher = EnvelopeCipher::new(file.keyring());
/// let mut pass = archive::rewrap(&cipher, FileTree::new(["/archive"]), RewrapOptions::new())?;
/// for entry in &mut pass {
///     if entry.is_failure() {
///         eprintln!("{}", serde_json::to_string(&entry).unwrap_or_default());
///     }
/// }
/// println!("{}", pass.summary());
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn rewrap(
    cipher: &EnvelopeCipher,
    tree: FileTree,
    options: RewrapOptions,
) -> Result<RewrapPass> {
    if !cipher.writes() {
        return Err(Error::Misuse("this cipher has no provider to write for"));
    }
    let (cipher, max_failures) = (cipher.clone(), options.max_failures);
    Ok(RewrapPass {
        summary: RewrapSummary::default(),
        began: Instant::now(),
        max_failures,
        // One at a time: a file may be long.
        crew: Crew::start(tree, 1, move |met| rewrap_one(&cipher, met, &options))?,
    })
}

/// A tree that is being rewrapped: an iterator over files, and what they add up to. Dropped, it stops after the files that it is at.
pub struct RewrapPass {
    crew: Crew<RewrapEntry>,
    summary: RewrapSummary,
    max_failures: u64,
    began: Instant,
}

impl RewrapPass {
    /// What was done so far; once the iterator has ended, all.
    #[must_use]
    pub fn summary(&self) -> &RewrapSummary {
        &self.summary
    }

    /// Takes the pass to its end and returns what it adds up to.
    #[must_use]
    pub fn finish(mut self) -> RewrapSummary {
        (&mut self).for_each(drop);
        self.summary
    }

    /// How far it is; `total` files, where [`FileTree::count`] counted them.
    #[must_use]
    pub fn progress(&self, total: Option<u64>) -> Progress {
        Progress::new(self.summary.seen(), total, self.began)
    }
}

impl Iterator for RewrapPass {
    type Item = RewrapEntry;

    fn next(&mut self) -> Option<RewrapEntry> {
        let entry = self.crew.next()?;
        self.summary.add(&entry);
        if self.summary.failed > self.max_failures && !self.summary.stopped {
            self.summary.stopped = true;
            self.crew.stop();
        }
        Some(entry)
    }
}

impl fmt::Debug for RewrapPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrapPass")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

fn rewrap_one(cipher: &EnvelopeCipher, met: Met, options: &RewrapOptions) -> RewrapEntry {
    let was_named = matches!(met, Met::Unreadable { is_named: true, .. });
    let (entry, head) = look(&Disk::default(), met);
    let plan = head
        .filter(|_| options.dry_run && entry.inspection().is_some())
        .map(|(head, _)| head.would_rewrap(cipher));
    let mut not_kept = NotKept::default();
    let outcome = match entry.content {
        // A name with a slip in it is not to look like an archive that is done.
        EntryKind::Unreadable(error) if was_named => RewrapOutcome::Failed(error),
        _ if entry.is_temporary => RewrapOutcome::Skipped(SkipReason::Temporary),
        EntryKind::NotAnEnvelope => RewrapOutcome::Skipped(SkipReason::NotAnEnvelope),
        EntryKind::DetachedPayload => RewrapOutcome::Skipped(SkipReason::DetachedPayload),
        EntryKind::Symlink => RewrapOutcome::Skipped(SkipReason::Symlink),
        EntryKind::Special => RewrapOutcome::Skipped(SkipReason::Special),
        EntryKind::Excluded(_) => RewrapOutcome::Skipped(SkipReason::Excluded),
        EntryKind::CompactRecord(_) => RewrapOutcome::Skipped(SkipReason::CompactRecord),
        EntryKind::Damaged(error) | EntryKind::Unreadable(error) => failed(&entry.path, error),
        EntryKind::Envelope(found) => {
            let outcome = change(cipher, &entry.path, &found, plan, options, &mut not_kept);
            outcome.unwrap_or_else(|error| failed(&entry.path, error))
        }
    };
    RewrapEntry {
        path: entry.path,
        bytes: entry.bytes,
        outcome,
        not_kept,
    }
}

fn failed(path: &Path, error: Error) -> RewrapOutcome {
    // What is not there may be something else: a provider's file, or one that the caller looks for a context in.
    if is_gone(&error) && Disk::default().refuse_taken(path).is_ok() {
        RewrapOutcome::Skipped(SkipReason::Gone)
    } else {
        RewrapOutcome::Failed(error)
    }
}

fn change(
    cipher: &EnvelopeCipher,
    path: &Path,
    found: &FileInspection,
    plan: Option<Result<bool>>,
    options: &RewrapOptions,
    not_kept: &mut NotKept,
) -> Result<RewrapOutcome> {
    if found.is_text {
        return Err(Malformed::TextForm.into());
    }
    let is_named =
        |slot: &SlotId, keys: &[KeyId]| keys.iter().any(|key| SlotId::from(*key) == *slot);
    let anew = options
        .reencrypt
        .as_ref()
        .filter(|(keys, _)| found.all_slots().any(|slot| is_named(slot, keys)));
    let disk = Disk::default();
    let head = || Head::read(&disk, &disk.open_at_once(path)?);
    let outcome = if let Some((_, contexts)) = anew {
        let context = contexts(path, found)?;
        if options.dry_run {
            head()?.check_reencrypt(cipher, &context)?;
            may_replace(&disk, path)?;
            return Ok(RewrapOutcome::WouldChange);
        }
        // The cores are at work on other files.
        let options = options.change.as_of_files().threads(NonZeroUsize::MIN);
        *not_kept = reencrypt(cipher, path, &context, options)?.not_kept;
        RewrapOutcome::Reencrypted
    } else if let Some(plan) = plan {
        if !plan? {
            return Ok(RewrapOutcome::UpToDate);
        }
        may_change(&disk, path, found.header.kind)?;
        return Ok(RewrapOutcome::WouldChange);
    } else {
        let rewrapped = options.change.rewrap(cipher, path)?;
        *not_kept = rewrapped.not_kept();
        match rewrapped {
            RewrapStatus::Rewrapped | RewrapStatus::RewrappedWithout(_) => RewrapOutcome::Rewrapped,
            RewrapStatus::UpToDate => RewrapOutcome::UpToDate,
        }
    };
    head()?.check_rewrapped(cipher)?;
    Ok(outcome)
}

/// Opens a file as a rewrap does, and changes nothing: a forecast is not to promise what this process may not do.
fn may_change(disk: &Disk, path: &Path, kind: EnvelopeKind) -> Result<()> {
    if kind == EnvelopeKind::StreamInline {
        disk.open_to_change(path)?;
        return Ok(());
    }
    may_replace(disk, path)
}

/// Makes the file that would replace another, which goes at once.
fn may_replace(disk: &Disk, path: &Path) -> Result<()> {
    disk.new_file(&disk.resolve(path)?)?;
    Ok(())
}
