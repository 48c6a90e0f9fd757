//! Bytes that pass through: stdin, stdout and pipes.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use phi_envelope::{
    Context, DecryptReader, EnvelopeCipher, Error,
    files::{self, FileOptions},
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::Cat;
use crate::checks::check_header;
use crate::keys::{self, Keys};
use crate::new_file::NewFile;
use crate::options::WorkArgs;
use crate::output::{Answer, Console, Meter, damage_json, escaped_path, put_path};
use crate::signals;
use crate::stdio::{self, Flow};

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;
/// Bytes of a range that are opened at once: the longest segment, so that none is opened over and over.
const PIECE: usize = 1 << 24;
/// Bytes of a detached header at most, and one more.
const HEADER: u64 = (1 << 14) + 1;

/// Some bytes of a plaintext: from `start` to before `end`.
#[derive(Clone, Copy)]
pub(crate) struct ByteRange {
    start: u64,
    end: Option<u64>,
}

/// All of a plaintext.
pub(crate) const ALL: ByteRange = ByteRange {
    start: 0,
    end: None,
};

impl FromStr for ByteRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a range is START..END, in bytes, where either may be missing";
        let (start, end) = text.split_once("..").ok_or(WRONG)?;
        let number = |text: &str| match text {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| WRONG),
        };
        let (start, end) = (number(start)?.unwrap_or(0), number(end)?);
        if end.is_some_and(|end| end < start) {
            return Err("the range ends before it starts");
        }
        Ok(Self { start, end })
    }
}

