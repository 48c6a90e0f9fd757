//! Rows of a database, rewrapped while others write to them.

use std::fmt;

use crate::envelope::EnvelopeCipher;
use crate::error::{Error, Result};
use crate::parallel::map_all;

/// Rows that are held and rewrapped at once, where they are short.
const CHUNK_ROWS: usize = 256;
/// Bytes after which a chunk takes no further row.
const CHUNK_BYTES: usize = 1 << 23;
const FAILURE_LIMIT: usize = 1_000;

/// What became of a row that was to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowUpdate {
    /// The row was as it had been read, and holds the new bytes.
    Written,
    /// The row was no longer as it had been read, or was gone: nothing was written.
    Conflict,
}

/// What a pass over rows did. Rows are named by the ids that came with them.
#[derive(Debug)]
#[non_exhaustive]
pub struct RowsReport<I> {
    /// Rows that were replaced.
    pub done: u64,
    /// Rows that were under the current keys already.
    pub current: u64,
    /// Rows that changed between reading and replacing. They hold what was written meanwhile: read them again.
    pub changed: Vec<I>,
    /// Rows that were left as they are, and why.
    pub failed: Vec<(I, Error)>,
    /// The limit of failures was reached, and the rows after it were not looked at.
    pub stopped: bool,
}

impl<I> RowsReport<I> {
    /// Whether each row of the pass is now under the current keys: none failed, none is to be read again, none was left out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.changed.is_empty() && self.failed.is_empty() && !self.stopped
    }
}

impl<I> Default for RowsReport<I> {
    fn default() -> Self {
        Self {
            done: 0,
            current: 0,
            changed: Vec::new(),
            failed: Vec::new(),
            stopped: false,
        }
    }
}

/// Moves rows to the current keys of their recipients, as [`EnvelopeCipher::rewrap`] does for one: a [`RowsPass`] over all of
/// them.
///
/// # Errors
/// What `rows` or `swap` reported. The report is lost with it; that of a [`RowsPass`] is not.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use phi_envelope::{Context, EnvelopeCipher, Keyring, archive::{self, RowUpdate}};
/// let keyring = Keyring::generate("ehr-2026")?;
/// let cipher = EnvelopeCipher::new(keyring.clone());
/// let mut table = BTreeMap::from([(7, cipher.encrypt("BP 120/80", &Context::new())?)]);
///
/// keyring.rotate("ehr-2027")?;
/// let rows: Vec<_> = table.clone().into_iter().map(Ok).collect(); // SELECT id, text FROM notes
/// let report = archive::rewrap_rows(&cipher, rows, |id, old, new| {
///     // UPDATE notes SET text = :new WHERE id = :id AND text = :old
///     Ok::<_, phi_envelope::Error>(match table.get_mut(id) {
///         Some(text) if text == old => {
///             *text = new.to_vec();
///             RowUpdate::Written
///         }
///         _ => RowUpdate::Conflict,
///     })
/// })?;
/// assert!(report.is_complete());
/// assert_eq!(report.done, 1);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub fn rewrap_rows<I, E>(
    cipher: &EnvelopeCipher,
    rows: impl IntoIterator<Item = Result<(I, Vec<u8>), E>>,
    swap: impl FnMut(&I, &[u8], &[u8]) -> Result<RowUpdate, E>,
) -> Result<RowsReport<I>, E> {
    let mut pass = RowsPass::new(cipher);
    pass.rewrap(rows, swap)?;
    Ok(pass.finish())
}

/// A pass over the rows of a table, page by page: one report, and one limit of failures.
///
/// A row is an id and the bytes of a record, or of a stream's detached header. No bindings are needed. Rows are taken in chunks
/// of at most 256, or of 8 MiB and one row more, rewrapped on all cores, and replaced one by one in their order on the caller's
/// thread. No more rows are held at any time than a chunk and what becomes of it; of those that failed or had changed the ids are
/// kept.
///
/// What `swap` is handed was checked: its tag verifies, each new slot gives its provider the same data key, and no slot is left
/// under a key that a provider of the cipher knows as its own and has moved off. A row for which any of this does not hold, or
/// that does not open, is left as it is.
///
/// ```
/// # use phi_envelope::{EnvelopeCipher, Keyring, archive::{RowUpdate, RowsPass}};
/// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
/// # let pages: Vec<Vec<(u64, Vec<u8>)>> = Vec::new();
/// # let update = |id: &u64, old: &[u8], new: &[u8]| -> phi_envelope::Result<usize> { Ok(1) };
/// let mut pass = RowsPass::new(&cipher);
/// for page in pages {
///     pass.rewrap(page.into_iter().map(Ok), |id, old, new| {
///         // UPDATE notes SET text = :new WHERE id = :id AND text = :old
///         let rows = update(id, old, new)?;
///         Ok::<_, phi_envelope::Error>(if rows == 1 { RowUpdate::Written } else { RowUpdate::Conflict })
///     })?;
/// }
/// let report = pass.finish();
/// println!("{} done, {} failed", report.done, report.failed.len());
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[must_use]
pub struct RowsPass<I> {
    cipher: EnvelopeCipher,
    max_failures: usize,
    report: RowsReport<I>,
}

