//! The terminal, asked for what it must not show, and found afterwards as it was.

use std::io;

use zeroize::Zeroizing;

/// What is typed on the terminal after `text`, up to the end of the line, without it.
///
/// # Errors
/// The kind is `Interrupted` if a signal ended the asking; the terminal is as it was in any case.
pub(crate) fn ask(text: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    #[cfg(unix)]
    return Terminal::open()?.ask(text);
    #[cfg(not(unix))]
    rpassword::prompt_password(text).map(|answer| Zeroizing::new(answer.into_bytes()))
}

#[cfg(unix)]
use unix::Terminal;

#[cfg(unix)]
mod unix {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Read as _, Write as _};
    use std::os::fd::{AsFd as _, BorrowedFd};

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
    };
    use zeroize::Zeroizing;

    use crate::signals;

    /// Bytes of a line at most: a terminal drops what is beyond this, and says nothing.
    const LONGEST: usize = 4095;

    pub(super) struct Terminal {
        file: File,
        was: Termios,
    }

    impl Terminal {
        pub(super) fn open() -> io::Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
            let was = tcgetattr(&file)?;
            Ok(Self { file, was })
        }

        pub(super) fn ask(self, text: &str) -> io::Result<Zeroizing<Vec<u8>>> {
            // Asked for before the echo is off: a signal that comes between finds it on.
            let _graceful = signals::graceful();
            let stops = signals::announce_stops()?;
            let answer = self
                .hide()
                .and_then(|()| self.show(text))
                .and_then(|()| self.answer(text, stops));
            let _ = self.restore();
            signals::stop_at_once();
            let _ = self.show("\n");
            answer
        }

        /// Shows nothing that is typed. Signals of the keyboard are signals still, but for the one that dumps core.
        fn hide(&self) -> io::Result<()> {
            let mut hidden = self.was.clone();
            hidden.local_modes -= LocalModes::ECHO;
            hidden.local_modes |= LocalModes::ICANON | LocalModes::ISIG;
            hidden.special_codes[SpecialCodeIndex::VQUIT] = 0;
            Ok(tcsetattr(&self.file, OptionalActions::Now, &hidden)?)
        }

        fn restore(&self) -> io::Result<()> {
            Ok(tcsetattr(&self.file, OptionalActions::Now, &self.was)?)
        }

        fn show(&self, text: &str) -> io::Result<()> {
            (&self.file).write_all(text.as_bytes())
        }

        fn answer(&self, text: &str, stops: BorrowedFd<'_>) -> io::Result<Zeroizing<Vec<u8>>> {
            // Room for all of it at once: a buffer that grows leaves copies behind.
            let mut buffer = Zeroizing::new(vec![0; LONGEST + 1]);
            let mut len = 0;
            loop {
                let (is_stopped, is_there) = self.wait(stops)?;
                if signals::caught().is_some() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                if is_stopped {
                    self.stop(text, stops)?;
                    continue;
                }
                if !is_there {
                    continue;
                }
                let room = buffer.get_mut(len..).unwrap_or_default();
                let read = match (&self.file).read(room) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read?,
                };
                let ended = room.get(..read).is_some_and(|line| line.ends_with(b"\n"));
                len += read;
                if read == 0 && len == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if len > LONGEST || (!ended && len == LONGEST) {
                    return Err(io::Error::other("longer than a terminal takes"));
                }
                if ended || read == 0 {
                    buffer.truncate(len - usize::from(ended));
                    return Ok(buffer);
                }
            }
        }

        /// Waits for a key or a signal: whether the process is to stop, and whether there is something to read.
        fn wait(&self, stops: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
            let tty = self.file.as_fd();
            let mut waited = vec![
                PollFd::from_borrowed_fd(stops, PollFlags::IN),
                PollFd::from_borrowed_fd(tty, PollFlags::IN),
            ];
            waited.extend(signals::word().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            match poll(&mut waited, None) {
                Err(rustix::io::Errno::INTR) => return Ok((false, false)),
                polled => polled?,
            };
            let is_ready = |at: usize| waited.get(at).is_some_and(|fd| !fd.revents().is_empty());
            Ok((is_ready(0), is_ready(1)))
        }

        /// Stops as SIGTSTP asks, with the terminal as it was, and asks anew when the process goes on.
        fn stop(&self, text: &str, stops: BorrowedFd<'_>) -> io::Result<()> {
            let mut word = [0; 64];
            while rustix::io::read(stops, &mut word).is_ok_and(|read| read > 0) {}
            self.restore()?;
            signals::stop();
            self.hide()?;
            self.show(text)
        }
    }
}
