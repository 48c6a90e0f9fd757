//! Keyrings made, shown and changed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use phi_envelope::{
    KeyId, KeyringFile, archive,
    files::Updated,
    keys::{KeyInfo, KeyringTransaction},
};
use serde_json::{Value, json};

use crate::keyring_args::{KeyringCommand, NewState, words_of_set_state};
use crate::keys::{at, open_own_keyring};
use crate::options::{Lease, SecretArgs};
use crate::output::{Answer, Console, escaped_path, hex, put_path};
use crate::secrets::{Asked, Secret};
use crate::signals;

/// Seconds that `phi retire` allows for clocks that differ, unless it is told otherwise.
const ALLOWANCE: u64 = 300;
/// Seconds of the longest lease that there is.
const LONGEST_LEASE: u64 = 86_400;
/// Bytes of evidence at most: a thousand findings and ten thousand keys are much less.
const LONGEST_EVIDENCE: u64 = 1 << 26;

pub(crate) fn run(console: &Console, command: &KeyringCommand) -> Result<Answer> {
    match command {
        KeyringCommand::New {
            which,
            label,
            lease,
            secret,
        } => new(console, (&which.path()?, label), *lease, secret),
        KeyringCommand::SetLease {
            which,
            lease,
            secret,
        } => {
            let file = &which.path()?;
            let keyring = open(file, secret)?;
            signals::leave_word();
            let updated = keyring.update_and_tell(|keys| keys.set_lease(lease.0));
            warn_of_data_key(console, file, &at(file, updated)?);
            console.say(about(&keyring))?;
            console.say(settling(&keyring))?;
            Ok(answer("set-lease", file, &keyring, None))
        }
        KeyringCommand::Rotate {
            which,
            label,
            secret,
        } => {
            let file = &which.path()?;
            let keyring = open(file, secret)?;
            changed(console, "rotate", (file, &keyring), |keys| {
                keys.rotate(label)
            })
        }
        KeyringCommand::List { which, secret } => list(console, &which.path()?, secret),
        KeyringCommand::SetState {
            words,
            named,
            secret,
        } => {
            let (file, key, state) = words_of_set_state(words)?;
            let file = &named.or(file)?;
            let keyring = open(file, secret)?;
            let id = key.find(&keyring.keyring().keys())?;
            changed(console, "set-state", (file, &keyring), |keys| {
                match state {
                    NewState::Deactivated => keys.deactivate(id),
                    NewState::Suspended => keys.suspend(id),
                    NewState::Compromised => keys.mark_compromised(id),
                    NewState::Resumed => keys.resume(id),
                }?;
                Ok(id)
            })
        }
        KeyringCommand::Destroy {
            which,
            key,
            ground,
            terms,
            secret,
            yes_destroy: _, // without it, the command line is refused
        } => {
            let file = &which.path()?;
            let keyring = open(file, secret)?;
            let id = key.find(&keyring.keyring().keys())?;
            let Some(evidence) = &ground.evidence else {
                return changed(console, "destroy", (file, &keyring), |keys| {
                    keys.destroy_without_evidence(id)?;
                    Ok(id)
                });
            };
            let sealed = evidence_in(evidence).with_context(|| shown(evidence))?;
            signals::leave_word();
            archive::destroy_key(&keyring, id, &sealed, terms.options())
                .with_context(|| shown(evidence))?;
            tell(console, "destroy", (file, &keyring), id)
        }
        KeyringCommand::Passwd {
            which,
            secret,
            new_passphrase_file,
            new_master_key_file,
            dropping_recipients,
        } => {
            let file = &which.path()?;
            let keyring = open(file, secret)?;
            let new = Secret::read_new(
                new_passphrase_file.as_deref(),
                new_master_key_file.as_deref(),
                &shown(file),
            )?;
            let protection = new.provider()?;
            signals::leave_word();
            // The one slot that there is is what the old secret has opened.
            let protected = if *dropping_recipients || keyring.slots().len() == 1 {
                keyring.reprotect_dropping_recipients(protection)
            } else {
                keyring.reprotect(protection)
            };
            at(file, protected)?;
            console.say(format_args!(
                "{}: sealed under the new secret; copies of the old file still open with the old one, and evidence that was written before opens with that alone",
                shown(file)
            ))?;
            let mut answer = json!({ "command": "keyring passwd" });
            put_path(&mut answer, "path", file);
            Ok(answer.into())
        }
    }
}

fn new(
    console: &Console,
    (path, label): (&Path, &str),
    lease: Option<Lease>,
    secret: &SecretArgs,
) -> Result<Answer> {
    if path.symlink_metadata().is_ok() {
        // Said before a passphrase is asked for twice.
        return Err(anyhow::Error::from(std::io::Error::from(
            std::io::ErrorKind::AlreadyExists,
        )))
        .with_context(|| shown(path));
    }
    let secret = Secret::read(secret, &shown(path), Asked::Twice)?;
    signals::leave_word();
    let mut options = KeyringFile::options();
    if let Some(lease) = lease {
        options = options.lease(lease.0);
    }
    let file = at(path, options.create(path, label, secret.provider()?))?;
    let keys = file.keyring().keys();
    console.say(format_args!(
        "{}: made, with one key; keep a copy elsewhere: whatever is sealed with a lost key is lost\n{}",
        shown(path),
        table(&keys)
    ))?;
    if lease.is_some() {
        console.say(settling(&file))?;
    }
    Ok(answer("new", path, &file, keys.first()))
}

