//! Where outputs go, and what their folders are.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::failure::usage;
use crate::new_file::sync_folder;
use crate::output::escaped_path;

/// What a sealed file's name ends in.
const ENDING: &str = ".phi";

/// The name of a file's sealed file.
pub(super) fn sealed(plain: &Path) -> PathBuf {
    let mut name = plain.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// The name of a sealed file's plaintext; none if the name says nothing about it.
pub(super) fn plain(sealed: &Path) -> Option<PathBuf> {
    let name = sealed.file_name()?;
    let cut = name.as_encoded_bytes().strip_suffix(ENDING.as_bytes())?;
    if cut.is_empty() {
        return None;
    }
    Some(sealed.with_file_name(without_ending(name, cut)?))
}

#[cfg(unix)]
fn without_ending(_: &std::ffi::OsStr, cut: &[u8]) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt as _;

    Some(OsString::from_vec(cut.to_vec()))
}

#[cfg(not(unix))]
fn without_ending(name: &std::ffi::OsStr, _: &[u8]) -> Option<OsString> {
    Path::new(name).file_stem().map(OsString::from)
}

/// A path below a folder as text, with / between its parts; none if it is not UTF-8.
pub(super) fn text(below: &Path) -> Option<String> {
    let parts: Option<Vec<_>> = below
        .components()
        .map(|part| part.as_os_str().to_str())
        .collect();
    Some(parts?.join("/"))
}

/// A path as the system knows it, without links, even if its end is not there yet.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(path).with_context(|| escaped_path(path))?;
    let mut there = whole.as_path();
    let mut missing = Vec::new();
    let mut found = loop {
        match there.canonicalize() {
            Ok(found) => break found,
            Err(error) => match there.parent() {
                Some(parent) => {
                    missing.extend(there.components().next_back());
                    there = parent;
                }
                None => return Err(error).with_context(|| escaped_path(path)),
            },
        }
    };
    // What is not there is no link, so that its dots may be taken by their letters.
    for part in missing.into_iter().rev() {
        match part {
            Component::ParentDir => {
                found.pop();
            }
            Component::CurDir => {}
            part => found.push(part),
        }
    }
    Ok(found)
}

/// Refuses a file or a folder of outputs that lies in one of the folders that are worked on.
pub(super) fn refuse_inside(what: &str, path: &Path, inputs: &[&Path]) -> Result<()> {
    let output = absolute(path)?;
    for input in inputs {
        if output.starts_with(absolute(input)?) {
            return Err(usage(format_args!(
                "{what} {} lies in {}, whose files are worked on; put it elsewhere",
                escaped_path(path),
                escaped_path(input)
            )));
        }
    }
    Ok(())
}

/// Whom a new folder lets in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access<'a> {
    /// The owner alone: what is in it is decrypted, and names may tell something too.
    Owner,
    /// Those whom the folder of the same path below this one lets in.
    As(&'a Path),
}

/// Makes the folder that an output below `root` stands in. Its name, and those of the folders above, are durable.
pub(super) fn make_folder(root: &Path, below: &Path, access: Access<'_>) -> Result<()> {
    if root.is_dir() && root.join(below).is_dir() {
        return Ok(());
    }
    let mut folder = PathBuf::new();
    let mut missing = vec![];
    for above in root.ancestors().take_while(|above| *above != Path::new("")) {
        if above.is_dir() {
            break;
        }
        missing.push(above);
    }
    for above in missing.into_iter().rev() {
        let source = (above == root).then_some(Path::new(""));
        make(above, source, access)?;
    }
    for part in below.components() {
        folder.push(part);
        make(&root.join(&folder), Some(&folder), access)?;
    }
    Ok(())
}

fn make(folder: &Path, source: Option<&Path>, access: Access<'_>) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let made = match (access, source) {
        (Access::As(of), Some(source)) => new_folder(folder, mode(&of.join(source))),
        (Access::As(_), None) => new_folder(folder, None),
        (Access::Owner, _) => new_folder(folder, Some(0o700)),
    };
    match made {
        // Another thread made it, or a file is in its place.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| {
                format!(
                    "{}: a folder is needed here, and a file is in its place",
                    escaped_path(folder)
                )
            })
        }
        Err(error) => Err(error).with_context(|| format!("folder {}", escaped_path(folder))),
        Ok(()) => sync_folder(folder).with_context(|| escaped_path(folder)),
    }
}

#[cfg(unix)]
fn new_folder(folder: &Path, mode: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    let mut builder = fs::DirBuilder::new();
    if let Some(mode) = mode {
        builder.mode(mode);
    }
    builder.create(folder)
}

#[cfg(not(unix))]
fn new_folder(folder: &Path, _: Option<u32>) -> io::Result<()> {
    fs::create_dir(folder)
}

/// Whom a folder lets in, and its owner in any case.
#[cfg(unix)]
fn mode(folder: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;

    let there = fs::metadata(folder).ok()?;
    there.is_dir().then_some(there.mode() & 0o777 | 0o700)
}

#[cfg(not(unix))]
fn mode(_: &Path) -> Option<u32> {
    None
}

/// The files of keys and bindings that a command names, as the system knows them.
#[derive(Debug)]
pub(super) struct Secrets(Vec<PathBuf>);

impl Secrets {
    pub(super) fn new<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let files = files.into_iter();
        Self(files.filter_map(|file| file.canonicalize().ok()).collect())
    }

    /// Whether a file is one of them.
    pub(super) fn hold(&self, path: &Path) -> bool {
        !self.0.is_empty() && path.canonicalize().is_ok_and(|path| self.0.contains(&path))
    }
}
