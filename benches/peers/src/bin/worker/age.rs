//! age: one X25519 recipient. It binds nothing.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom, Write};
use std::iter;
use std::path::Path;

use age::stream::StreamReader;
use age::x25519::{Identity, Recipient};
use age::{Decryptor, Encryptor};
use anyhow::Result;

use crate::Contestant;
use crate::samples::{pump, read_all, replaced};

pub(crate) struct Age {
    identity: Identity,
    recipient: Recipient,
}

impl Age {
    pub(crate) fn new() -> Self {
        let identity = Identity::generate();
        Self {
            recipient: identity.to_public(),
            identity,
        }
    }

    fn encryptor(&self) -> Result<Encryptor> {
        Ok(Encryptor::with_recipients(iter::once(
            &self.recipient as _,
        ))?)
    }

    fn decrypt(&self, from: &Path) -> Result<StreamReader<BufReader<File>>> {
        let from = Decryptor::new_buffered(BufReader::new(File::open(from)?))?;
        Ok(from.decrypt(iter::once(&self.identity as _))?)
    }

    fn encrypt(&self, from: impl Read, to: impl Write) -> Result<()> {
        let mut writer = self.encryptor()?.wrap_output(to)?;
        pump(from, &mut writer)?;
        writer.finish()?;
        Ok(())
    }
}

impl Contestant for Age {
    fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        Ok(age::encrypt(&self.recipient, plaintext)?)
    }

    fn open(&self, sealed: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(&age::decrypt(&self.identity, sealed)?);
        Ok(())
    }

    fn encrypt_memory(&self, plaintext: &'static [u8], out: &mut [u8]) -> Result<usize> {
        let room = out.len();
        let mut writer = self.encryptor()?.wrap_output(out)?;
        writer.write_all(plaintext)?;
        Ok(room - writer.finish()?.len())
    }

    fn decrypt_memory(&self, sealed: &'static [u8], out: &mut [u8]) -> Result<usize> {
        let decryptor = Decryptor::new_buffered(sealed)?;
        read_all(decryptor.decrypt(iter::once(&self.identity as _))?, out)
    }

    fn encrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        self.encrypt(File::open(from)?, File::create(to)?)
    }

    fn decrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        pump(self.decrypt(from)?, &mut File::create(to)?)
    }

    fn range(&self, sealed: &Path, at: u64, out: &mut [u8]) -> Result<()> {
        let mut reader = self.decrypt(sealed)?;
        if at > 0 {
            reader.seek(SeekFrom::Start(at))?;
        }
        Ok(reader.read_exact(out)?)
    }

    fn rotate(&self, sealed: &Path) -> Result<()> {
        replaced(sealed, |_, to| self.encrypt(self.decrypt(sealed)?, to))
    }
}
