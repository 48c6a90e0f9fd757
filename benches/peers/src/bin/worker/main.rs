//! Does one piece of work at a time, as the driver asks for it, and answers with how long it took.
//!
//! A line in is `contestant work size megabytes folder`, parted by tabs; a line out is a number, or `error: …`. A worker that
//! waits for its next line costs nothing, so that several can be measured by turns.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a benchmark may fail loudly

mod age;
mod cp;
#[cfg(feature = "esdk")]
mod esdk;
mod floe;
mod phi;
mod raw;
mod samples;
mod tink;

use std::collections::HashMap;
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use samples::Sample;

/// One of those that are measured. What it does not offer it refuses.
trait Contestant {
    /// A record under a data key of its own.
    fn seal(&self, _plaintext: &[u8]) -> Result<Vec<u8>> {
        bail!("not offered")
    }

    /// Hands the plaintext to `take`, and drops it as the contestant drops its plaintexts.
    fn open(&self, _sealed: &[u8], _take: &mut dyn FnMut(&[u8])) -> Result<()> {
        bail!("not offered")
    }

    /// Records in one call, or one by one where there is no such call; all envelopes are there at the end.
    fn seal_batch(&self, plaintexts: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        plaintexts.iter().map(|text| self.seal(text)).collect()
    }

    /// A record under a data key that others have too.
    fn seal_shared(&self, _plaintext: &[u8]) -> Result<Vec<u8>> {
        bail!("not offered")
    }

    fn open_shared(&self, _sealed: &[u8], _take: &mut dyn FnMut(&[u8])) -> Result<()> {
        bail!("not offered")
    }

    fn seal_shared_batch(&self, plaintexts: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        plaintexts
            .iter()
            .map(|text| self.seal_shared(text))
            .collect()
    }

    /// All of `plaintext` into the head of `out`, and how much that is.
    fn encrypt_memory(&self, _plaintext: &'static [u8], _out: &mut [u8]) -> Result<usize> {
        bail!("not offered")
    }

    fn decrypt_memory(&self, _sealed: &'static [u8], _out: &mut [u8]) -> Result<usize> {
        bail!("not offered")
    }

    /// `to` is not there yet.
    fn encrypt_file(&self, _from: &Path, _to: &Path) -> Result<()> {
        bail!("not offered")
    }

    fn decrypt_file(&self, _from: &Path, _to: &Path) -> Result<()> {
        bail!("not offered")
    }

    /// Opens a sealed file and fills `out` with its plaintext from `at` on.
    fn range(&self, _sealed: &Path, _at: u64, _out: &mut [u8]) -> Result<()> {
        bail!("not offered")
    }

    /// Gets ready for [`rotate`](Self::rotate); not measured.
    fn new_master_key(&self) -> Result<()> {
        Ok(())
    }

    /// Moves a sealed file to another key. Whoever must, decrypts it and encrypts it again, through a pipe in memory.
    fn rotate(&self, _sealed: &Path) -> Result<()> {
        bail!("not offered")
    }
}

fn contestant(name: &str) -> Result<Box<dyn Contestant>> {
    Ok(match name {
        "phi" => Box::new(phi::Phi::new(None)?),
        "phi one thread" => Box::new(phi::Phi::new(Some(1))?),
        "tink" => Box::new(tink::Tink::new()?),
        "age" => Box::new(age::Age::new()),
        "fast-floe" => Box::new(floe::Floe::new()),
        "aes-gcm" => Box::new(raw::AesGcm::new()),
        "aws-lc-rs" => Box::new(raw::AwsLc::new()?),
        "cp" => Box::new(cp::Cp),
        #[cfg(feature = "esdk")]
        "aws-esdk" => Box::new(esdk::Esdk::new()?),
        other => bail!("this worker knows no {other}"),
    })
}

/// Of one measurement: what is to be done, in what size, where.
struct Work<'a> {
    name: &'a str,
    /// Bytes of a record, of a stream or of a file.
    size: usize,
    folder: &'a Path,
}

fn main() -> Result<()> {
    let mut ready: HashMap<String, Sample> = HashMap::new();
    let mut last_work = String::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let fields: Vec<_> = line.split('\t').collect();
        let [name, work, size, folder] = fields[..] else {
            bail!("four fields are wanted");
        };
        let group = format!("{work}\t{size}");
        if size.len() > 5 && last_work != group {
            ready.clear(); // what a long work holds is large
        }
        last_work = group;
        let answer = measure(&mut ready, &line, name, work, size, Path::new(folder));
        match answer {
            Ok(value) => println!("{value}"),
            Err(error) => println!("error: {name}: {work}: {error:#}"),
        }
        io::stdout().flush()?;
    }
    Ok(())
}

fn measure(
    ready: &mut HashMap<String, Sample>,
    line: &str,
    name: &str,
    work: &str,
    size: &str,
    folder: &Path,
) -> Result<f64> {
    if !ready.contains_key(line) {
        let work = Work {
            name: work,
            size: size.parse().context("a size")?,
            folder,
        };
        ready.insert(line.to_owned(), samples::of(contestant(name)?, &work)?);
    }
    ready.get_mut(line).unwrap()()
}
