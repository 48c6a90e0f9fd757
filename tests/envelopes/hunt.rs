//! What must never be told, and a look for it in texts.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)] // each test needs a part of it

use std::fmt::Debug;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use phi_envelope::Error;

pub(crate) const PLAINTEXT: &str = "canary of a plaintext";
pub(crate) const NUMBER: u64 = 78_051_120;
pub(crate) const BINDING: &str = "canary of a binding";
pub(crate) const BINDING_KEY: &str = "canary of a binding's key";
pub(crate) const PASSPHRASE: &str = "canary of a passphrase";
pub(crate) const WRONG_PASSPHRASE: &str = "canary of a wrong passphrase";
pub(crate) const MASTER_KEY: [u8; 32] = *b"canary of a master key, 32 bytes";
pub(crate) const FLOE_KEY: [u8; 32] = *b"canary of a FLOE key of 32 bytes";

/// What must not be found, and the texts in which it is sought.
pub(crate) struct Hunt {
    pub(crate) canaries: Vec<Vec<u8>>,
    pub(crate) texts: Vec<String>,
    pub(crate) errors: Vec<Error>,
}

/// Every way in which bytes may slip into a text.
pub(crate) fn forms(bytes: &[u8]) -> Vec<String> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{bytes:?}");
    let tall = format!("{bytes:#?}");
    vec![
        String::from_utf8_lossy(bytes).into_owned(),
        bytes.escape_ascii().to_string(),
        hex.to_uppercase(),
        hex,
        STANDARD_NO_PAD.encode(bytes),
        URL_SAFE_NO_PAD.encode(bytes),
        list[1..list.len() - 1].to_owned(),
        tall[1..tall.len() - 2].to_owned(),
    ]
}

impl Hunt {
    pub(crate) fn new() -> Self {
        let texts = [
            PLAINTEXT,
            BINDING,
            BINDING_KEY,
            PASSPHRASE,
            WRONG_PASSPHRASE,
        ];
        let mut canaries: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        canaries.extend([MASTER_KEY.to_vec(), FLOE_KEY.to_vec()]);
        canaries.push(NUMBER.to_string().into_bytes());
        Self {
            canaries,
            texts: Vec::new(),
            errors: Vec::new(),
        }
    }

    pub(crate) fn look_at(&mut self, value: &impl Debug) {
        self.texts
            .extend([format!("{value:?}"), format!("{value:#?}")]);
    }

    /// Keeps what must be an error.
    pub(crate) fn provoke<T>(&mut self, what: &str, result: Result<T, Error>) {
        match result {
            Ok(_) => panic!("no error: {what}"),
            Err(error) => self.errors.push(error),
        }
    }

    pub(crate) fn look_at_errors(&mut self) {
        for error in std::mem::take(&mut self.errors) {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(one) = cause {
                self.texts
                    .extend([one.to_string(), format!("{one:?}"), format!("{one:#?}")]);
                cause = one.source();
            }
            let error = io::Error::from(error);
            self.texts.extend([
                error.to_string(),
                format!("{error:?}"),
                format!("{error:#?}"),
            ]);
        }
    }

    pub(crate) fn finish(mut self) {
        self.look_at_errors();
        assert!(!self.texts.is_empty());
        for canary in &self.canaries {
            for form in forms(canary) {
                // A form of several lines may be indented further.
                let form = form.split_whitespace().collect::<Vec<_>>().join(" ");
                for text in &self.texts {
                    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                    assert!(!text.contains(&form), "{form:?} in {text}");
                }
            }
        }
    }
}
