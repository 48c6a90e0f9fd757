//! This binary once more, as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{memory, roots, storm};

/// The variables that tell a child its work, and where.
const WORK: &str = "PHI_TEST_WORK";
const FOLDER: &str = "PHI_TEST_FOLDER";
/// The word with which a child's lines begin, between those of the test harness.
pub(crate) const SAYS: &str = "CHILD";

pub(crate) fn command(binary: &Path, work: &str, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["--exact", "children::work", "--ignored", "--nocapture"])
        .env(WORK, work)
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command
}

pub(crate) fn child(work: &str, folder: &Path) -> Child {
    let binary = std::env::current_exe().unwrap();
    command(&binary, work, folder).spawn().unwrap()
}

/// Waits for a child, and returns the numbers that it said at last.
pub(crate) fn said(child: Child) -> Vec<u64> {
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}");
    let mut lines = text.lines().filter_map(|line| line.split(SAYS).nth(1));
    let words = lines.next_back().unwrap().split_whitespace();
    words.map(|word| word.parse().unwrap()).collect()
}

#[test]
#[ignore = "what the children of the other tests do"]
fn work() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let (work, argument) = work.split_once(' ').unwrap_or((&work, ""));
    match work {
        "rewrap" => storm::rewrap(&folder, argument),
        "memory" => memory::work(&folder, argument),
        "unreadable" => roots::as_nobody(&folder),
        other => panic!("no such work: {other}"),
    }
}
