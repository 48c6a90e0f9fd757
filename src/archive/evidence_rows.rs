//! Rows in a scan for evidence.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::evidence::PlaceKind;
use super::evidence_scan::EvidenceScan;
use super::examine::Found;
use crate::error::Result;

impl EvidenceScan {
    /// Opens the headers of rows, as bytes or in text form, each with the id by which the evidence names it if something is the matter
    /// with it. Read them in one snapshot of the database.
    ///
    /// # Errors
    /// The error with which the reading of the rows ended. The evidence then says that they were not all read.
    pub fn rows<I: Display, B: AsRef<[u8]>, E: Display>(
        &mut self,
        place: impl AsRef<Path>,
        rows: impl IntoIterator<Item = Result<(I, B), E>>,
    ) -> Result<(), E> {
        let name = place.as_ref().to_owned();
        let place = self.place(&name, PlaceKind::Rows);
        for row in rows {
            match row {
                Ok((id, row)) => {
                    let row = row.as_ref();
                    let path = row_path(&name, &id.to_string());
                    let found = self.examiner.bytes(row);
                    self.add(place.0, &path, row.len() as u64, found);
                }
                Err(error) => {
                    let found = Found::Unreadable(error.to_string());
                    self.add(place.0, &name, 0, found);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

fn row_path(place: &Path, id: &str) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(": ");
    path.push(id);
    path.into()
}
