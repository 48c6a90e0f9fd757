//! The choices there are with files.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use crate::disk::Disk;
use crate::envelope::checked_segment_length;
use crate::error::{Error, Malformed, Result};
use crate::floe::SegmentLength;
use crate::format::header::is_block_length;

/// Bytes of the longest record that is read out of a file, unless more is allowed (FORMAT §1).
pub(super) const LARGEST_RECORD: u64 = 64 << 20;

type Progress<'a> = Box<dyn FnMut(u64, u64) -> ControlFlow<()> + 'a>;

/// The choices there are with files: none must be made.
///
/// ```no_run
/// use std::ops::ControlFlow;
///
/// use phi_envelope::{Context, EnvelopeCipher, Keyring, files::{self, FileOptions}};
///
/// let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);
/// let options = FileOptions::new().overwrite().progress(|done, total| {
///     eprint!("\r{done} of {total} bytes");
///     ControlFlow::Continue(())
/// });
/// files::encrypt(&cipher, "Patient.ndjson", "Patient.ndjson.phi", &Context::new(), options)?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[must_use]
pub struct FileOptions<'a> {
    pub(super) overwrite: bool,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) segment_length: Option<SegmentLength>,
    pub(super) block_length: Option<usize>,
    pub(super) detached_header: Option<PathBuf>,
    pub(super) drops_recipients: bool,
    pub(super) largest_record: u64,
    progress: Option<Progress<'a>>,
    disk: Disk,
}

impl<'a> FileOptions<'a> {
    /// The defaults: nothing is overwritten, all cores work (one without the feature `parallel`), the cipher's segment and block
    /// lengths, the header in the file itself.
    pub fn new() -> Self {
        Self {
            overwrite: false,
            threads: None,
            segment_length: None,
            block_length: None,
            detached_header: None,
            drops_recipients: false,
            largest_record: LARGEST_RECORD,
            progress: None,
            disk: Disk::default(),
        }
    }

    /// Replaces the output where it exists. Until the new one is whole, the old one stays.
    pub fn overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }

    /// Works on this many threads.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The encrypted segment length of what is written, in bytes: 4,096 to 16,777,216.
    ///
    /// # Errors
    /// [`Malformed::SegmentLength`] where it is out of bounds.
    pub fn segment_length(mut self, bytes: u32) -> Result<Self> {
        self.segment_length = Some(checked_segment_length(bytes)?);
        Ok(self)
    }

    /// The length of each header block of what is written, in bytes: a multiple of 4,096 up to 65,536.
    ///
    /// # Errors
    /// [`Malformed::BlockLength`] where it is not such a multiple.
    pub fn block_length(mut self, bytes: usize) -> Result<Self> {
        if !is_block_length(bytes) {
            return Err(Malformed::BlockLength.into());
        }
        self.block_length = Some(bytes);
        Ok(self)
    }

    /// The header stands in this file, and the payload alone in the other.
    ///
    /// Neither is ever overwritten. The header gets its name first: a payload that is there has one. A process that dies between
    /// the two leaves a header alone, which is to be removed before the next try.
    pub fn detached_header(mut self, path: impl Into<PathBuf>) -> Self {
        self.detached_header = Some(path.into());
        self
    }

    /// Is told the bytes of plaintext (of payload, where a file is repacked) that are done and that there are, after each piece of about 512 KiB of the calling thread's
    /// own work; the total is 0 where it is not known. `Break` ends the operation with [`Error::Cancelled`] and leaves nothing behind.
    pub fn progress(mut self, progress: impl FnMut(u64, u64) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Seals a file anew although one of its recipients is none that the cipher writes for, and so loses its slot.
    ///
    /// Only [`files::reencrypt`](crate::files::reencrypt) looks at it, and refuses without.
    pub fn dropping_recipients(mut self) -> Self {
        self.drops_recipients = true;
        self
    }

    /// Reads a record of up to so many bytes, where 64 MiB is the most. A record is read into memory whole.
    pub fn largest_record(mut self, bytes: u64) -> Self {
        self.largest_record = bytes;
        self
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

    /// Replaces a file although its access control list or its extended attributes get lost. [`FileReport`](crate::files::FileReport) says
    /// what was.
    pub fn allow_loss_of_attributes(mut self) -> Self {
        self.disk.loses_attributes = true;
        self
    }

    pub(super) fn on(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    pub(super) fn disk(&self) -> Disk {
        self.disk.clone()
    }

    pub(super) fn thread_count(&self) -> usize {
        threads_or_cores(self.threads)
    }

    pub(super) fn report(&mut self, done: u64, total: u64) -> Result<()> {
        match self.progress.as_mut().map(|tell| tell(done, total)) {
            Some(ControlFlow::Break(())) => Err(Error::Cancelled),
            _ => Ok(()),
        }
    }
}

/// The threads that are wanted, or else as many as there are cores; one without the feature `parallel`.
pub(crate) fn threads_or_cores(threads: Option<NonZeroUsize>) -> usize {
    let cores = || {
        let cores = std::thread::available_parallelism().ok();
        cores.filter(|_| cfg!(feature = "parallel"))
    };
    threads.or_else(cores).map_or(1, NonZeroUsize::get)
}

impl Default for FileOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FileOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOptions")
            .field("overwrite", &self.overwrite)
            .field("threads", &self.threads)
            .field("detached_header", &self.detached_header)
            .finish_non_exhaustive()
    }
}
