//! Trees of files: walked by one thread at a time, worked on by all.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};

use super::shard::{Exclusion, Shard};
use super::walk::{Met, Walk};
use crate::files::threads_or_cores;

/// Threads that work on a tree at most.
const MOST_THREADS: usize = 1024;

/// The files to look at: all below some folders, single files, or both. Symbolic links are not followed, except where they are named
/// themselves.
///
/// A tree may be of any size: neither its names nor what was found are held in memory, except the names of a folder that is more than 64
/// levels deep. What is worked on comes in no order.
///
/// ```no_run
/// use phi_envelope::archive::{FileTree, Shard};
///
/// let all = FileTree::new(["/archive/2025", "/archive/2026"]);
/// let mine = FileTree::new(["/archive"]).shard(Shard::new(3, 100)?); // the fourth of a hundred machines
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[must_use]
pub struct FileTree {
    roots: Box<dyn Iterator<Item = PathBuf> + Send>,
    excluded: Vec<Exclusion>,
    shard: Option<Shard>,
    threads: Option<NonZeroUsize>,
    files_per_second: Option<NonZeroU32>,
}

impl FileTree {
    /// These folders with all that is below them, and these files. It may be a long list: it is taken as it is needed.
    pub fn new<P: Into<PathBuf> + 'static>(
        roots: impl IntoIterator<Item = P, IntoIter: Send + 'static>,
    ) -> Self {
        Self {
            roots: Box::new(roots.into_iter().map(Into::into)),
            excluded: Vec::new(),
            shard: None,
            threads: None,
            files_per_second: None,
        }
    }

    /// Leaves out what `matches` says of its path, and all that is below it. `rule` is how evidence and reports name it: the text of a
    /// glob, for example. In evidence it is a finding: it was not looked at.
    pub fn exclude(
        mut self,
        rule: impl Into<String>,
        matches: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.excluded.push(Exclusion::new(rule.into(), matches));
        self
    }

    /// Only the files of one shard, so that several processes or machines share the work.
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = Some(shard);
        self
    }

    /// Works on this many threads, 1,024 at most: as many as there are cores unless said, one without the feature `parallel`.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Opens no more files a second than this, so that others who use the storage are not kept waiting.
    pub fn files_per_second(mut self, most: NonZeroU32) -> Self {
        self.files_per_second = Some(most);
        self
    }

    /// How many files there are, for a progress bar: folders are read, files are not opened.
    #[must_use]
    pub fn count(self) -> u64 {
        let files = self.walk().filter(|met| matches!(met, Met::File { .. }));
        files.fold(0, |count, _| count + 1)
    }

    pub(super) fn thread_count(&self) -> usize {
        threads_or_cores(self.threads).min(MOST_THREADS)
    }

    pub(super) fn is_sharded(&self) -> bool {
        self.shard.is_some()
    }

    pub(super) fn rate(&self) -> Option<NonZeroU32> {
        self.files_per_second
    }

    /// Everything in the tree that is no folder.
    pub(super) fn walk(self) -> Walk {
        Walk::new(self.roots, self.excluded, self.shard)
    }

    pub(super) fn exclusions(&self) -> Vec<Exclusion> {
        self.excluded.clone()
    }

    pub(super) fn excluding(mut self, excluded: Vec<Exclusion>) -> Self {
        self.excluded = excluded;
        self
    }
}

impl fmt::Debug for FileTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("shard", &self.shard)
            .field("threads", &self.threads)
            .field("files_per_second", &self.files_per_second)
            .finish_non_exhaustive()
    }
}
