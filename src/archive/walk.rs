//! Walks through trees: what is met, and what it was before it was read.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walkdir::WalkDir;

use super::shard::{Exclusion, Shard};
use super::sight::{Lookout, Sighting};
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
        seen: io::Result<Sighting>,
    },
    /// A folder that cannot be read, or something in one; or what was named and is not there.
    Unreadable {
        path: PathBuf,
        error: Error,
        is_named: bool,
    },
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
    /// Who looks at folders, if they are told of.
    lookout: Option<Arc<Lookout>>,
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
                        } else if let Some(lookout) = &self.lookout {
                            let path = entry.into_path();
                            // Nothing in it was read yet.
                            let seen = lookout.look(&path, is_named);
                            return Some(Met::Folder {
                                path,
                                is_named,
                                seen,
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
            lookout: None,
            again: None,
        }
    }

    /// Tells of folders too.
    pub(super) fn with_folders(mut self, lookout: Arc<Lookout>) -> Self {
        self.lookout = Some(lookout);
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
