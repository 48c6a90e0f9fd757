//! What is measured, with whom, and in which order: in each round every cell of a group once.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Result;

use crate::report::Row;
use crate::workers::{Kind, Worker};

const KIB: usize = 1 << 10;

pub(crate) struct Sizes {
    pub(crate) stream: usize,
    pub(crate) file: usize,
    pub(crate) folder: PathBuf,
}

/// Cells that are measured by turns, so that the ratio of any two comes from rounds that lie close together.
struct Group {
    size: usize,
    /// As of the rounds asked for.
    rounds: usize,
    /// A new worker for each measurement.
    fresh: bool,
    cells: Vec<Cell>,
}

struct Cell {
    work: &'static str,
    contestant: &'static str,
    kind: Kind,
}

/// Runs every group that has a work whose name, with its size in front of it, contains `only`.
pub(crate) fn run(only: &str, rounds: usize, sizes: &Sizes) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for mut group in groups(rounds, sizes) {
        group.cells.retain(|cell| {
            let built = cell.kind.is_built();
            built && format!("{} {}", cell.work, group.size).contains(only)
        });
        if !group.cells.is_empty() {
            rows.extend(run_group(&group, sizes)?);
        }
    }
    Ok(rows)
}

fn run_group(group: &Group, sizes: &Sizes) -> Result<Vec<Row>> {
    let mut workers = HashMap::new();
    let mut rows: Vec<_> = (group.cells.iter())
        .map(|cell| Row {
            work: cell.work.to_owned(),
            size: group.size,
            contestant: match (cell.contestant, cell.kind) {
                ("aws-lc-rs", _) | (_, Kind::Default | Kind::Esdk) => cell.contestant.to_owned(),
                (name, Kind::AwsLc) => format!("{name}, aws-lc"),
            },
            samples: Vec::new(),
        })
        .collect();
    for round in 0..=group.rounds {
        for (cell, row) in group.cells.iter().zip(&mut rows) {
            let folder = sizes.folder.display();
            let line = format!(
                "{}\t{}\t{}\t{folder}",
                cell.contestant, cell.work, group.size
            );
            if group.fresh {
                workers.clear();
            }
            if let std::collections::hash_map::Entry::Vacant(free) = workers.entry(cell.kind) {
                free.insert(Worker::start(cell.kind, cell.work.starts_with("record"))?);
            }
            let Some(worker) = workers.get_mut(&cell.kind) else {
                continue;
            };
            let value = worker.ask(&line)?;
            // The first round warms up.
            if round > 0 {
                row.samples.push(value);
            }
        }
        eprint!(
            "\r{} {}: {round} of {}  ",
            rows[0].work, group.size, group.rounds
        );
    }
    eprintln!();
    Ok(rows)
}

fn groups(rounds: usize, sizes: &Sizes) -> Vec<Group> {
    let few = rounds.div_ceil(4);
    let mut groups: Vec<_> = [64, KIB, 16 * KIB]
        .into_iter()
        .map(|size| group(size, rounds, record_cells()))
        .collect();
    for work in ["stream encrypt", "stream decrypt"] {
        groups.push(group(sizes.stream, few, stream_cells(work)));
    }
    for work in ["file encrypt", "file decrypt"] {
        let mut cells = both(work, &["phi", "phi one thread"]);
        cells.extend(defaults(work, &["cp", "age", "tink", "fast-floe"]));
        cells.extend(aws(work, &["fast-floe"]));
        groups.push(group(sizes.file, rounds.div_ceil(6), cells));
    }
    for work in ["file range", "file first byte"] {
        let mut cells = both(work, &["phi"]);
        cells.extend(defaults(work, &["age", "tink", "fast-floe"]));
        groups.push(group(sizes.file, few, cells));
    }
    let work = "file new master key";
    let mut cells = both(work, &["phi"]);
    cells.extend(defaults(work, &["age", "tink", "fast-floe"]));
    cells.extend(aws(work, &["fast-floe"]));
    groups.push(group(sizes.file, rounds.div_ceil(6), cells));
    let work = "memory, file encrypt";
    let cells = defaults(work, &["phi", "phi one thread", "age", "tink", "fast-floe"]);
    let mut memory = group(sizes.file, rounds.div_ceil(12), cells);
    memory.fresh = true;
    groups.push(memory);
    let mut cells = defaults("record bytes added", &["phi", "tink", "age"]);
    cells.push(cell("record bytes added", "aws-esdk", Kind::Esdk));
    groups.push(group(KIB, 1, cells));
    let cells = defaults("file bytes added", &["phi", "tink", "age", "fast-floe"]);
    groups.push(group(sizes.file, 1, cells));
    groups
}

fn record_cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for work in ["record encrypt", "record decrypt"] {
        cells.extend(both(work, &["phi"]));
        cells.extend(defaults(work, &["tink", "age"]));
        cells.push(cell(work, "aws-esdk", Kind::Esdk));
    }
    let work = "record encrypt, batch";
    cells.extend(both(work, &["phi"]));
    cells.extend(defaults(work, &["tink"]));
    for work in ["record encrypt, shared key", "record decrypt, shared key"] {
        cells.extend(both(work, &["phi"]));
        cells.extend(defaults(work, &["tink", "aes-gcm", "aws-lc-rs"]));
    }
    cells.extend(both("record encrypt, shared key, batch", &["phi"]));
    cells
}

fn stream_cells(work: &'static str) -> Vec<Cell> {
    let mut cells = both(work, &["phi", "phi one thread", "fast-floe"]);
    cells.extend(defaults(work, &["age", "tink", "aes-gcm", "aws-lc-rs"]));
    cells
}

fn group(size: usize, rounds: usize, cells: Vec<Cell>) -> Group {
    Group {
        size,
        rounds: rounds.max(1),
        fresh: false,
        cells,
    }
}

fn cell(work: &'static str, contestant: &'static str, kind: Kind) -> Cell {
    Cell {
        work,
        contestant,
        kind,
    }
}

fn defaults(work: &'static str, contestants: &[&'static str]) -> Vec<Cell> {
    let of = |name: &&'static str| cell(work, name, Kind::Default);
    contestants.iter().map(of).collect()
}

fn aws(work: &'static str, contestants: &[&'static str]) -> Vec<Cell> {
    let of = |name: &&'static str| cell(work, name, Kind::AwsLc);
    contestants.iter().map(of).collect()
}

fn both(work: &'static str, contestants: &[&'static str]) -> Vec<Cell> {
    let mut cells = defaults(work, contestants);
    cells.extend(aws(work, contestants));
    cells
}