impl<I> RowsPass<I> {
    /// A pass that rewraps for the providers that `cipher` writes for.
    pub fn new(cipher: &EnvelopeCipher) -> Self {
        Self {
            cipher: cipher.clone(),
            max_failures: FAILURE_LIMIT,
            report: RowsReport::default(),
        }
    }

    /// Stops once more than this many rows have failed. Default: 1,000. A wrong keyring fails every row.
    pub fn max_failures(mut self, rows: usize) -> Self {
        self.max_failures = rows;
        self
    }

    /// Takes further rows, and hands each that is to be replaced to `swap`: its id, the bytes that were read, and the new ones.
    ///
    /// `swap` replaces the row **only where it still holds the bytes that were read**, in one step, so that what others wrote
    /// meanwhile is never undone. It may be in a transaction; if that is rolled back, the report counts what is not there.
    ///
    /// Once [`stopped`](RowsReport::stopped), it takes no row any more.
    ///
    /// # Errors
    /// What `rows` or `swap` reported, at once: rows that were taken and not yet replaced are left as they are. What was done
    /// before is in the report, and the pass may go on.
    pub fn rewrap<E>(
        &mut self,
        rows: impl IntoIterator<Item = Result<(I, Vec<u8>), E>>,
        mut swap: impl FnMut(&I, &[u8], &[u8]) -> Result<RowUpdate, E>,
    ) -> Result<(), E> {
        let mut rows = rows.into_iter().fuse();
        while !self.report.stopped {
            let chunk = next_chunk(&mut rows)?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.rewrap_chunk(chunk, &mut swap)?;
        }
        Ok(())
    }

    /// What the pass did up to now.
    #[must_use]
    pub fn report(&self) -> &RowsReport<I> {
        &self.report
    }

    /// Hands out the ids of the rows that had changed, to be read again. The report no longer has them.
    #[must_use]
    pub fn take_changed(&mut self) -> Vec<I> {
        std::mem::take(&mut self.report.changed)
    }

    /// What the pass did.
    #[must_use]
    pub fn finish(self) -> RowsReport<I> {
        self.report
    }

    fn rewrap_chunk<E>(
        &mut self,
        chunk: Vec<(I, Vec<u8>)>,
        swap: &mut impl FnMut(&I, &[u8], &[u8]) -> Result<RowUpdate, E>,
    ) -> Result<(), E> {
        // The ids stay on this thread.
        let (ids, rows): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
        let rewrapped = map_all(rows.iter().collect(), |row| self.cipher.rewrap_checked(row));
        for ((id, old), new) in ids.into_iter().zip(&rows).zip(rewrapped) {
            // Right before each is written: the rows before it may have taken longer than a lease.
            let new = new.and_then(|new| match new {
                Some(new) => self.cipher.confirm_rewrapped(old, &new).map(|()| Some(new)),
                None => Ok(None),
            });
            match new {
                Ok(None) => self.report.current += 1,
                Ok(Some(new)) => match swap(&id, old, &new)? {
                    RowUpdate::Written => self.report.done += 1,
                    RowUpdate::Conflict => self.report.changed.push(id),
                },
                Err(error) => {
                    self.report.failed.push((id, error));
                    if self.report.failed.len() > self.max_failures {
                        self.report.stopped = true;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

impl<I> fmt::Debug for RowsPass<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowsPass")
            .field("cipher", &self.cipher)
            .field("max_failures", &self.max_failures)
            .finish_non_exhaustive()
    }
}

/// The next rows, none at the end.
fn next_chunk<I, E>(
    rows: &mut impl Iterator<Item = Result<(I, Vec<u8>), E>>,
) -> Result<Vec<(I, Vec<u8>)>, E> {
    let mut chunk = Vec::new();
    let mut bytes = 0_usize;
    while chunk.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
        let Some(row) = rows.next().transpose()? else {
            break;
        };
        bytes = bytes.saturating_add(row.1.len());
        chunk.push(row);
    }
    Ok(chunk)
}
