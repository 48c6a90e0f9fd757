//! Which files there are, and whether two have the same content.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A file of the export.
pub(crate) struct Item {
    /// Its path within the export.
    pub(crate) name: String,
    pub(crate) plain: PathBuf,
    pub(crate) sealed: PathBuf,
    /// Bytes of its content.
    pub(crate) bytes: u64,
}

/// The file `path`, or all files in the folder `path` and below, in the order of their names. Links are passed over.
pub(crate) fn list(path: &Path, sealed: &Path) -> Result<Vec<Item>> {
    let looked = || format!("cannot read {}", path.display());
    let root = if fs::metadata(path).with_context(looked)?.is_dir() {
        path
    } else {
        path.parent().unwrap_or(path)
    };
    let mut items = Vec::new();
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let kind = fs::metadata(&path)?;
        if kind.is_dir() {
            for entry in
                fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?
            {
                let entry = entry?;
                if !entry.file_type()?.is_symlink() {
                    left.push(entry.path());
                }
            }
        } else if kind.is_file() {
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            let sealed = sealed.join(format!("{name}.phi"));
            items.push(Item {
                name,
                sealed,
                bytes: kind.len(),
                plain: path,
            });
        }
    }
    ensure!(!items.is_empty(), "no files in {}", path.display());
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(items)
}

/// Compares what is written with what a file holds.
pub(crate) struct Compare {
    original: File,
    buffer: Vec<u8>,
}

impl Compare {
    pub(crate) fn with(original: &Path) -> io::Result<Self> {
        Ok(Self {
            original: File::open(original)?,
            buffer: Vec::new(),
        })
    }

    /// Whether nothing is left of the file.
    pub(crate) fn finish(mut self) -> Result<()> {
        ensure!(self.original.read(&mut [0])? == 0, "the original is longer");
        Ok(())
    }
}

impl Write for Compare {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.resize(bytes.len(), 0);
        self.original.read_exact(&mut self.buffer)?;
        if self.buffer == bytes {
            Ok(bytes.len())
        } else {
            Err(io::Error::other("the original differs"))
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
