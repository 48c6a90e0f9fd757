//! Drives the workers: asks each for one measurement after the other, `A B A B …`, and prints, stores and draws what came out.

mod chart;
mod machine;
mod plan;
mod report;
mod workers;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The same work through phi-envelope and through what its users would otherwise pick.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the workers: one for each backend.
    Build {
        /// The AWS Encryption SDK too; it builds for ten minutes.
        #[arg(long)]
        esdk: bool,
    },
    /// Measures, and prints a table.
    Run {
        /// Only works whose name contains this, for example `record/1024`.
        #[arg(long, default_value = "")]
        only: String,
        /// Interleaved rounds of short works; long ones take a third of them.
        #[arg(long, default_value_t = 31)]
        rounds: usize,
        /// MiB of the streams in memory.
        #[arg(long, default_value_t = 256)]
        stream_mib: usize,
        /// MiB of the files.
        #[arg(long, default_value_t = 1024)]
        file_mib: usize,
        /// Where the files lie.
        #[arg(long, default_value = "/dev/shm")]
        folder: PathBuf,
        /// The default worker alone, as `cargo build` leaves it: tests this program and measures nothing.
        #[arg(long)]
        debug: bool,
        /// Adds what was measured to this JSON, in place of what it holds of the same works.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Prints the table of a JSON.
    Table { json: PathBuf },
    /// Draws a JSON as an SVG.
    Chart { json: PathBuf, svg: PathBuf },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Build { esdk } => workers::build(esdk),
        Command::Run {
            only,
            rounds,
            stream_mib,
            file_mib,
            folder,
            debug,
            json,
        } => {
            if debug {
                workers::debug();
            }
            let sizes = plan::Sizes {
                stream: stream_mib << 20,
                file: file_mib << 20,
                folder,
            };
            let mut report = report::Report {
                machine: machine::read()?,
                rows: plan::run(&only, rounds.max(1), &sizes)?,
            };
            if let Some(path) = json {
                report = report.merged_into(&path)?;
                report.write(&path)?;
            }
            print!("{}", report.table());
            Ok(())
        }
        Command::Table { json } => {
            print!("{}", report::Report::read(&json)?.table());
            Ok(())
        }
        Command::Chart { json, svg } => chart::draw(&report::Report::read(&json)?, &svg),
    }
}
