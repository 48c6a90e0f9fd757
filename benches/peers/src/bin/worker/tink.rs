//! Tink: `KmsEnvelopeAead` over a local AES-256-GCM key for records, AES256_GCM_HKDF_1MB for streams. It binds one string.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, anyhow};
use tink_core::{Aead, StreamingAead, TinkError};

use crate::Contestant;
use crate::samples::{pump, read_all, replaced};

const BOUND: &[u8] = b"MRN-0042";

pub(crate) struct Tink {
    envelope: Box<dyn Aead>,
    /// One key for all records.
    shared: Box<dyn Aead>,
    streaming: Box<dyn StreamingAead>,
}

impl Tink {
    pub(crate) fn new() -> Result<Self> {
        tink_aead::init();
        tink_streaming_aead::init();
        let aead = || -> Result<_, TinkError> {
            let template = tink_aead::aes256_gcm_key_template();
            tink_aead::new(&tink_core::keyset::Handle::new(&template)?)
        };
        let template = tink_streaming_aead::aes256_gcm_hkdf_1mb_key_template();
        let handle = tink_core::keyset::Handle::new(&template).map_err(error)?;
        let template = tink_aead::aes256_gcm_key_template();
        let envelope = tink_aead::KmsEnvelopeAead::new(template, aead().map_err(error)?);
        Ok(Self {
            envelope: Box::new(envelope),
            shared: aead().map_err(error)?,
            streaming: tink_streaming_aead::new(&handle).map_err(error)?,
        })
    }

    fn encrypt(&self, from: impl Read, to: impl Write + 'static) -> Result<()> {
        let to = Box::new(to);
        let mut writer = self
            .streaming
            .new_encrypting_writer(to, BOUND)
            .map_err(error)?;
        pump(from, &mut *writer)?;
        writer.close().map_err(error)
    }

    fn decrypt(&self, from: impl Read + 'static) -> Result<Box<dyn Read>> {
        let from = Box::new(from);
        self.streaming
            .new_decrypting_reader(from, BOUND)
            .map_err(error)
    }
}

impl Contestant for Tink {
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.envelope.encrypt(plaintext, BOUND).map_err(error)
    }

    fn open(&self, sealed: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(&self.envelope.decrypt(sealed, BOUND).map_err(error)?);
        Ok(())
    }

    fn seal_shared(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.shared.encrypt(plaintext, BOUND).map_err(error)
    }

    fn open_shared(&self, sealed: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(&self.shared.decrypt(sealed, BOUND).map_err(error)?);
        Ok(())
    }

    fn encrypt_memory(&self, plaintext: &'static [u8], out: &mut [u8]) -> Result<usize> {
        // Its writers own what they write to: memory that is there before the clock starts would have to be lent.
        thread_local! {
            static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let mut spare = SPARE.take();
        spare.clear();
        spare.reserve(out.len());
        let shared = Shared(Rc::new(RefCell::new(spare)));
        let to = Box::new(shared.clone());
        let mut writer = self
            .streaming
            .new_encrypting_writer(to, BOUND)
            .map_err(error)?;
        writer.write_all(plaintext)?;
        writer.close().map_err(error)?;
        let written = shared.0.take();
        let len = written.len();
        if out[..64] != written[..64] {
            out[..len].copy_from_slice(&written);
        }
        SPARE.set(written);
        Ok(len)
    }

    fn decrypt_memory(&self, sealed: &'static [u8], out: &mut [u8]) -> Result<usize> {
        read_all(self.decrypt(Cursor::new(sealed))?, out)
    }

    fn encrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        self.encrypt(File::open(from)?, File::create(to)?)
    }

    fn decrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        pump(self.decrypt(File::open(from)?)?, &mut File::create(to)?)
    }

    fn range(&self, sealed: &Path, at: u64, out: &mut [u8]) -> Result<()> {
        // Its readers do not seek.
        let mut reader = self.decrypt(File::open(sealed)?)?;
        let mut passed = reader.by_ref().take(at);
        pump(&mut passed, &mut io::sink())?;
        Ok(reader.read_exact(out)?)
    }

    fn rotate(&self, sealed: &Path) -> Result<()> {
        replaced(sealed, |from, to| self.encrypt(self.decrypt(from)?, to))
    }
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn error(error: TinkError) -> anyhow::Error {
    anyhow!("{error}")
}
