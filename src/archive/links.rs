//! Files with more names than one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use super::examine::{Named, named};
use super::tree::FileTree;
use super::walk::Met;
use crate::disk::Disk;

/// The files of some trees that have more names than one, as they were before a rewrap.
///
/// A rewrap of a record or a detached header makes a new file and gives it the name. Another name of the old file, a hard link in a
/// snapshot perhaps, keeps the old one under the old key, and nothing tells of it afterwards. So it is asked before.
#[derive(Default)]
pub struct NamesBefore(Vec<Named>);

impl NamesBefore {
    /// Looks at the files of these trees. None is opened; what cannot be looked at here is a finding of the scan.
    #[must_use]
    pub fn of(trees: impl IntoIterator<Item = FileTree>) -> Self {
        let disk = Disk::default();
        let mut names = Vec::new();
        for tree in trees {
            for met in tree.walk() {
                let Met::File { path, is_named } = met else {
                    continue;
                };
                let metadata = if is_named {
                    disk.metadata(&path)
                } else {
                    disk.metadata_here(&path)
                };
                names.extend(metadata.ok().and_then(|metadata| named(&metadata, &path)));
            }
        }
        Self(names)
    }

    /// The files some of whose names were not among these.
    pub(super) fn missing(&self) -> BTreeMap<PathBuf, (u64, u64)> {
        more_links(&self.0)
    }
}

impl fmt::Debug for NamesBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamesBefore({} names)", self.0.len())
    }
}

/// The files that have more names than were seen: by the first path, how many names they have and how many were seen.
pub(super) fn more_links<'a>(
    names: impl IntoIterator<Item = &'a Named>,
) -> BTreeMap<PathBuf, (u64, u64)> {
    type Names<'a> = HashSet<((u64, u64), &'a OsStr)>;
    let mut files: HashMap<(u64, u64), (u64, Names<'a>, &'a Named)> = HashMap::new();
    for name in names {
        let entry = files
            .entry(name.file)
            .or_insert_with(|| (0, HashSet::new(), name));
        entry.0 = entry.0.max(name.links);
        let last = name.path.file_name().unwrap_or(name.path.as_os_str());
        if name.is_name {
            entry.1.insert((name.folder, last));
        }
        if name.path < entry.2.path {
            entry.2 = name;
        }
    }
    let all = files.into_values().map(|(links, seen, first)| {
        let seen = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        (first.path.clone(), (links, seen))
    });
    all.filter(|(_, (links, seen))| links > seen).collect()
}
