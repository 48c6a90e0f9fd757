//! Master keys made.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use phi_envelope::MasterKey;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde_json::json;
use zeroize::Zeroizing;

use crate::failure::usage;
use crate::new_file::NewFile;
use crate::output::{Answer, Console, escaped_path, put_path};
use crate::streams::is_dash;
use crate::{signals, stdio};

#[derive(Args)]
pub(crate) struct Keygen {
    /// Where to, a new file that its owner alone may read [default: stdout, unless that is a terminal]; - is stdout
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
}

pub(crate) fn run(console: &Console, args: &Keygen) -> Result<Answer> {
    let file = args.output.as_deref().filter(|output| !is_dash(output));
    if file.is_none() {
        console.give_stdout_to_data();
        if args.output.is_none() && std::io::stdout().is_terminal() {
            return Err(usage(
                "a terminal would show the key: name a file with -o, or pass the key to a program",
            ));
        }
    }
    // Before there is a key: what cannot be kept is not made.
    if file.is_some() {
        signals::leave_word();
    }
    let new = file.map(NewFile::create_private).transpose()?;
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(&mut *bytes)
        .context("the system gives no randomness")?;
    let mut text = Zeroizing::new([0; 45]);
    let (letters, end) = text.split_at_mut(44);
    STANDARD.encode_slice(*bytes, letters)?;
    end.fill(b'\n');
    let id = MasterKey::from_base64(std::str::from_utf8(letters)?)?.id();
    match new {
        Some(new) => new.finish(&*text)?,
        None => {
            let mut out = stdio::stdout()?;
            out.write_all(&*text).context("stdout")?;
            out.flush().context("stdout")?;
        }
    }
    let shown = file.map_or_else(|| "stdout".to_owned(), escaped_path);
    console.say(format_args!(
        "{shown}: a new master key, {id}; keep a copy elsewhere: whatever is sealed with a lost key is lost"
    ))?;
    let mut answer = json!({ "command": "keygen", "key_id": id.to_string() });
    put_path(&mut answer, "output", file.unwrap_or(Path::new("-")));
    Ok(answer.into())
}
