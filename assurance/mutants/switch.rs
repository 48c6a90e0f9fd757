//! Which mutant is switched on in this process, and which of them it came by. Lives in the mutated copy alone.

use std::{
    env,
    fs::{File, OpenOptions},
    io::Write as _,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

struct Run {
    active: u32,
    trace: Option<Mutex<File>>,
}

static RUN: LazyLock<Run> = LazyLock::new(|| Run {
    active: env::var("MUTANT").map_or(0, |id| id.parse().unwrap()),
    trace: env::var_os("MUTANT_TRACE").map(|path| {
        Mutex::new(OpenOptions::new().create(true).append(true).open(path).unwrap())
    }),
});

static REACHED: [AtomicBool; 1 << 16] = [const { AtomicBool::new(false) }; 1 << 16];

/// Whether the mutant `id` is on, by the variable `MUTANT`. Where `MUTANT_TRACE` names a file, adds the id to it, once.
pub(crate) fn active(id: u32) -> bool {
    let run = &*RUN;
    if let Some(trace) = &run.trace
        && !REACHED[id as usize].swap(true, Ordering::Relaxed)
    {
        writeln!(trace.lock().unwrap(), "{id}").unwrap();
    }
    run.active == id
}
