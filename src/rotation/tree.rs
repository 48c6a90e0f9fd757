//! Trees of files: walked by one thread at a time, worked on by all.

use std::fmt;
use std::fs;
use std::io;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::error::{Error, Result};
use crate::file::threads_or_cores;

/// Folders that are kept open at once; of one deeper down, the names wait in memory.
const OPEN_FOLDERS: usize = 64;
/// Threads that work on a tree at most.
const MOST_THREADS: usize = 1024;

/// The files to look at: all below some folders, single files, or both. Symbolic links are not followed, except where they are named
/// themselves.
///
/// A tree may be of any size: neither its names nor what was found are held in memory, except the names of a folder that is more than 64
/// levels deep. What is worked on comes in no order.
///
/// ```no_run
/// use phi_envelope::{Shard, Tree};
///
/// let all = Tree::new(["/archive/2025", "/archive/2026"]);
/// let mine = Tree::new(["/archive"]).shard(Shard::new(3, 100)?); // the fourth of a hundred machines
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[must_use]
pub struct Tree {
    roots: Box<dyn Iterator<Item = PathBuf> + Send>,
    shard: Option<Shard>,
    threads: Option<NonZeroUsize>,
    files_per_second: Option<NonZeroU32>,
}

impl Tree {
    /// These folders with all that is below them, and these files. It may be a long list: it is taken as it is needed.
    pub fn new<P: Into<PathBuf> + 'static>(
        roots: impl IntoIterator<Item = P, IntoIter: Send + 'static>,
    ) -> Self {
        Self {
            roots: Box::new(roots.into_iter().map(Into::into)),
            shard: None,
            threads: None,
            files_per_second: None,
        }
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
        Walk {
            roots: self.roots,
            shard: self.shard,
            root: PathBuf::new(),
            below: None,
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("shard", &self.shard)
            .field("threads", &self.threads)
            .field("files_per_second", &self.files_per_second)
            .finish_non_exhaustive()
    }
}

/// One of several equal shares of a tree: `0/4`, `1/4`, `2/4` and `3/4` are all of it, and no file is in two of them.
///
/// A file's share follows from its path below the folder that was named, the separators included: the first 8 bytes of the path's
/// SHA-256, as a big-endian number, modulo the number of shares. So it is the same on every machine, wherever the tree is mounted. Of
/// a file that was itself named, its name counts.
///
/// ```
/// use phi_envelope::Shard;
/// let shard: Shard = "3/100".parse()?;
/// assert_eq!(shard, Shard::new(3, 100)?);
/// assert_eq!(Shard::new(0, 1)?.holds("2026/Patient.ndjson.phi"), true);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u64,
    of: NonZeroU64,
}

impl Shard {
    /// The share `index`, counted from 0, of `of` shares.
    ///
    /// # Errors
    /// [`Error::Misuse`] where `index` is not below `of`.
    pub fn new(index: u64, of: u64) -> Result<Self> {
        match NonZeroU64::new(of) {
            Some(shares) if index < of => Ok(Self { index, of: shares }),
            _ => Err(Error::Misuse("a shard counts from 0/n to (n-1)/n")),
        }
    }

    /// Whether a file is in this share, by its path below the folder that was named.
    #[must_use]
    pub fn holds(&self, below: impl AsRef<Path>) -> bool {
        let digest = Sha256::digest(below.as_ref().as_os_str().as_encoded_bytes());
        let number = digest
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first));
        number % self.of == self.index
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// Reads `index/of`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Misuse("a shard is written as in 0/4");
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Self::new(number(index)?, number(of)?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// What a walk met that is no folder.
#[derive(Debug)]
pub(super) enum Met {
    /// A regular file; named itself, or found in a folder.
    File { path: PathBuf, is_named: bool },
    /// A symbolic link, which is not followed.
    Symlink(PathBuf),
    /// A pipe, a socket, a device.
    Special(PathBuf),
    /// A folder that cannot be read, or something in one; or what was named and is not there.
    Unreadable {
        path: PathBuf,
        error: Error,
        is_named: bool,
    },
}

/// A walk through a tree.
pub(super) struct Walk {
    roots: Box<dyn Iterator<Item = PathBuf> + Send>,
    shard: Option<Shard>,
    root: PathBuf,
    below: Option<walkdir::IntoIter>,
}

impl Iterator for Walk {
    type Item = Met;

    fn next(&mut self) -> Option<Met> {
        loop {
            let Some(below) = &mut self.below else {
                self.root = self.roots.next()?;
                let walk = WalkDir::new(&self.root).max_open(OPEN_FOLDERS);
                self.below = Some(walk.into_iter());
                continue;
            };
            match below.next() {
                None => self.below = None,
                Some(Err(error)) => return Some(self.unreadable(error)),
                Some(Ok(entry)) => {
                    let is_named = entry.depth() == 0;
                    let mut kind = entry.file_type();
                    if is_named && kind.is_symlink() {
                        // What is named is what the link leads to.
                        match fs::metadata(entry.path()) {
                            Ok(metadata) => kind = metadata.file_type(),
                            Err(error) => {
                                return Some(Met::Unreadable {
                                    path: entry.into_path(),
                                    error: error.into(),
                                    is_named,
                                });
                            }
                        }
                    }
                    if kind.is_dir() || !self.is_mine(entry.path()) {
                        continue;
                    }
                    let path = entry.into_path();
                    return Some(if kind.is_file() {
                        Met::File { path, is_named }
                    } else if kind.is_symlink() {
                        Met::Symlink(path)
                    } else {
                        Met::Special(path)
                    });
                }
            }
        }
    }
}

impl Walk {
    fn is_mine(&self, path: &Path) -> bool {
        let Some(shard) = self.shard else {
            return true;
        };
        match path.strip_prefix(&self.root) {
            Ok(below) if !below.as_os_str().is_empty() => shard.holds(below),
            _ => shard.holds(path.file_name().unwrap_or(path.as_os_str())),
        }
    }

    fn unreadable(&self, error: walkdir::Error) -> Met {
        let (path, is_named) = (
            error.path().unwrap_or(&self.root).to_owned(),
            error.depth() == 0,
        );
        // Without walkdir's words around it, which hold the path once more, as it is.
        let error = error.into_io_error();
        let error = error.unwrap_or_else(|| io::Error::other("a folder that cannot be walked"));
        Met::Unreadable {
            path,
            error: error.into(),
            is_named,
        }
    }
}
