//! The choices there are with files.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::envelope::checked_segment_length;
use crate::error::{Error, Malformed, Result};
use crate::floe::SegmentLength;
use crate::format::header::is_block_length;

type Progress<'a> = Box<dyn FnMut(u64, u64) -> ControlFlow<()> + 'a>;

/// The choices there are with files: none must be made.
///
/// ```no_run
/// use std::ops::ControlFlow;
///
/// use phi_envelope::{Context, EnvelopeCipher, FileOptions, Keyring, encrypt_file};
///
/// let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);
/// let options = FileOptions::new().overwrite().progress(|done, total| {
///     eprint!("\r{done} of {total} bytes");
///     ControlFlow::Continue(())
/// });
/// encrypt_file(&cipher, "Patient.ndjson", "Patient.ndjson.phi", &Context::new(), options)?;
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[must_use]
pub struct FileOptions<'a> {
    pub(super) overwrite: bool,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) segment_length: Option<SegmentLength>,
    pub(super) block_length: Option<usize>,
    pub(super) detached_header: Option<PathBuf>,
    progress: Option<Progress<'a>>,
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
            progress: None,
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
