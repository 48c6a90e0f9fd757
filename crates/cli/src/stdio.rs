//! Stdin and stdout as what they are: descriptors that are held, and never opened again by a name.
//!
//! They may be non-blocking, since whoever else holds them says so; and they may be closed.

use std::fmt::Display;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use crate::failure::usage;

/// Whether something reads stdin already.
static STDIN_IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Stdin, for the one thing that reads it.
///
/// # Errors
/// A usage error if it is closed, or is read already for something else.
pub(crate) fn stdin() -> Result<impl Read + Send + use<>> {
    take_stdin()?;
    Ok(system::Flow(io::stdin()))
}

/// Stdin as a file, for the one thing that reads it.
///
/// # Errors
/// As [`stdin`].
pub(crate) fn stdin_file() -> Result<File> {
    take_stdin()?;
    Ok(system::duplicate(&io::stdin())?)
}

/// What the system says of stdin.
pub(crate) fn stdin_metadata() -> io::Result<Metadata> {
    system::duplicate(&io::stdin())?.metadata()
}

fn take_stdin() -> Result<()> {
    if STDIN_IS_TAKEN.swap(true, Ordering::SeqCst) {
        return Err(usage("stdin can be read for one thing alone"));
    }
    if system::is_closed(&io::stdin()) {
        return Err(usage(
            "stdin is closed, which is no empty input; for that, use </dev/null",
        ));
    }
    Ok(())
}

/// Stdout, for data.
///
/// # Errors
/// A usage error if it is closed.
pub(crate) fn stdout() -> Result<impl Write> {
    if system::is_closed(&io::stdout()) {
        return Err(usage(
            "stdout is closed, and the data would be lost; to be rid of it, use >/dev/null",
        ));
    }
    Ok(system::Flow(io::stdout()))
}

/// Stdout, for what is told.
pub(crate) fn telling() -> impl Write {
    system::Flow(io::stdout())
}

/// Writes a line on stderr. Where that fails, there is nobody left to tell.
pub(crate) fn complain(line: impl Display) -> io::Result<()> {
    system::Flow(io::stderr()).write_all(format!("{line}\n").as_bytes())
}

/// A pipe, a socket or a file, read as it flows, until a signal asks the work to end.
pub(crate) use system::Flow;

#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::AsFd;

    use phi_envelope::Error;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, stat};
    use rustix::io::Errno;

    use crate::signals;

    /// What is read or written by its descriptor, without a buffer.
    pub(crate) struct Flow<F>(pub(crate) F);

    /// The same file, by a descriptor of its own.
    pub(super) fn duplicate(file: &impl AsFd) -> io::Result<File> {
        Ok(file.as_fd().try_clone_to_owned()?.into())
    }

    /// Whether a descriptor was closed when the program started. Rust opens /dev/null in its place, for reading and writing.
    pub(super) fn is_closed(file: &impl AsFd) -> bool {
        let is_null = fstat(file).is_ok_and(|there| {
            FileType::from_raw_mode(there.st_mode) == FileType::CharacterDevice
                && stat("/dev/null").is_ok_and(|null| null.st_rdev == there.st_rdev)
        });
        let flags = fcntl_getfl(file);
        is_null && flags.is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDWR)
    }

    impl<F: AsFd> Read for Flow<F> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            loop {
                wait(&self.0, PollFlags::IN)?;
                match rustix::io::read(&self.0, &mut *buffer) {
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    // Who writes into the pipe is interrupted too: his end is not the end of the input.
                    Ok(0) if signals::caught().is_some() => return Err(Error::Cancelled.into()),
                    read => return Ok(read?),
                }
            }
        }
    }

    impl<F: AsFd> Write for Flow<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            loop {
                match rustix::io::write(&self.0, bytes) {
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => wait(&self.0, PollFlags::OUT)?,
                    written => return Ok(written?),
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Waits until a descriptor is ready, or until a signal asks the work to end.
    fn wait(file: &impl AsFd, flags: PollFlags) -> io::Result<()> {
        let mut waited = vec![PollFd::from_borrowed_fd(file.as_fd(), flags)];
        waited.extend(signals::word().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        loop {
            match poll(&mut waited, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if signals::caught().is_some() => return Err(Error::Cancelled.into()),
                Ok(_) => return Ok(()),
            }
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::File;
    use std::io::{self, Read, Write};

    /// What is read or written as the system does it.
    pub(crate) struct Flow<F>(pub(crate) F);

    /// The same file, by a handle of its own.
    #[cfg(windows)]
    pub(super) fn duplicate(file: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
        Ok(file.as_handle().try_clone_to_owned()?.into())
    }

    /// Nothing is known of it here.
    pub(super) fn is_closed<F>(_: &F) -> bool {
        false
    }

    impl<F: Read> Read for Flow<F> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl<F: Write> Write for Flow<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
}
