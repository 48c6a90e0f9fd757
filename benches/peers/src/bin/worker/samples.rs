//! What one measurement is, for each work.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Contestant, Work};

/// One measurement: nanoseconds a piece of work, or bytes.
pub(crate) type Sample = Box<dyn FnMut() -> Result<f64>>;

/// A sample of short work takes at least this long.
const SHORT: f64 = 3e6;
/// Records of a batch.
const BATCH: usize = 64;
/// Bytes that a file's range has.
const RANGE: usize = 4096;

pub(crate) fn of(contestant: Box<dyn Contestant>, work: &Work<'_>) -> Result<Sample> {
    let c = contestant;
    let text = vec![
        0x5A_u8;
        if work.name.starts_with("record") {
            work.size
        } else {
            0
        }
    ];
    let batch = || vec![text.clone(); BATCH];
    Ok(match work.name {
        "record encrypt" => {
            c.open(&c.seal(&text)?, &mut |opened| assert_eq!(opened, text))?;
            short(1, move || c.seal(black_box(&text)).map(drop))
        }
        "record decrypt" => {
            let sealed = c.seal(&text)?;
            short(1, move || c.open(black_box(&sealed), &mut taken))
        }
        "record encrypt, batch" => {
            let batch = batch();
            short(BATCH, move || c.seal_batch(black_box(&batch)).map(drop))
        }
        "record encrypt, shared key" => {
            c.open_shared(&c.seal_shared(&text)?, &mut |opened| {
                assert_eq!(opened, text)
            })?;
            short(1, move || c.seal_shared(black_box(&text)).map(drop))
        }
        "record decrypt, shared key" => {
            let sealed = c.seal_shared(&text)?;
            short(1, move || c.open_shared(black_box(&sealed), &mut taken))
        }
        "record encrypt, shared key, batch" => {
            let batch = batch();
            short(BATCH, move || {
                c.seal_shared_batch(black_box(&batch)).map(drop)
            })
        }
        "record bytes added" => {
            let added = c.seal(&text)?.len() - text.len();
            Box::new(move || Ok(added as f64))
        }
        "stream encrypt" => {
            let plaintext = plaintext(work.size);
            let mut out = vec![0; room(work.size)];
            Box::new(move || timed(|| c.encrypt_memory(black_box(plaintext), &mut out).map(drop)))
        }
        "stream decrypt" => {
            let plaintext = plaintext(work.size);
            let mut sealed = vec![0; room(work.size)];
            let len = c.encrypt_memory(plaintext, &mut sealed)?;
            sealed.truncate(len);
            let sealed: &'static [u8] = Box::leak(sealed.into_boxed_slice());
            let mut out = vec![0; work.size + 1];
            ensure!(c.decrypt_memory(sealed, &mut out)? == work.size);
            ensure!(out[..work.size] == *plaintext);
            Box::new(move || timed(|| c.decrypt_memory(black_box(sealed), &mut out).map(drop)))
        }
        "file encrypt" => {
            let files = Files::new(work)?;
            Box::new(move || {
                let files = &files; // all of it, its folder too
                let took = timed(|| c.encrypt_file(&files.plain, &files.sealed))?;
                fs::remove_file(&files.sealed)?;
                Ok(took)
            })
        }
        "file decrypt" => {
            let files = Files::sealed(work, c.as_ref())?;
            Box::new(move || {
                let files = &files; // all of it, its folder too
                let took = timed(|| c.decrypt_file(&files.sealed, &files.out))?;
                ensure!(fs::metadata(&files.out)?.len() == files.len);
                fs::remove_file(&files.out)?;
                Ok(took)
            })
        }
        "file bytes added" => {
            let files = Files::sealed(work, c.as_ref())?;
            let added = fs::metadata(&files.sealed)?.len() - files.len;
            Box::new(move || Ok(added as f64))
        }
        "file range" => {
            let files = Files::sealed(work, c.as_ref())?;
            let (middle, mut out) = (files.len / 2 + 1234, vec![0; RANGE]);
            c.range(&files.sealed, middle, &mut out)?;
            let expected = pattern(usize::try_from(middle)?, RANGE);
            ensure!(out == expected, "another range came out");
            short(1, move || {
                let files = &files;
                c.range(&files.sealed, middle, black_box(&mut out))
            })
        }
        "file first byte" => {
            let files = Files::sealed(work, c.as_ref())?;
            let mut out = [0];
            short(1, move || {
                let files = &files;
                c.range(&files.sealed, 0, black_box(&mut out))
            })
        }
        "file new master key" => {
            let files = Files::sealed(work, c.as_ref())?;
            Box::new(move || {
                let files = &files;
                c.new_master_key()?;
                timed(|| c.rotate(&files.sealed))
            })
        }
        "memory, file encrypt" => {
            let files = Files::new(work)?;
            Box::new(move || {
                let files = &files;
                peak(|| c.encrypt_file(&files.plain, &files.sealed))
            })
        }
        other => bail!("no such work: {other}"),
    })
}

