//! Small files that a command writes beside its work: opened before the work, and gone if it fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::output::escaped_path;

/// A new file. Dropped before it is [finished](Self::finish), it is gone.
#[derive(Debug)]
pub(crate) struct NewFile {
    path: PathBuf,
    file: File,
    is_finished: bool,
}

impl NewFile {
    /// Makes a file, which must not be there.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Self::made(path, File::options().write(true).create_new(true))
    }

    /// Makes a file, which must not be there and its owner alone may read.
    pub(crate) fn create_private(path: &Path) -> Result<Self> {
        let mut options = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Self::made(path, options.write(true).create_new(true))
    }

    fn made(path: &Path, options: &OpenOptions) -> Result<Self> {
        let file = options.open(path).with_context(|| escaped_path(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            is_finished: false,
        })
    }

    /// Writes a line of the file.
    pub(crate) fn line(&self, line: &str) -> Result<()> {
        let written = (&self.file).write_all(format!("{line}\n").as_bytes());
        written.with_context(|| escaped_path(&self.path))
    }

    /// Writes the rest of the file, and keeps it: it is durable, where its file system and its folder let that be asked for.
    pub(crate) fn finish(mut self, bytes: &[u8]) -> Result<()> {
        let write = || {
            (&self.file).write_all(bytes)?;
            self.file.sync_all()?;
            sync_folder(&self.path)
        };
        write().with_context(|| escaped_path(&self.path))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a file's name durable. A folder that may not be read, or cannot be synced, is no failure: the name is there.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(folder_of(path)).and_then(|folder| folder.sync_all()) {
        Err(error) if cfg!(unix) && error.raw_os_error() == Some(EIO) => Err(error),
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// What was written is not there for sure.
const EIO: i32 = 5;

/// Where an output goes: a symbolic link stays, and what it leads to is written.
///
/// # Errors
/// That the link leads to nothing, or that there is no folder for the output.
pub(crate) fn behind_links(output: &Path) -> Result<PathBuf> {
    let folder = folder_of(output);
    folder
        .metadata()
        .with_context(|| format!("folder {}", escaped_path(folder)))?;
    let is_link = output
        .symlink_metadata()
        .is_ok_and(|there| there.is_symlink());
    if !is_link {
        return Ok(output.to_owned());
    }
    output.canonicalize().with_context(|| {
        format!(
            "{}: a symbolic link that leads to no file; name the file itself",
            escaped_path(output)
        )
    })
}
