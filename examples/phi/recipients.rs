//! Who can open a file.

use std::path::Path;

use anyhow::{Context as _, Result};
use phi_envelope::{
    Context, EnvelopeCipher, add_recipient_file, remove_recipient_file, replace_recipient_file,
};
use serde_json::json;

use crate::args::{RecipientCommand, RecipientFile};
use crate::keys::{self, Keys};
use crate::output::{Answer, Console, path_json};

pub(crate) fn run(console: &Console, command: &RecipientCommand) -> Result<Answer> {
    let (word, path) = match command {
        RecipientCommand::Add { on, to } => {
            let (mut keys, cipher, labels) = ready(on)?;
            let new = keys.one(to)?;
            add_recipient_file(&cipher, &on.file, &new, &labels).with_context(|| shown(on))?;
            ("add", &on.file)
        }
        RecipientCommand::Remove { on, from } => {
            let (mut keys, cipher, labels) = ready(on)?;
            let old = keys.holder(from)?;
            remove_recipient_file(&cipher, &on.file, &old, &labels).with_context(|| shown(on))?;
            ("remove", &on.file)
        }
        RecipientCommand::Replace { on, from, to } => {
            let (mut keys, cipher, labels) = ready(on)?;
            let (old, new) = (keys.holder(from)?, keys.one(to)?);
            replace_recipient_file(&cipher, &on.file, &old, &new, &labels)
                .with_context(|| shown(on))?;
            ("replace", &on.file)
        }
    };
    answer(console, word, path)
}

fn ready(on: &RecipientFile) -> Result<(Keys<'_>, EnvelopeCipher, Context)> {
    let labels = keys::labels(&on.labels)?;
    let mut keys = Keys::new(&on.key);
    let cipher = keys.reader()?;
    Ok((keys, cipher, labels))
}

fn shown(on: &RecipientFile) -> String {
    on.file.display().to_string()
}

fn answer(console: &Console, word: &str, path: &Path) -> Result<Answer> {
    console.say(format_args!("{}: recipient {word} done", path.display()))?;
    Ok(json!({ "command": format!("recipient {word}"), "path": path_json(path) }).into())
}
