//! A file's header changed: in place where it has two blocks, by atomic replacement where not (FORMAT §7).

use std::cell::Cell;
#[cfg(doc)]
use std::io;
use std::path::Path;
use std::time::Duration;

use super::at::StreamHead;
use super::in_place::{InPlace, open_to_change};
use super::options::FileOptions;
use super::rewrite::{copy, with_header};
use crate::disk::{Disk, Lock, NotKept, in_file};
use crate::envelope::inline::{self, Current};
use crate::envelope::{Change, Context, EnvelopeCipher, check_change};
use crate::error::{Error, Malformed, Result};
use crate::format::blocks;
use crate::format::header::{EnvelopeKind, Header};
use crate::format::limits::MAX_HEADER;
use crate::keys::KeyProvider;

/// Bytes that a record's payload has at least: IV and tag.
pub(super) const LEAST_PAYLOAD: usize = 28;
/// How often a change is made anew whose keys were rotated away from before it was written.
const ATTEMPTS: usize = 8;

/// What a rewrap did to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RewrapStatus {
    /// The header was written anew.
    Rewrapped,
    /// The header was written anew, in a file that replaces the old one and could not take all of its access over.
    RewrappedWithout(NotKept),
    /// There was nothing to do: not a byte was written.
    UpToDate,
}

impl RewrapStatus {
    /// What a new file did not take over from the one that it replaces.
    #[must_use]
    pub fn not_kept(self) -> NotKept {
        match self {
            Self::RewrappedWithout(not_kept) => not_kept,
            Self::Rewrapped | Self::UpToDate => NotKept::default(),
        }
    }

    fn done(not_kept: NotKept) -> Self {
        if not_kept.is_nothing() {
            Self::Rewrapped
        } else {
            Self::RewrappedWithout(not_kept)
        }
    }
}

/// The choices there are in changing a file's header: none must be made.
///
/// ```no_run
/// use std::time::Duration;
///
/// # use phi_envelope::{EnvelopeCipher, Keyring, files::ChangeOptions};
/// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
/// let options = ChangeOptions::new().lock_wait(Some(Duration::from_secs(5)));
/// options.rewrap(&cipher, "Patient.ndjson.phi")?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ChangeOptions {
    disk: Disk,
}

impl ChangeOptions {
    /// The defaults: those of [`files::rewrap`](crate::files::rewrap) and its siblings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits so long for a file that another program has locked, or without an end, in place of what
    /// [`set_lock_wait`](crate::files::set_lock_wait) says for the process.
    pub fn lock_wait(mut self, limit: Option<Duration>) -> Self {
        self.disk.locking.wait = Some(limit);
        self
    }

    /// Changes a file although its file system has no locks (`flock`). The caller sees to it that no other program does at the same
    /// time.
    pub fn allow_without_lock(mut self) -> Self {
        self.disk.locking.without = true;
        self
    }

    /// Replaces a file although its access control list or its extended attributes get lost.
    pub fn allow_loss_of_attributes(mut self) -> Self {
        self.disk.loses_attributes = true;
        self
    }

    /// The same choices for work on all of a file.
    pub(crate) fn as_of_files(&self) -> FileOptions<'static> {
        FileOptions::new().on(self.disk.clone())
    }

    /// [`files::rewrap`](crate::files::rewrap) with these options.
    ///
    /// # Errors
    /// Those of [`files::rewrap`](crate::files::rewrap).
    pub fn rewrap(&self, cipher: &EnvelopeCipher, path: impl AsRef<Path>) -> Result<RewrapStatus> {
        change_file(&self.disk, cipher, path.as_ref(), Change::Rewrap)
    }

    /// [`files::add_recipient`](crate::files::add_recipient) with these options.
    ///
    /// # Errors
    /// Those of [`files::add_recipient`](crate::files::add_recipient).
    pub fn add_recipient(
        &self,
        cipher: &EnvelopeCipher,
        path: impl AsRef<Path>,
        recipient: &dyn KeyProvider,
        labels: &Context,
    ) -> Result<NotKept> {
        let change = Change::Add(recipient, labels);
        change_file(&self.disk, cipher, path.as_ref(), change).map(RewrapStatus::not_kept)
    }

    /// [`files::remove_recipient`](crate::files::remove_recipient) with these options.
    ///
    /// # Errors
    /// Those of [`files::remove_recipient`](crate::files::remove_recipient).
    pub fn remove_recipient(
        &self,
        cipher: &EnvelopeCipher,
        path: impl AsRef<Path>,
        recipient: &dyn KeyProvider,
        labels: &Context,
    ) -> Result<NotKept> {
        let change = Change::Remove(recipient, labels);
        change_file(&self.disk, cipher, path.as_ref(), change).map(RewrapStatus::not_kept)
    }

    /// [`files::replace_recipient`](crate::files::replace_recipient) with these options.
    ///
    /// # Errors
    /// Those of [`files::replace_recipient`](crate::files::replace_recipient).
    pub fn replace_recipient(
        &self,
        cipher: &EnvelopeCipher,
        path: impl AsRef<Path>,
        old: &dyn KeyProvider,
        new: &dyn KeyProvider,
        labels: &Context,
    ) -> Result<NotKept> {
        let change = Change::Replace(old, new, labels);
        change_file(&self.disk, cipher, path.as_ref(), change).map(RewrapStatus::not_kept)
    }
}