/// What a lease means for who destroys a key.
fn settling(file: &KeyringFile) -> String {
    let (lease, longest) = (file.lease().as_secs(), LONGEST_LEASE + ALLOWANCE);
    let usual = format!(
        "`phi retire` destroys a key {} s after the keyring's last change at the earliest: the lease of {lease} s, and the allowance of {ALLOWANCE} s (--allowance)",
        lease + ALLOWANCE
    );
    match file.lease_changed() {
        None => usual,
        Some(_) => format!(
            "{usual}; for a day after the lease was changed, {longest} s: a process may go by the lease of before, which may have been a day"
        ),
    }
}

fn list(console: &Console, path: &Path, secret: &SecretArgs) -> Result<Answer> {
    let file = open(path, secret)?;
    console.say(format_args!(
        "{}\n{}",
        about(&file),
        table(&file.keyring().keys())
    ))?;
    Ok(answer("list", path, &file, None))
}

/// Changes a keyring, and answers with the key that it was about.
fn changed(
    console: &Console,
    command: &str,
    (path, file): (&Path, &KeyringFile),
    change: impl FnOnce(&mut KeyringTransaction) -> phi_envelope::Result<KeyId>,
) -> Result<Answer> {
    signals::leave_word();
    let updated = at(path, file.update_and_tell(change))?;
    warn_of_data_key(console, path, &updated);
    tell(console, command, (path, file), updated.out)
}

fn tell(
    console: &Console,
    command: &str,
    (path, file): (&Path, &KeyringFile),
    id: KeyId,
) -> Result<Answer> {
    let keys = file.keyring().keys();
    console.say(table(&keys))?;
    let about = keys.iter().find(|key| key.id == id);
    Ok(answer(command, path, file, about))
}

/// Says that older copies, and what opened them, still open the file.
fn warn_of_data_key<T>(console: &Console, path: &Path, updated: &Updated<T>) {
    for slot in &updated.not_wrapped_for {
        let what = format!("its data key was kept, because this secret cannot wrap for {slot}");
        console.warn(path, what);
    }
}

/// All of a file of evidence; a wrong path may lead to something long.
fn evidence_in(path: &Path) -> io::Result<Vec<u8>> {
    let mut sealed = Vec::new();
    let file = File::open(path)?;
    file.take(LONGEST_EVIDENCE + 1).read_to_end(&mut sealed)?;
    if sealed.len() as u64 > LONGEST_EVIDENCE {
        return Err(io::Error::other("longer than any evidence"));
    }
    Ok(sealed)
}

fn open(path: &Path, secret: &SecretArgs) -> Result<KeyringFile> {
    // Said before a passphrase is asked for.
    path.metadata().with_context(|| shown(path))?;
    open_own_keyring(path, &Secret::read(secret, &shown(path), Asked::Once)?)
}

fn answer(command: &str, path: &Path, file: &KeyringFile, about: Option<&KeyInfo>) -> Answer {
    let keys = file.keyring().keys();
    let mut answer = json!({
        "id": hex(&file.id()),
        "revision": file.revision(),
        "lease": file.lease().as_secs(),
        "lease_changed": file.lease_changed().map(seconds),
        "last_confirmed": file.last_confirmed().map(seconds),
        "slots": file.slots().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "command": format!("keyring {command}"),
        "key": about.map(object),
        "keys": keys.iter().map(object).collect::<Vec<_>>(),
    });
    put_path(&mut answer, "path", path);
    answer.into()
}

fn object(key: &KeyInfo) -> Value {
    json!({
        "id": key.id.to_string(),
        "label": key.label,
        "state": key.state,
        "created": seconds(key.created),
        "changed": seconds(key.changed),
        "evidence": key.evidence.map(|digest| hex(&digest)),
    })
}

/// Which keyring it is, which version of it, and who can open it.
fn about(file: &KeyringFile) -> String {
    let confirmed = file.last_confirmed().map_or("never".to_owned(), |at| {
        format!("{} s ago", age(at).as_secs())
    });
    let slots: Vec<_> = file.slots().iter().map(ToString::to_string).collect();
    format!(
        "keyring {}  revision {}  lease {} s  confirmed {confirmed}\nopened by {}",
        hex(&file.id()),
        file.revision(),
        file.lease().as_secs(),
        slots.join(", ")
    )
}

fn age(since: SystemTime) -> Duration {
    SystemTime::now().duration_since(since).unwrap_or_default()
}

fn table(keys: &[KeyInfo]) -> String {
    let lines = keys.iter().map(|key| {
        let evidence = key.evidence.map(|digest| hex(&digest));
        let evidence = evidence.map_or(String::new(), |hex| format!("\n  evidence {hex}"));
        format!(
            "{}  {:<11}  since {} ({} d)  made {}  {}{evidence}",
            key.id,
            key.state.to_string(),
            date(key.changed),
            age(key.changed).as_secs() / 86_400,
            date(key.created),
            key.label.escape_debug()
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The day in UTC, by the proleptic Gregorian calendar.
fn date(time: SystemTime) -> String {
    // Counted from 1 March of year 0, so that a leap day is the last of its year.
    let days = seconds(time) / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (year, month + 3),
        _ => (year + 1, month - 9),
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year)
}

fn shown(path: &Path) -> String {
    escaped_path(path)
}
