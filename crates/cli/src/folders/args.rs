//! The command line of whole folders.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::archive::args::ExcludeArgs;
use crate::failure::usage;
use crate::options::WorkArgs;
use crate::streams::is_dash;

/// Files of a run that may fail before it stops.
const MAX_FAILURES: u64 = 1000;

/// Which files, and what is told of them.
#[derive(Args)]
pub(crate) struct FolderArgs {
    /// Work on everything below the folder; files that are done already are skipped, so to run it again is to resume it
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Write what became of each file into a new file, as JSON lines; the last line is the summary
    #[arg(long, value_name = "FILE", requires = "recursive")]
    pub(crate) report: Option<PathBuf>,
    /// Stop when more files than this have failed [default: 1000]
    #[arg(long, value_name = "COUNT", requires = "recursive")]
    max_failures: Option<u64>,
    /// Exit with 6 if nothing was found to work on
    #[arg(long, requires = "recursive")]
    pub(crate) expect_some: bool,
    #[command(flatten)]
    pub(crate) excluded: ExcludeArgs,
}

impl FolderArgs {
    /// Refuses what has no effect on a single file.
    pub(crate) fn check(&self) -> Result<()> {
        if self.recursive || self.excluded.exclude.is_empty() {
            return Ok(());
        }
        Err(usage("--exclude needs --recursive"))
    }

    pub(super) fn max_failures(&self) -> u64 {
        self.max_failures.unwrap_or(MAX_FAILURES)
    }
}

/// What each file of a folder is bound to, beside what all of them are bound to.
#[derive(Args)]
pub(crate) struct BindEachArgs {
    /// Bind each file to its path below the folder, as the binding `path`: without .phi, and with / between its parts
    #[arg(long, requires = "recursive")]
    pub(crate) bind_path: bool,
    /// Bindings of each file from JSON lines, as {"path": "a/b.ndjson", "bind": {"patient": "MRN"}}; - is stdin
    #[arg(long, value_name = "FILE", requires = "recursive")]
    pub(crate) bind_from: Option<PathBuf>,
}

/// Where the outputs of a folder go.
///
/// # Errors
/// A usage error if no folder is named, or an option is given that only single files have.
pub(super) fn output_folder<'a>(
    inputs: &[&Path],
    output: Option<&'a Path>,
    work: &WorkArgs,
) -> Result<&'a Path> {
    check_work(inputs, work)?;
    match output {
        Some(output) if !is_dash(output) => Ok(output),
        _ => Err(usage(
            "--recursive needs a folder for the outputs: -o FOLDER",
        )),
    }
}

/// Refuses what only single files have.
pub(super) fn check_work(inputs: &[&Path], work: &WorkArgs) -> Result<()> {
    inputs.iter().try_for_each(|input| check_input(input))?;
    if work.detached.is_some() {
        return Err(usage(
            "--detached names the header of one file, and does not go with --recursive",
        ));
    }
    Ok(())
}

/// Refuses stdin.
pub(super) fn check_input(input: &Path) -> Result<()> {
    if is_dash(input) {
        return Err(usage("--recursive works on folders, and stdin is none"));
    }
    Ok(())
}

/// The threads that a run has.
pub(super) fn threads(wanted: Option<NonZeroUsize>) -> NonZeroUsize {
    /// Threads that are of use at most.
    const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);
    let cores = || std::thread::available_parallelism().ok();
    wanted
        .or_else(cores)
        .map_or(NonZeroUsize::MIN, |n| n.min(MOST))
}
