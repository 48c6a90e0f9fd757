//! What the program that holds secrets and the test that looks for them agree on.

use std::fs::File;
use std::io::{self, Read as _};

use zeroize::Zeroizing;

/// What the program is given, in this order, each of its own length.
pub const GIVEN: [(&str, usize); 9] = [
    ("master key", 32),
    ("master key in base64", 44),
    ("data key of a provider", 32),
    ("FLOE key", 32),
    ("passphrase", 40),
    ("wrong passphrase", 40),
    ("binding", 40),
    ("record", 4_000),
    ("stream", 2_300_000),
];

/// The words that the program writes when it has reached a place, and then waits for a byte.
pub const HOLDING: &str = "holding";
/// See [`HOLDING`].
pub const DROPPED: &str = "dropped";

/// The files of a scenario, in its folder.
pub const PLAIN: &str = "plain";

/// The secrets that the program was given, erased when dropped.
pub struct Given(Zeroizing<Vec<u8>>);

impl Given {
    /// Reads them from a pipe, without a buffer of the standard library between.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(from: &mut File) -> io::Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; GIVEN.iter().map(|(_, len)| len).sum()]);
        from.read_exact(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The one of this name.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn of(&self, name: &str) -> &[u8] {
        let mut at = 0;
        for (known, len) in GIVEN {
            if known == name {
                return &self.0[at..at + len];
            }
            at += len;
        }
        panic!("no secret is called {name}");
    }

    /// The one of this name, as text.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.of(name)).expect("text")
    }
}