/// Whether a path means stdin or stdout.
pub(crate) fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether something has no places to read at: stdin, a pipe, a socket.
pub(crate) fn only_flows(path: &Path) -> bool {
    is_dash(path) || fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Where a command reads from.
pub(crate) enum Source {
    /// A file, from where it stands to its end, at any of its places.
    File(File),
    /// What only flows.
    Flow(Box<dyn io::Read>),
}

impl Source {
    /// Opens the input. It is a descriptor from here on: who may not open stdin by a name may read it all the same.
    pub(crate) fn open(input: &Path) -> Result<Self> {
        let file = if is_dash(input) {
            stdio::stdin_file()?
        } else {
            File::open(input).with_context(|| escaped_path(input))?
        };
        let there = file.metadata()?;
        Ok(if there.is_file() || there.is_dir() {
            Self::File(file)
        } else {
            Self::Flow(Box::new(Flow(file)))
        })
    }

    fn reader(self) -> Box<dyn io::Read> {
        match self {
            Self::File(file) => Box::new(file),
            Self::Flow(flow) => flow,
        }
    }
}

/// Opens a sealed file to stdout, or a range of it.
pub(crate) fn cat(console: &Console, args: &Cat) -> Result<Answer> {
    console.give_stdout_to_data();
    check_header(&args.work, false)?;
    let cipher = Keys::new(&args.key).reader()?;
    let context = keys::context(&args.context)?;
    let (meter, mut out) = (console.meter(), stdio::stdout()?);
    let (with, from) = ((&cipher, &context), (&*args.input, &args.work));
    let range = args.range.unwrap_or(ALL);
    let opened = if args.range.is_none() || only_flows(&args.input) {
        flow(with, from, range, &mut out, &meter)
    } else {
        seek(with, from, range, &mut out)
    };
    let (bytes, damage) = opened.with_context(|| escaped_path(&args.input))?;
    let pace = meter.stop(bytes);
    if let Some(damage) = damage {
        console.warn(&args.input, damage);
    }
    let mut answer = json!({
        "command": "cat",
        "start": range.start,
        "bytes": bytes,
        "header_damage": damage_json(damage),
        "seconds": pace.seconds(),
    });
    put_path(&mut answer, "input", &args.input);
    Ok(answer.into())
}

type Opened = Result<(u64, Option<phi_envelope::HeaderDamage>)>;
type With<'a> = (&'a EnvelopeCipher, &'a Context);
type Input<'a> = (&'a Path, &'a WorkArgs);

/// Opens a sealed stream from its start to its end, and writes what of it is in `range`.
pub(crate) fn flow(
    (cipher, context): With<'_>,
    (input, work): Input<'_>,
    range: ByteRange,
    out: &mut impl Write,
    meter: &Meter,
) -> Opened {
    let source = Source::open(input)?.reader();
    let reader = match &work.detached {
        None => cipher.decrypt_reader(source, context)?,
        Some(path) => cipher.decrypt_reader_detached(&header(path)?, source, context)?,
    };
    let mut reader = threads(reader, work);
    let mut tell = |done| meter.tell(done, 0);
    pump(&mut reader, range.start, &mut io::sink(), &mut tell)?;
    let len = range.end.map_or(u64::MAX, |end| end - range.start);
    let bytes = pump(&mut reader, len, out, &mut tell)?;
    // What came out is whole only if the end is there.
    pump(&mut reader, u64::MAX, &mut io::sink(), &mut tell)?;
    out.flush()?;
    Ok((bytes, reader.header_damage()))
}

/// Opens the segments of a file that `range` touches.
fn seek(
    (cipher, context): With<'_>,
    (input, work): Input<'_>,
    range: ByteRange,
    out: &mut impl Write,
) -> Opened {
    let mut options = FileOptions::new();
    if let Some(path) = &work.detached {
        options = options.detached_header(path);
    }
    let file = files::open(cipher, input, context, options)?;
    let end = range.end.unwrap_or(u64::MAX).min(file.len());
    let len = end.saturating_sub(range.start);
    let mut piece = Zeroizing::new(vec![
        0;
        usize::try_from(len).map_or(PIECE, |l| l.min(PIECE))
    ]);
    let mut done = 0;
    while done < len {
        let left = usize::try_from(len - done).unwrap_or(PIECE).min(PIECE);
        let piece = piece.get_mut(..left).unwrap_or_default();
        file.read_at(piece, range.start + done)?;
        out.write_all(piece)?;
        done += piece.len() as u64;
    }
    out.flush()?;
    Ok((len, file.header_damage()))
}

/// Seals a stream into stdout, and returns its length.
pub(crate) fn encrypt_to_stdout(
    (cipher, context): With<'_>,
    (input, work): Input<'_>,
    meter: &Meter,
) -> Result<u64> {
    // The header is opened first: what is sealed and has no header is lost.
    if work.detached.is_some() {
        signals::leave_word();
    }
    let header_file = work.detached.as_deref().map(NewFile::create).transpose()?;
    let (source, out) = (Source::open(input)?.reader(), stdio::stdout()?);
    let (header, writer) = match header_file {
        None => (None, cipher.encrypt_writer(out, context)?),
        Some(file) => {
            let (header, writer) = cipher.encrypt_writer_detached(out, context)?;
            (Some((file, header)), writer)
        }
    };
    let mut writer = match work.threads {
        Some(one) if one.get() == 1 => writer.single_threaded(),
        _ => writer,
    };
    let mut source = BufReader::with_capacity(BUFFER, source);
    let mut tell = |done| meter.tell(done, 0);
    let bytes = pump(&mut source, u64::MAX, &mut writer, &mut tell)?;
    writer.finish()?.flush()?;
    if let Some((file, header)) = header {
        file.finish(&header)?;
    }
    Ok(bytes)
}

fn header(path: &Path) -> Result<Vec<u8>> {
    let mut header = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEADER).read_to_end(&mut header))
        .with_context(|| escaped_path(path))?;
    Ok(header)
}

fn threads<R: io::Read>(reader: DecryptReader<R>, work: &WorkArgs) -> DecryptReader<R> {
    match work.threads {
        Some(one) if one.get() == 1 => reader.single_threaded(),
        _ => reader,
    }
}

/// Moves up to `len` bytes and returns how many there were; no copy of them is made on the way.
fn pump(
    from: &mut impl BufRead,
    len: u64,
    to: &mut impl Write,
    tell: &mut impl FnMut(u64),
) -> Result<u64, Error> {
    let mut done = 0;
    while done < len {
        if signals::flow().is_break() {
            return Err(Error::Cancelled);
        }
        let bytes = match from.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        let left = usize::try_from(len - done).unwrap_or(usize::MAX);
        let now = bytes.len().min(left);
        if now == 0 {
            break;
        }
        to.write_all(bytes.get(..now).unwrap_or_default())?;
        from.consume(now);
        done += now as u64;
        tell(done);
    }
    Ok(done)
}
