//! What the system itself takes to copy a file.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::Contestant;

pub(crate) struct Cp;

impl Contestant for Cp {
    fn encrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        ensure!(Command::new("cp").arg(from).arg(to).status()?.success());
        Ok(())
    }

    fn decrypt_file(&self, from: &Path, to: &Path) -> Result<()> {
        self.encrypt_file(from, to)
    }
}
