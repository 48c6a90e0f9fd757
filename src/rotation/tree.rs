//! Trees of files: walked by one thread at a time, worked on by all.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

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
    excluded: Vec<Exclusion>,
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
        Walk {
            roots: self.roots,
            excluded: self.excluded,
            shard: self.shard,
            root: PathBuf::new(),
            below: None,
            tells_folders: false,
            again: None,
        }
    }

    pub(super) fn exclusions(&self) -> Vec<Exclusion> {
        self.excluded.clone()
    }

    pub(super) fn excluding(mut self, excluded: Vec<Exclusion>) -> Self {
        self.excluded = excluded;
        self
    }
}

/// What of a tree is left out.
#[derive(Clone)]
pub(super) struct Exclusion {
    rule: Arc<str>,
    matches: Arc<dyn Fn(&Path) -> bool + Send + Sync>,
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
    /// Something that the caller excluded; a folder is not entered.
    Excluded { path: PathBuf, rule: Arc<str> },
    /// A folder, before anything in it, and what it was before it was read. Only told to whoever asks for folders.
    Folder {
        path: PathBuf,
        is_named: bool,
        stamp: io::Result<Stamp>,
    },
    /// A folder that cannot be read, or something in one; or what was named and is not there.
    Unreadable {
        path: PathBuf,
        error: Error,
        is_named: bool,
    },
}

impl Exclusion {
    pub(super) fn new(
        rule: String,
        matches: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            rule: rule.into(),
            matches: Arc::new(matches),
        }
    }
}

/// What tells whether a folder, or a file that was named, has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The device and the inode.
    pub(super) identity: (u64, u64),
    times: [i64; 4],
}

impl Stamp {
    /// What it is now. Of what was named, what the name leads to.
    pub(super) fn of(path: &Path, is_named: bool) -> io::Result<Self> {
        let read = || {
            if is_named {
                fs::metadata(path)
            } else {
                fs::symlink_metadata(path)
            }
        };
        read().map(|metadata| Self::from(&metadata))
    }
}

#[cfg(unix)]
impl From<&fs::Metadata> for Stamp {
    fn from(of: &fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            identity: (of.dev(), of.ino()),
            times: [of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()],
        }
    }
}

#[cfg(not(unix))]
impl From<&fs::Metadata> for Stamp {
    fn from(of: &fs::Metadata) -> Self {
        let modified = of.modified().ok();
        let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let seconds = since.and_then(|since| i64::try_from(since.as_nanos()).ok());
        Self {
            identity: (0, 0),
            times: [seconds.unwrap_or(0), 0, 0, 0],
        }
    }
}

/// The rule by which a path is left out.
fn excluding(excluded: &[Exclusion], path: &Path) -> Option<Arc<str>> {
    let mut excluded = excluded.iter();
    let rule = excluded.find(|excluded| (excluded.matches)(path))?;
    Some(Arc::clone(&rule.rule))
}

/// A walk through a tree.
pub(super) struct Walk {
    roots: Box<dyn Iterator<Item = PathBuf> + Send>,
    excluded: Vec<Exclusion>,
    shard: Option<Shard>,
    root: PathBuf,
    below: Option<walkdir::IntoIter>,
    tells_folders: bool,
    again: Option<Again>,
}

/// What a walk over folders that were read before is told.
pub(super) struct Again {
    /// The folders that are not entered: who asks reads each of them by itself, or has read it.
    pub(super) known: HashSet<PathBuf>,
    /// Those of the roots that the caller of the first walk has named.
    pub(super) named: HashSet<PathBuf>,
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
                    let is_root = entry.depth() == 0;
                    let again = self.again.as_ref();
                    let is_named =
                        is_root && again.is_none_or(|again| again.named.contains(entry.path()));
                    let mut kind = entry.file_type();
                    if is_root && !is_named && !kind.is_dir() {
                        // What has taken the place of a folder is met in the folder above.
                        continue;
                    }
                    if let Some(rule) = excluding(&self.excluded, entry.path()) {
                        if kind.is_dir() {
                            below.skip_current_dir();
                        } else if !self.is_mine(entry.path()) {
                            continue;
                        }
                        let path = entry.into_path();
                        return Some(Met::Excluded { path, rule });
                    }
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
                    if kind.is_dir() {
                        if !is_root && again.is_some_and(|again| again.known.contains(entry.path()))
                        {
                            below.skip_current_dir();
                        } else if self.tells_folders {
                            let path = entry.into_path();
                            let stamp = Stamp::of(&path, is_named);
                            return Some(Met::Folder {
                                path,
                                is_named,
                                stamp,
                            });
                        }
                        continue;
                    }
                    if !self.is_mine(entry.path()) {
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
    /// Tells of folders too.
    pub(super) fn with_folders(mut self) -> Self {
        self.tells_folders = true;
        self
    }

    /// Reads folders once more.
    pub(super) fn again(mut self, again: Again) -> Self {
        self.again = Some(again);
        self
    }

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
