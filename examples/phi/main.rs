//! `phi`: files sealed and opened, and their keyrings kept, from a shell.
//!
//! ```text
//! cargo install --path . --example phi
//! phi keyring new ehr.keyring --label ehr-2026
//! phi encrypt --keyring ehr.keyring --bind export=42 Patient.ndjson
//! phi decrypt --keyring ehr.keyring --bind export=42 Patient.ndjson.phi -o out.ndjson
//! ```

mod archive;
mod args;
mod failure;
mod files;
mod inspect;
mod keyring;
mod keys;
mod options;
mod output;
mod recipients;
mod secrets;
mod streams;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use archive::{exposure, inventory, retire};
use args::{Cli, Command};
use failure::{Exit, Failure};
use output::{Answer, Console};

fn main() -> ExitCode {
    match parse().and_then(|cli| finish(&Console::new(cli.json), &cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => ExitCode::from(exit as u8),
    }
}

fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        let json = std::env::args_os().any(|argument| argument == "--json");
        if !(json && error.use_stderr()) {
            error.exit();
        }
        let text = error.to_string();
        let what = text.split("\n\n").next().unwrap_or_default();
        let what = what.strip_prefix("error: ").unwrap_or(what);
        Console::new(true).fail(&Failure::usage(what))
    })
}

fn finish(console: &Console, command: &Command) -> Result<(), Exit> {
    if command.only_tells() {
        console.only_tell();
    }
    let fail = |error| console.fail(&Failure::from(error));
    let answer = run(console, command).map_err(fail)?;
    console.answer(&answer.json);
    console.end(answer.worst)
}

fn run(console: &Console, command: &Command) -> Result<Answer> {
    match command {
        Command::Keyring(command) => keyring::run(console, command),
        Command::Encrypt(args) => files::encrypt(console, args),
        Command::Decrypt(args) => files::decrypt(console, args),
        Command::Verify(args) => files::verify(console, args),
        Command::Cat(args) => streams::cat(console, args),
        Command::Inspect { files } => inspect::run(console, files),
        Command::Rewrap(args) => files::rewrap(console, args),
        Command::Reencrypt(args) => files::reencrypt(console, args),
        Command::Repack {
            file,
            key,
            block_length,
        } => files::repack(console, file, key, *block_length),
        Command::Inventory(args) => inventory::run(console, args),
        Command::Retire(args) => retire::run(console, args),
        Command::Exposure(args) => exposure::run(console, args),
        Command::Recipient(command) => recipients::run(console, command),
    }
}
