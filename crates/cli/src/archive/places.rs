//! The folders and files that a command is told of, on its command line and in a list.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use phi_envelope::archive::{FileTree, Shard};

use super::args::WalkArgs;
use super::run::Run;
use crate::output::escaped_path;
use crate::streams::is_dash;

/// Where a command works.
pub(super) struct Places<'a> {
    paths: &'a [PathBuf],
    walk: &'a WalkArgs,
    fault: Fault,
}

/// What went wrong with a list while it was taken as it was needed.
type Fault = Arc<Mutex<Option<io::Error>>>;

impl<'a> Places<'a> {
    pub(super) fn new(paths: &'a [PathBuf], walk: &'a WalkArgs) -> Self {
        Self {
            paths,
            walk,
            fault: Fault::default(),
        }
    }

    /// Says that nothing was found. A shard in which no file falls is none that is missing, as long as others have some.
    pub(super) fn nothing(&self, run: &mut Run<'_>) {
        let Some(shard) = self.walk.shard else {
            return run.nothing("nothing was found", self.walk.expect_some);
        };
        let what = format!("nothing of shard {shard} was found");
        match self.count_of(None) {
            Some(0) => run.nothing(&format!("{what}, nor of any other"), self.walk.expect_some),
            Some(1) => run.nothing(&format!("{what}; other shards have 1 file"), false),
            Some(all) => run.nothing(&format!("{what}; other shards have {all} files"), false),
            None => run.nothing(&what, self.walk.expect_some),
        }
    }

    /// The files. A list from stdin can be had once.
    pub(super) fn tree(&self) -> Result<FileTree> {
        self.tree_of(self.walk.shard)
    }

    fn tree_of(&self, shard: Option<Shard>) -> Result<FileTree> {
        let list = self.walk.from_list.as_deref();
        let list = list.map(|path| self.list(path)).transpose()?;
        let paths = self.paths.to_vec();
        let roots = paths.into_iter().chain(list.into_iter().flatten());
        let mut tree = FileTree::new(roots);
        tree = self.walk.excluded.of(tree);
        if let Some(shard) = shard {
            tree = tree.shard(shard);
        }
        if let Some(threads) = self.walk.threads {
            tree = tree.threads(threads);
        }
        Ok(tree)
    }

    /// How many files there are, where that can be known before.
    pub(super) fn count(&self) -> Option<u64> {
        self.count_of(self.walk.shard)
    }

    fn count_of(&self, shard: Option<Shard>) -> Option<u64> {
        if self.walk.from_list.as_deref().is_some_and(is_dash) {
            return None;
        }
        Some(self.tree_of(shard).ok()?.count())
    }

    /// Whether all of the list was read.
    pub(super) fn check(&self) -> Result<()> {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match (fault.take(), &self.walk.from_list) {
            (Some(error), Some(list)) => Err(error).with_context(|| escaped_path(list)),
            _ => Ok(()),
        }
    }

    fn list(&self, path: &Path) -> Result<List> {
        let source: Box<dyn Read + Send> = if is_dash(path) {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).with_context(|| escaped_path(path))?)
        };
        Ok(List {
            source: BufReader::new(source),
            end: if self.walk.null { 0 } else { b'\n' },
            fault: Arc::clone(&self.fault),
        })
    }
}

/// Paths, each of which ends with a byte.
struct List {
    source: BufReader<Box<dyn Read + Send>>,
    end: u8,
    fault: Fault,
}

impl Iterator for List {
    type Item = PathBuf;

    fn next(&mut self) -> Option<PathBuf> {
        loop {
            let mut path = Vec::new();
            let read = self.source.read_until(self.end, &mut path);
            if path.last() == Some(&self.end) {
                path.pop();
            }
            match read.and_then(|len| Ok((len, name(path)?))) {
                Ok((0, _)) => return None,
                Ok((_, path)) if path.is_empty() => {}
                Ok((_, path)) => return Some(path.into()),
                Err(error) => {
                    let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
                    *fault = Some(error);
                    return None;
                }
            }
        }
    }
}

#[cfg(unix)]
fn name(bytes: Vec<u8>) -> io::Result<OsString> {
    use std::os::unix::ffi::OsStringExt as _;

    Ok(OsString::from_vec(bytes))
}

#[cfg(not(unix))]
fn name(bytes: Vec<u8>) -> io::Result<OsString> {
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| io::Error::other("the list is not UTF-8"))?;
    Ok(text.trim_end_matches('\r').into())
}
