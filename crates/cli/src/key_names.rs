//! Keys of a keyring, as a person names them.

use std::convert::Infallible;
use std::str::FromStr;

use anyhow::Result;
use phi_envelope::{KeyId, keys::KeyInfo};

use crate::failure::usage;

/// The id of a key, or its label.
#[derive(Debug, Clone)]
pub(crate) struct KeyName(String);

impl FromStr for KeyName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl KeyName {
    /// The id, if it is one: that needs no keyring.
    pub(crate) fn id(&self) -> Option<KeyId> {
        self.0.parse().ok()
    }

    /// The key among `keys` that has this name. An id is taken as it is.
    ///
    /// # Errors
    /// A usage error if no key has this label, or several have it.
    pub(crate) fn find(&self, keys: &[KeyInfo]) -> Result<KeyId> {
        if let Some(id) = self.id() {
            return Ok(id);
        }
        let mut found = keys.iter().filter(|key| key.label == self.0);
        let label = self.0.escape_debug();
        match (found.next(), found.next()) {
            (Some(key), None) => Ok(key.id),
            (None, _) => Err(usage(format_args!(
                "\"{label}\" is neither the id of a key nor the label of one; `phi keyring list` shows both"
            ))),
            (Some(_), Some(_)) => {
                let same = keys.iter().filter(|key| key.label == self.0);
                let ids = same.map(|key| format!("{} ({})", key.id, key.state));
                let ids = ids.collect::<Vec<_>>().join(", ");
                Err(usage(format_args!(
                    "several keys have the label \"{label}\"; name one by its id: {ids}"
                )))
            }
        }
    }
}