/// Moves a file's header to the current keys of its recipients, as [`EnvelopeCipher::rewrap`] does for bytes in memory. The
/// payload is never touched.
///
/// An inline stream's two header blocks are written in place, one after the other, under an exclusive lock, each read back: a
/// crash at any byte leaves one that opens, and the next rewrap repairs the other. A record and a detached header are replaced
/// atomically. Whatever the size of the file, it costs the same; a stream that may not be written to, by its mode, costs a copy.
///
/// Another program that asks for no lock is to write elsewhere and rename: its version is never overwritten. What it writes into a
/// stream in place is noticed up to the moment before each header block is written.
///
/// # Errors
/// Those of opening a header; [`Error::Io`], of the kind [`ResourceBusy`](io::ErrorKind::ResourceBusy) where another program has
/// the file locked, replaced it or wrote to it meanwhile; [`Error::TookEffect`] where it was done and may not be durable; [`Limit::HeaderBlock`](crate::error::Limit::HeaderBlock) where the new slots no longer fit the
/// blocks, and nothing changed.
///
/// ```no_run
/// # use phi_envelope::{EnvelopeCipher, KeyringFile, Passphrase, files};
/// let file = KeyringFile::open("ehr.keyring", Passphrase::new("correct horse")?)?;
/// file.update(|keyring| keyring.rotate("ehr-2027"))?;
/// files::rewrap(&EnvelopeCipher::new(file.keyring()), "Patient.ndjson.phi")?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn rewrap(cipher: &EnvelopeCipher, path: impl AsRef<Path>) -> Result<RewrapStatus> {
    ChangeOptions::new().rewrap(cipher, path)
}

/// Gives a recipient a slot in a file's header, as [`EnvelopeCipher::add_recipient`] does for bytes in memory.
///
/// # Errors
/// Those of [`EnvelopeCipher::add_recipient`] and of [`files::rewrap`](crate::files::rewrap).
pub fn add_recipient(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    recipient: &dyn KeyProvider,
    labels: &Context,
) -> Result<NotKept> {
    ChangeOptions::new().add_recipient(cipher, path, recipient, labels)
}

/// Takes a recipient's slots out of a file's header, as [`EnvelopeCipher::remove_recipient`] does for bytes in memory.
///
/// # Errors
/// Those of [`EnvelopeCipher::remove_recipient`] and of [`files::rewrap`](crate::files::rewrap).
pub fn remove_recipient(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    recipient: &dyn KeyProvider,
    labels: &Context,
) -> Result<NotKept> {
    ChangeOptions::new().remove_recipient(cipher, path, recipient, labels)
}

/// Puts a slot of `new` in the place of `old`'s in a file's header, as [`EnvelopeCipher::replace_recipient`] does for bytes in
/// memory.
///
/// # Errors
/// Those of [`EnvelopeCipher::replace_recipient`] and of [`files::rewrap`](crate::files::rewrap).
pub fn replace_recipient(
    cipher: &EnvelopeCipher,
    path: impl AsRef<Path>,
    old: &dyn KeyProvider,
    new: &dyn KeyProvider,
    labels: &Context,
) -> Result<NotKept> {
    ChangeOptions::new().replace_recipient(cipher, path, old, new, labels)
}

pub(super) fn change_file(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    change: Change<'_>,
) -> Result<RewrapStatus> {
    // A rename would replace a symbolic link and leave what it leads to as it was.
    let path = disk.resolve(path)?;
    let mut attempts = 0;
    loop {
        // Whether a key was rotated away from between its wrap and the write, which was not made then.
        let moved = Cell::new(false);
        attempts += 1;
        match change_once(disk, cipher, &path, change, &moved) {
            Err(Error::OutdatedSlot { .. }) if moved.get() && attempts < ATTEMPTS => {}
            outcome => return outcome.map_err(in_file(&path)),
        }
    }
}

fn change_once(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    change: Change<'_>,
    moved: &Cell<bool>,
) -> Result<RewrapStatus> {
    let mut head = vec![0; MAX_HEADER];
    // Who can write the storage could put a pipe here, and have this wait for its other end.
    let file = disk.open_here(path)?;
    let len = disk.read_up_to_at(&file, &mut head, 0)?;
    head.truncate(len);
    // Right before each write: what was wrapped may be under a key that is gone by then.
    let may = |before: &Header<'_>, written: &[u8]| {
        let (written, _) = Header::parse(written)?;
        let confirmed = cipher.confirm_change(before, &written, change);
        moved.set(matches!(confirmed, Err(Error::OutdatedSlot { .. })));
        confirmed
    };
    match Header::parse(&head) {
        Ok((header, _)) if header.kind() != EnvelopeKind::StreamInline => {
            replace(disk, cipher, path, change, may)
        }
        _ => change_stream(disk, cipher, path, change, may),
    }
}

