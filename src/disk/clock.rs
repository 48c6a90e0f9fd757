//! The clock of a file system, which is its server's on a network.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::Disk;

/// The name of the file by which the clock is read. It has it while its folder has no nameless files, and never for long.
const CLOCK: &str = ".phi-clock";

impl Disk {
    /// What the clock of a folder's file system says: the modification time of a file that is made in it, and goes at once.
    pub(crate) fn clock_of(&self, folder: &Path) -> io::Result<SystemTime> {
        let new = self.new_file(&folder.join(CLOCK))?;
        self.write_all_at(new.file()?, b"now", 0)?;
        let time = self.metadata_of(new.file()?)?.modified()?;
        #[cfg(test)]
        let time = self.clock_set.map_or(time, |set| set);
        Ok(time)
    }
}
