//! This crate: one keyring, a label, a binding.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use phi_envelope::{
    Context, EnvelopeCipher, Keyring, Session,
    files::{self, FileOptions, RewrapStatus},
};

use crate::Contestant;
use crate::samples::read_all;

pub(crate) struct Phi {
    keyring: Keyring,
    cipher: EnvelopeCipher,
    /// Keeps unwrapped data keys.
    cached: EnvelopeCipher,
    session: Session,
    context: Context,
    threads: Option<NonZeroUsize>,
}

impl Phi {
    pub(crate) fn new(threads: Option<usize>) -> Result<Self> {
        let keyring = Keyring::generate("bench")?;
        let cipher = EnvelopeCipher::new(keyring.clone());
        let cached = EnvelopeCipher::builder()
            .encrypt_for(keyring.clone())
            .cache(64, Duration::from_secs(3600))
            .build()?;
        let labels = Context::new().label("table", "observations")?;
        Ok(Self {
            session: cipher.session(&labels)?,
            context: labels.bind("patient", "MRN-0042")?,
            keyring,
            cipher,
            cached,
            threads: threads.and_then(NonZeroUsize::new),
        })
    }

    fn options(&self) -> FileOptions<'static> {
        match self.threads {
            Some(threads) => FileOptions::new().threads(threads),
            None => FileOptions::new(),
        }
    }

    fn pairs<'a>(&'a self, plaintexts: &'a [Vec<u8>]) -> Vec<(&'a Vec<u8>, &'a Context)> {
        let with_context = |text| (text, &self.context);
        plaintexts.iter().map(with_context).collect()
    }
}

impl Contestant for Phi {
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        Ok(self.cipher.encrypt(plaintext, &self.context)?)
    }

    fn open(&self, sealed: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(&self.cipher.decrypt(sealed, &self.context)?);
        Ok(())
    }

    fn seal_batch(&self, plaintexts: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        Ok(self.cipher.encrypt_batch(&self.pairs(plaintexts))?)
    }

    fn seal_shared(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        Ok(self.session.encrypt(plaintext, &self.context)?)
    }

    fn open_shared(&self, sealed: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(&self.cached.decrypt(sealed, &self.context)?);
        Ok(())
    }

    fn seal_shared_batch(&self, plaintexts: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        Ok(self.session.encrypt_batch(&self.pairs(plaintexts))?)
    }

    fn encrypt_memory(&self, plaintext: &'static [u8], out: &mut [u8]) -> Result<usize> {
        let room = out.len();
        let mut writer = self.cipher.encrypt_writer(out, &self.context)?;
        if self.threads.is_some() {
            writer = writer.single_threaded();
        }
        writer.write_all(plaintext)?;
        Ok(room - writer.finish()?.len())
    }

    fn decrypt_memory(&self, sealed: &'static [u8], out: &mut [u8]) -> Result<usize> {
        let mut reader = self.cipher.decrypt_reader(sealed, &self.context)?;
        if self.threads.is_some() {
            reader = reader.single_threaded();
        }
        read_all(reader, out)
    }

    fn encrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        files::encrypt(&self.cipher, from, to, &self.context, self.options())?;
        Ok(())
    }

    fn decrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        files::decrypt(&self.cipher, from, to, &self.context, self.options())?;
        Ok(())
    }

    fn range(&self, sealed: &Path, at: u64, out: &mut [u8]) -> Result<()> {
        let file = files::open(&self.cipher, sealed, &self.context, FileOptions::new())?;
        ensure!(file.read_at(out, at)? == out.len());
        Ok(())
    }

    fn new_master_key(&self) -> Result<()> {
        self.keyring.rotate("next")?;
        Ok(())
    }

    fn rotate(&self, sealed: &Path) -> Result<()> {
        ensure!(files::rewrap(&self.cipher, sealed)? == RewrapStatus::Rewrapped);
        Ok(())
    }
}