// FORMAT §7, rewrap in place, steps 0 to 2.
fn change_stream(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    change: Change<'_>,
    may: impl Fn(&Header<'_>, &[u8]) -> Result<()>,
) -> Result<RewrapStatus> {
    let (file, metadata, may_write) = open_to_change(disk, path)?;
    let StreamHead {
        blocks: head,
        first,
    } = StreamHead::read(disk, &file)?;
    let candidates = inline::candidates(&head)?;
    let Current {
        verified,
        is_second,
        ..
    } = cipher.verify_inline(&candidates)?;
    let length = candidates.block_length;
    let changed = cipher.changed_header(&verified, change).and_then(|header| {
        let Some(header) = header else {
            return Ok(None);
        };
        // Before a byte is written: a slot that does not give the data key back would be in the leading block.
        cipher.check_changed(&verified, &Header::parse(&header)?.0, change)?;
        blocks::write(&header, length).map(Some)
    });
    let may = |block: &[u8]| may(verified.header(), block);
    if candidates.identical && matches!(changed, Ok(None)) {
        if !may_write {
            // Who changed it before may have died before the old file was gone.
            disk.remove_leftover(path)?;
        }
        return Ok(RewrapStatus::UpToDate);
    }
    let (good, other) = if is_second { (length, 0) } else { (0, length) };
    let current = head.get(good..good + length).unwrap_or_default();
    if !may_write {
        // Also where the change is refused, as below.
        let block = match &changed {
            Ok(Some(block)) => block,
            Err(_) if candidates.identical => return changed.map(|_| RewrapStatus::UpToDate),
            _ => current,
        };
        let old = (path, &file, &metadata);
        let not_kept = with_header(disk, old, (length, length), block, &mut |_| Ok(()), || {
            may(block)
        })?;
        return changed.map(|_| RewrapStatus::done(not_kept));
    }
    let mut blocks = InPlace::new(disk, (path, &file, &metadata), (first, &head), length)?;
    // Also where the change is refused, as one is that was half done when its process died: a slot that it took away may
    // stand in the other block.
    if !candidates.identical {
        blocks.repair(current, other)?;
    }
    let Some(block) = changed? else {
        return Ok(RewrapStatus::Rewrapped);
    };
    blocks.write_both(&block, (0, length), || may(&block))?;
    Ok(RewrapStatus::Rewrapped)
}

/// Replaces a record or a detached header by one with another header and the same payload bytes.
fn replace(
    disk: &Disk,
    cipher: &EnvelopeCipher,
    path: &Path,
    change: Change<'_>,
    may: impl Fn(&Header<'_>, &[u8]) -> Result<()>,
) -> Result<RewrapStatus> {
    // As it was before anything was read of it: what is written to it from here on is noticed.
    let (file, old) = disk.open_locked_as(path, Lock::Exclusive)?;
    let mut head = vec![0; MAX_HEADER];
    let len = disk.read_up_to_at(&file, &mut head, 0)?;
    head.truncate(len);
    let (header, rest) = Header::parse(&head)?;
    let header_len = u64::try_from(header.bytes().len()).map_err(|_| Malformed::HeaderLength)?;
    match header.kind() {
        kind if kind.is_record_like() => {
            let payload = old.len().saturating_sub(header_len);
            if rest.len() < LEAST_PAYLOAD && payload < LEAST_PAYLOAD as u64 {
                return Err(Error::Truncated);
            }
        }
        EnvelopeKind::StreamDetached if !rest.is_empty() => {
            return Err(Malformed::TrailingBytes.into());
        }
        // It was replaced by one since its kind was looked at.
        EnvelopeKind::StreamInline => return Err(header.other_kind(EnvelopeKind::Record)),
        _ => {}
    }
    check_change(&header, change)?;
    let verified = cipher.verify_header(header)?;
    let changed = match cipher.changed_header(&verified, change) {
        Ok(Some(changed)) => changed,
        nothing => {
            // Who changed it before may have died before the old file was gone.
            disk.remove_leftover(path)?;
            return nothing.map(|_| RewrapStatus::UpToDate);
        }
    };
    let (written, _) = Header::parse(&changed)?;
    cipher.check_changed(&verified, &written, change)?;
    let new = disk.new_in_place(path, &old)?;
    let to = u64::try_from(changed.len()).map_err(|_| Malformed::HeaderLength)?;
    if len < MAX_HEADER {
        // All of it was read: one write for all.
        new.write(&[&changed, rest].concat(), 0)?;
    } else {
        new.write(&changed, 0)?;
        let to = (&new, to);
        copy(disk, (&file, header_len), to, &mut |_| Ok(()))?;
    }
    let replaced = new.replace_after(&old, || Ok(may(verified.header(), &changed)?))?;
    Ok(RewrapStatus::done(replaced.not_kept))
}