fn taken(plaintext: &[u8]) {
    black_box(plaintext);
}

/// Work that is done so often that a sample is long enough; `count` pieces at a time.
fn short(count: usize, mut work: impl FnMut() -> Result<()> + 'static) -> Sample {
    let mut times = 0_u32;
    Box::new(move || {
        while times == 0 || timed(&mut work)? * f64::from(times) < SHORT {
            // Warms up as well.
            times = (times * 2).max(1);
            if times == 1 << 20 {
                break;
            }
            let per = timed(|| (0..times).try_for_each(|_| work()))?;
            if per >= SHORT {
                break;
            }
        }
        let all = timed(|| (0..times).try_for_each(|_| work()))?;
        Ok(all / f64::from(times) / count as f64)
    })
}

/// In nanoseconds.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64() * 1e9)
}

/// The most memory that the process held while it worked, less what it held before, in bytes.
fn peak(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let status = |name: &str| -> Result<f64> {
        let text = fs::read_to_string("/proc/self/status")?;
        let line = text.lines().find(|line| line.starts_with(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.context("a line of /proc/self/status")?.parse::<f64>()? * 1024.0)
    };
    fs::write("/proc/self/clear_refs", "5")?; // the peak is what is held now
    let before = status("VmRSS")?;
    work()?;
    Ok((status("VmHWM")? - before).max(0.0))
}

/// Bytes that say where they stand.
fn pattern(at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(|at| (at % 251) as u8).collect()
}

/// Shared by all of one size: it is never freed.
fn plaintext(len: usize) -> &'static [u8] {
    static SHARED: std::sync::Mutex<Vec<&'static [u8]>> = std::sync::Mutex::new(Vec::new());
    let mut shared = SHARED.lock().unwrap();
    if let Some(there) = shared.iter().find(|there| there.len() == len) {
        return there;
    }
    let new: &'static [u8] = Box::leak(pattern(0, len).into_boxed_slice());
    shared.push(new);
    new
}

fn room(len: usize) -> usize {
    len + len / 1000 + (1 << 20)
}

/// The files of one contestant, removed when dropped.
struct Files {
    _folder: tempfile::TempDir,
    plain: PathBuf,
    sealed: PathBuf,
    out: PathBuf,
    len: u64,
}

impl Files {
    fn new(work: &Work<'_>) -> Result<Self> {
        let folder = tempfile::tempdir_in(work.folder)?;
        let at = |name: &str| folder.path().join(name);
        let (plain, sealed, out) = (at("plain"), at("sealed"), at("out"));
        let mut file = File::create(&plain)?;
        let piece = pattern(0, 251 * 4096);
        let mut left = work.size;
        while left > 0 {
            let now = left.min(piece.len());
            file.write_all(&piece[..now])?;
            left -= now;
        }
        Ok(Self {
            _folder: folder,
            plain,
            sealed,
            out,
            len: work.size as u64,
        })
    }

    fn sealed(work: &Work<'_>, contestant: &dyn Contestant) -> Result<Self> {
        let files = Self::new(work)?;
        contestant.encrypt_file(&files.plain, &files.sealed)?;
        fs::remove_file(&files.plain)?;
        Ok(files)
    }
}

/// Reads to the end, and says how much came.
pub(crate) fn read_all(mut reader: impl Read, out: &mut [u8]) -> Result<usize> {
    let mut len = 0;
    loop {
        match reader.read(&mut out[len..])? {
            0 => return Ok(len),
            read => len += read,
        }
    }
}

/// Copies by pieces of 1 MiB, which suits every peer here better than what `std::io::copy` takes.
pub(crate) fn pump(mut from: impl Read, to: &mut (impl Write + ?Sized)) -> Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to.write_all(&buffer[..read])?,
        }
    }
}

/// A new file beside another, which takes its name at the end: how a peer without a rewrap moves to another key.
pub(crate) fn replaced(path: &Path, write: impl FnOnce(File, File) -> Result<()>) -> Result<()> {
    let new = path.with_extension("new");
    write(File::open(path)?, File::create(&new)?)?;
    Ok(fs::rename(new, path)?)
}
