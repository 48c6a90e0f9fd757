//! A walk through folders: what is met, and where below its folder it lies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use walkdir::WalkDir;

use crate::archive::args::matches;

/// Folders that are kept open at once.
const OPEN_FOLDERS: usize = 64;

/// Something that is no folder.
#[derive(Debug)]
pub(super) struct Met {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Where it is below the folder that was named; of a file that was named itself, its name.
    pub(super) below: PathBuf,
    pub(super) kind: EnvelopeKind,
    /// Whether it was named itself, so that it may be a link.
    pub(super) is_named: bool,
}

#[derive(Debug)]
pub(super) enum EnvelopeKind {
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link, which is not followed.
    Link,
    /// A pipe, a socket, a device.
    Special,
    /// What cannot be read, or is not there.
    Unreadable(io::Error),
    /// What the caller left out; a folder is not entered.
    Excluded,
}

/// A walk through folders, one after the other. A folder that is named itself may be a symbolic link.
pub(super) struct Walk<'a> {
    roots: std::vec::IntoIter<PathBuf>,
    root: PathBuf,
    inside: Option<walkdir::IntoIter>,
    excluded: &'a [GlobMatcher],
}

impl<'a> Walk<'a> {
    pub(super) fn new(roots: Vec<PathBuf>, excluded: &'a [GlobMatcher]) -> Self {
        Self {
            roots: roots.into_iter(),
            root: PathBuf::new(),
            inside: None,
            excluded,
        }
    }

    fn met(&self, path: PathBuf, kind: EnvelopeKind) -> Met {
        let (below, is_named) = match path.strip_prefix(&self.root) {
            Ok(below) if !below.as_os_str().is_empty() => (below.to_owned(), false),
            _ => (
                path.file_name().map_or_else(|| path.clone(), Into::into),
                true,
            ),
        };
        Met {
            path,
            below,
            kind,
            is_named,
        }
    }

    fn unreadable(&self, error: walkdir::Error) -> Met {
        let path = error.path().unwrap_or(&self.root).to_owned();
        let error = error
            .into_io_error()
            .unwrap_or_else(|| io::Error::other("the folder cannot be walked"));
        self.met(path, EnvelopeKind::Unreadable(error))
    }
}

impl Iterator for Walk<'_> {
    type Item = Met;

    fn next(&mut self) -> Option<Met> {
        loop {
            let Some(inside) = &mut self.inside else {
                self.root = self.roots.next()?;
                let walk = WalkDir::new(&self.root).max_open(OPEN_FOLDERS);
                self.inside = Some(walk.into_iter());
                continue;
            };
            let entry = match inside.next() {
                None => {
                    self.inside = None;
                    continue;
                }
                Some(Err(error)) => return Some(self.unreadable(error)),
                Some(Ok(entry)) => entry,
            };
            let is_folder = entry.file_type().is_dir();
            if self.excluded.iter().any(|glob| matches(glob, entry.path())) {
                if is_folder {
                    inside.skip_current_dir();
                }
                return Some(self.met(entry.into_path(), EnvelopeKind::Excluded));
            }
            if is_folder {
                continue;
            }
            match kind(entry.path(), entry.depth() == 0) {
                Ok(Some(kind)) => return Some(self.met(entry.into_path(), kind)),
                Ok(None) => {}
                Err(error) => {
                    return Some(self.met(entry.into_path(), EnvelopeKind::Unreadable(error)));
                }
            }
        }
    }
}

/// What a path is; none if it is a folder. Of what was named, what the name leads to.
fn kind(path: &Path, is_named: bool) -> io::Result<Option<EnvelopeKind>> {
    let there = if is_named {
        fs::metadata(path)?
    } else {
        fs::symlink_metadata(path)?
    };
    Ok(if there.is_dir() {
        None
    } else if there.is_file() {
        Some(EnvelopeKind::File(there.len()))
    } else if there.is_symlink() {
        Some(EnvelopeKind::Link)
    } else {
        Some(EnvelopeKind::Special)
    })
}
