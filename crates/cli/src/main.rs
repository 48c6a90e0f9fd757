//! `phi`: files sealed and opened, and their keyrings kept, from a shell.
//!
//! ```text
//! cargo install --path crates/cli --locked
//! phi keyring new ehr.keyring --label ehr-2026
//! phi encrypt --keyring ehr.keyring --bind export=42 Patient.ndjson
//! phi decrypt --keyring ehr.keyring --bind export=42 Patient.ndjson.phi -o out.ndjson
//! ```

mod archive;
mod args;
mod checks;
mod failure;
mod files;
mod folders;
mod inspect;
mod key_names;
mod keygen;
mod keyring;
mod keyring_args;
mod keys;
mod new_file;
mod options;
mod output;
mod recipients;
mod secrets;
mod signals;
mod stdio;
mod streams;
mod terminal;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use phi_envelope::files::{ask_while_locked, on_lock_wait, set_lock_wait};

use archive::{evidence, exposure, inventory, retire};
use args::{Cli, Command};
use failure::{Exit, Failure, usage};
use options::LockWait;
use output::{Answer, Console};

fn main() -> ExitCode {
    let done = parse().and_then(|cli| {
        let console = Console::new(cli.json);
        finish(&console, &cli).map_err(Some)
    });
    match done {
        Ok(()) | Err(None) => ExitCode::SUCCESS,
        Err(Some(exit)) => ExitCode::from(exit as u8),
    }
}

/// The command line; where it asks for help, or is wrong, that is told, and there is an exit code or none.
fn parse() -> Result<Cli, Option<Exit>> {
    Cli::read().map_err(|error| {
        if !error.use_stderr() {
            return error.print().err().map(|_| Exit::NotTold);
        }
        let text = error.to_string();
        if std::env::args_os().any(|argument| argument == "--json") {
            let what = text.split("\n\n").next().unwrap_or_default();
            let what = what.strip_prefix("error: ").unwrap_or(what);
            return Some(Console::new(true).fail(&Failure::usage(what)));
        }
        // A name that a shell put there may hold what commands a terminal.
        if text.contains(|letter: char| letter.is_control() && letter != '\n') {
            let lines: Vec<_> = text.lines().map(output::escaped).collect();
            let _ = stdio::complain(format_args!("{}", lines.join("\n")));
        } else {
            let _ = error.print();
        }
        Some(Exit::Usage)
    })
}

fn finish(console: &Console, cli: &Cli) -> Result<(), Exit> {
    let command = &cli.command;
    if command.only_tells() {
        console.only_tell();
    }
    let fail = |error| console.fail(&Failure::from(error));
    begin(cli).map_err(fail)?;
    let answer = run(console, command).map_err(fail)?;
    console.answer(&answer.json);
    console.end(answer.worst)
}

/// What holds for the whole process.
fn begin(cli: &Cli) -> Result<()> {
    signals::begin().context("signals")?;
    if let Some(LockWait(limit)) = cli.lock_wait {
        set_lock_wait(limit);
    }
    on_lock_wait(output::tell_wait);
    ask_while_locked(signals::flow);
    if let Some(folder) = cli.command.folder() {
        folder.check()?;
    }
    if cli.allow_access_by_others {
        if !cli.command.opens_keyring() && !cli.names_secret {
            return Err(usage(
                "--allow-access-by-others is for the file of a keyring, a passphrase or a master key, and none is named",
            ));
        }
        keys::allow_access_by_others();
    }
    if let Some(revision) = cli.min_revision {
        if !cli.command.opens_keyring() {
            return Err(usage(
                "--min-revision is for the file of a keyring, and none is named",
            ));
        }
        keys::set_min_revision(revision);
    }
    if let Some(path) = &cli.min_revision_file {
        if !cli.command.opens_keyring() {
            return Err(usage(
                "--min-revision-file is for the file of a keyring, and none is named",
            ));
        }
        keys::set_min_revision_file(path);
    }
    Ok(())
}

fn run(console: &Console, command: &Command) -> Result<Answer> {
    match command {
        Command::Keyring(command) => keyring::run(console, command),
        Command::Keygen(args) => keygen::run(console, args),
        Command::Encrypt(args) if args.folder.recursive => folders::encrypt(console, args),
        Command::Encrypt(args) => files::encrypt(console, args),
        Command::Decrypt(args) if args.folder.recursive => folders::decrypt(console, args),
        Command::Decrypt(args) => files::decrypt(console, args),
        Command::Verify(args) if args.folder.recursive => folders::verify(console, args),
        Command::Verify(args) => files::verify(console, args),
        Command::Cat(args) => streams::cat(console, args),
        Command::Inspect { files } => inspect::run(console, files),
        Command::Rewrap(args) => files::rewrap(console, args),
        Command::Reencrypt(args) => files::reencrypt(console, args),
        Command::Repack {
            file,
            key,
            block_length,
            change,
        } => files::repack(console, (file, *block_length), key, *change),
        Command::Inventory(args) => inventory::run(console, args),
        Command::Retire(args) => retire::run(console, args),
        Command::Evidence(command) => evidence::run(console, command),
        Command::Exposure(args) => exposure::run(console, args),
        Command::Recipient(command) if command.on().folder.recursive => {
            folders::recipients(console, command)
        }
        Command::Recipient(command) => recipients::run(console, command),
    }
}
