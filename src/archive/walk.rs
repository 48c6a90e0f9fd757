//! Walks through trees: what is met, and what it was before it was read.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::WalkDir;

use super::shard::{Exclusion, Shard};
use crate::error::Error;

/// Folders that are kept open at once; of one deeper down, the names wait in memory.
const OPEN_FOLDERS: usize = 64;

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
    /// A walk through all that is below some roots.
    pub(super) fn new(
        roots: Box<dyn Iterator<Item = PathBuf> + Send>,
        excluded: Vec<Exclusion>,
        shard: Option<Shard>,
    ) -> Self {
        Self {
            roots,
            excluded,
            shard,
            root: PathBuf::new(),
            below: None,
            tells_folders: false,
            again: None,
        }
    }

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
