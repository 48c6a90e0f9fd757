//! Who can open a file.

use std::path::Path;

use anyhow::{Context as _, Result};
use phi_envelope::{Context, EnvelopeCipher};
use serde_json::json;

use crate::args::{RecipientCommand, RecipientFile};
use crate::keys::{self, Keys};
use crate::output::{Answer, Console, escaped_path, put_path, warn_not_kept};
use crate::signals;

pub(crate) fn run(console: &Console, command: &RecipientCommand) -> Result<Answer> {
    let (word, path, not_kept) = match command {
        RecipientCommand::Add { on, to } => {
            let (mut keys, cipher, labels) = ready(on)?;
            let new = keys.one(to)?;
            signals::leave_word();
            let not_kept = on
                .change
                .options()
                .add_recipient(&cipher, &on.file, &*new, &labels)
                .with_context(|| shown(on))?;
            ("add", &on.file, not_kept)
        }
        RecipientCommand::Remove { on, from } => {
            let (mut keys, cipher, labels) = ready(on)?;
            let old = keys.holder(from)?;
            signals::leave_word();
            let not_kept = on
                .change
                .options()
                .remove_recipient(&cipher, &on.file, &*old, &labels)
                .with_context(|| shown(on))?;
            ("remove", &on.file, not_kept)
        }
        RecipientCommand::Replace { on, from, to } => {
            let (mut keys, cipher, labels) = ready(on)?;
            let (old, new) = (keys.holder(from)?, keys.one(to)?);
            signals::leave_word();
            let not_kept = on
                .change
                .options()
                .replace_recipient(&cipher, &on.file, &*old, &*new, &labels)
                .with_context(|| shown(on))?;
            ("replace", &on.file, not_kept)
        }
    };
    warn_not_kept(console, path, not_kept);
    answer(console, word, path)
}

fn ready(on: &RecipientFile) -> Result<(Keys<'_>, EnvelopeCipher, Context)> {
    let labels = keys::labels(&on.labels)?;
    let mut keys = Keys::new(&on.key);
    let cipher = keys.reader()?;
    Ok((keys, cipher, labels))
}

fn shown(on: &RecipientFile) -> String {
    escaped_path(&on.file)
}

fn answer(console: &Console, word: &str, path: &Path) -> Result<Answer> {
    console.say(format_args!(
        "{}: recipient {word} done",
        escaped_path(path)
    ))?;
    let mut answer = json!({ "command": format!("recipient {word}") });
    put_path(&mut answer, "path", path);
    Ok(answer.into())
}
