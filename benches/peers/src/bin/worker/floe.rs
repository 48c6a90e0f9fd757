//! fast-floe, over this worker's backend: FLOE with one key that the caller keeps; no envelope around it.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Result, anyhow};
use fast_floe::io::{DecryptReader, EncryptWriter};
use fast_floe::{Key, Parameters, Provider, random_access};

use crate::Contestant;
use crate::samples::{pump, read_all, replaced};

const AAD: &[u8] = b"MRN-0042";
/// As this crate's default.
const SEGMENT: u32 = 65_536;

pub(crate) struct Floe(Key);

impl Floe {
    pub(crate) fn new() -> Self {
        // AWS-LC stands first where it is compiled in.
        Self(Key::from_bytes_with_provider(
            [0x42; 32],
            Provider::COMPILED[0],
        ))
    }

    fn parameters() -> Result<Parameters> {
        Parameters::with_segment_length(SEGMENT).map_err(|error| anyhow!("{error}"))
    }

    fn encrypt(&self, from: impl Read, to: File) -> Result<()> {
        let mut writer = EncryptWriter::new(to, &self.0, AAD, Self::parameters()?)?;
        pump(from, &mut writer)?;
        writer.finish().map_err(|error| error.into_error())?;
        Ok(())
    }
}

impl Contestant for Floe {
    fn encrypt_memory(&self, plaintext: &'static [u8], out: &mut [u8]) -> Result<usize> {
        let room = out.len();
        let mut writer = EncryptWriter::new(out, &self.0, AAD, Self::parameters()?)?;
        writer.write_all(plaintext)?;
        let left = writer.finish().map_err(|error| error.into_error())?;
        Ok(room - left.len())
    }

    fn decrypt_memory(&self, sealed: &'static [u8], out: &mut [u8]) -> Result<usize> {
        read_all(DecryptReader::new(sealed, &self.0, AAD)?, out)
    }

    fn encrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        self.encrypt(File::open(from)?, File::create(to)?)
    }

    fn decrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        let reader = DecryptReader::new(File::open(from)?, &self.0, AAD)?;
        pump(reader, &mut File::create(to)?)
    }

    fn range(&self, sealed: &Path, at: u64, out: &mut [u8]) -> Result<()> {
        let mut reader = random_access::Reader::new(File::open(sealed)?, &self.0, AAD)?;
        reader.seek(SeekFrom::Start(at))?;
        Ok(reader.read_exact(out)?)
    }

    fn rotate(&self, sealed: &Path) -> Result<()> {
        replaced(sealed, |from, to| {
            self.encrypt(DecryptReader::new(from, &self.0, AAD)?, to)
        })
    }
}
