//! A table of 100,000 sealed notes is moved to a new master key while another connection keeps writing to it.
//!
//! `cargo run --release`, in this folder.

#![allow(clippy::indexing_slicing)] // ids are below the number of rows

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use phi_envelope::{
    Context, EnvelopeCipher, Keyring,
    archive::{RowUpdate, RowsPass, RowsReport},
};
use rand::{TryRng as _, rngs::SysRng};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

const ROWS: u32 = 100_000;
const PAGE: u32 = 1_000;
/// Between two pages, so that whoever waits to write has a turn.
const PAUSE: Duration = Duration::from_millis(5);

/// An id, and the sealed note.
type Row = (u32, Vec<u8>);

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?; // gone at the end
    let path = folder.path().join("clinic.sqlite");
    let keyring = Keyring::generate("ehr-2026")?; // a service opens a `KeyringFile`
    let cipher = EnvelopeCipher::new(keyring.clone()); // sees every change of the keyring

    let began = Instant::now();
    insert(&path, &cipher)?;
    println!(
        "{ROWS} notes, each sealed for its patient alone, inserted in {:.1} s",
        began.elapsed().as_secs_f64()
    );

    let application = Application::default();
    let old = keyring.active()?;
    let last_written = thread::scope(|scope| {
        let running = scope.spawn(|| application.run(&path, &cipher));
        while application.writes() < 1_000 && !running.is_finished() {
            thread::yield_now();
        }
        let rotated = rotate(&path, &cipher, &keyring, &application);
        application.stop.store(true, Ordering::Relaxed);
        let last_written = running
            .join()
            .map_err(|_| anyhow!("the application panicked"))?;
        rotated.and(last_written)
    })?;

    keyring.destroy_without_evidence(old)?;
    let opened = open_all(&path, &cipher, &last_written)?;
    println!("the key of 2026 is destroyed; {opened} notes open, each as it was last written");
    Ok(())
}

/// What the note of a row says after so many changes.
fn text(id: u32, version: u32) -> String {
    format!("Note {id}, change {version}: BP 124/80 mmHg, seated, left arm.")
}

/// What a row opens with. A rotation needs none of it.
fn context(id: u32) -> Result<Context> {
    let labels = Context::new().label("table", "notes")?;
    Ok(labels.bind("patient", format!("MRN-{id:06}"))?)
}

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?; // readers and one writer at a time
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.busy_timeout(Duration::from_secs(30))?;
    Ok(connection)
}

fn insert(path: &Path, cipher: &EnvelopeCipher) -> Result<()> {
    let mut connection = connect(path)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch("CREATE TABLE notes (id INTEGER PRIMARY KEY, text BLOB NOT NULL)")?;
    let mut insert = transaction.prepare("INSERT INTO notes (id, text) VALUES (?1, ?2)")?;
    for first in (0..ROWS).step_by(10_000) {
        let ids = first..ROWS.min(first + 10_000);
        let notes: Vec<_> = ids
            .clone()
            .map(|id| Ok((text(id, 0), context(id)?)))
            .collect::<Result<_>>()?;
        for (id, note) in ids.zip(cipher.encrypt_batch(&notes)?) {
            insert.execute((id, note))?;
        }
    }
    drop(insert);
    Ok(transaction.commit()?)
}

/// Changes notes at random until it is told to stop, and knows nothing of a rotation.
#[derive(Default)]
struct Application {
    writes: AtomicU32,
    stop: AtomicBool,
}

impl Application {
    /// Returns how often each note was changed.
    fn run(&self, path: &Path, cipher: &EnvelopeCipher) -> Result<Vec<u32>> {
        let connection = connect(path)?;
        let mut update = connection.prepare("UPDATE notes SET text = ?2 WHERE id = ?1")?;
        let mut versions = vec![0; ROWS as usize];
        while !self.stop.load(Ordering::Relaxed) {
            let id = SysRng.try_next_u32()? % ROWS;
            let version = &mut versions[id as usize];
            let note = cipher.encrypt(text(id, *version + 1), &context(id)?)?;
            update.execute((id, note))?;
            *version += 1;
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(versions)
    }

    fn writes(&self) -> u32 {
        self.writes.load(Ordering::Relaxed)
    }
}

/// Gives the keyring a new key and moves the table to it, until a pass finds nothing to do: a note that was sealed under the old
/// key a moment before the rotation may be written after its row was passed.
fn rotate(
    path: &Path,
    cipher: &EnvelopeCipher,
    keyring: &Keyring,
    application: &Application,
) -> Result<()> {
    keyring.rotate("ehr-2027")?;
    println!("rotated to the key of 2027, while the application writes");
    for number in 1..=10 {
        let before = application.writes();
        let Pass {
            report,
            again,
            at_work,
        } = pass(path, cipher)?;
        println!(
            "pass {number}, {:.0} rows a second:",
            f64::from(ROWS) / at_work.as_secs_f64()
        );
        println!("{:>8} moved to the new key", report.done);
        println!("{:>8} under it already", report.current);
        println!("{again:>8} had changed since they were read, and were read again");
        println!("{:>8} failed", report.failed.len());
        println!(
            "{:>8} written by the application meanwhile",
            application.writes() - before
        );
        for (id, error) in report.failed.iter().take(10) {
            println!("row {id}: {error}");
        }
        ensure!(report.is_complete(), "rows are left under the old key");
        if report.done == 0 {
            return Ok(());
        }
    }
    bail!("something goes on sealing under the old key")
}

struct Pass {
    report: RowsReport<u32>,
    /// How many rows were read again.
    again: usize,
    /// Without the pauses.
    at_work: Duration,
}

/// One pass over the table, a transaction a page.
fn pass(path: &Path, cipher: &EnvelopeCipher) -> Result<Pass> {
    let mut connection = connect(path)?;
    let mut pass = RowsPass::new(cipher);
    let (mut again, mut at_work, mut after) = (0, Duration::ZERO, None);
    while !pass.report().stopped {
        let began = Instant::now();
        let mut page = read_page(&connection, after)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        while !page.is_empty() {
            // The page was read outside the transaction: nobody waits for it, and what is written meanwhile stays.
            replace(&mut connection, &mut pass, page)?;
            let changed = pass.take_changed();
            again += changed.len();
            page = read_rows(&connection, &changed)?;
        }
        at_work += began.elapsed();
        thread::sleep(PAUSE);
    }
    Ok(Pass {
        report: pass.finish(),
        again,
        at_work,
    })
}

fn replace(connection: &mut Connection, pass: &mut RowsPass<u32>, page: Vec<Row>) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut update =
        transaction.prepare("UPDATE notes SET text = ?3 WHERE id = ?1 AND text = ?2")?;
    pass.rewrap(page.into_iter().map(Ok), |id, old, new| {
        let rows = update.execute((id, old, new))?;
        anyhow::Ok(if rows == 1 {
            RowUpdate::Written
        } else {
            RowUpdate::Conflict
        })
    })?;
    drop(update);
    Ok(transaction.commit()?)
}

fn read_page(connection: &Connection, after: Option<u32>) -> Result<Vec<Row>> {
    let mut page =
        connection.prepare("SELECT id, text FROM notes WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let rows = page.query_map((after.map_or(-1, i64::from), PAGE), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The rows of these ids that are still there.
fn read_rows(connection: &Connection, ids: &[u32]) -> Result<Vec<Row>> {
    let mut row = connection.prepare("SELECT text FROM notes WHERE id = ?1")?;
    let mut rows = Vec::new();
    for id in ids {
        let text: Option<Vec<u8>> = row.query_row([id], |row| row.get(0)).optional()?;
        rows.extend(text.map(|text| (*id, text)));
    }
    Ok(rows)
}

/// Opens every row and compares it with what was last written to it.
fn open_all(path: &Path, cipher: &EnvelopeCipher, versions: &[u32]) -> Result<usize> {
    let connection = connect(path)?;
    let (mut opened, mut after) = (0, None);
    loop {
        let page = read_page(&connection, after)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        let work: Vec<_> = page
            .iter()
            .map(|(id, note)| Ok((note, context(*id)?)))
            .collect::<Result<_>>()?;
        for ((id, _), plaintext) in page.iter().zip(cipher.decrypt_batch(&work)) {
            let plaintext = plaintext.with_context(|| format!("row {id}"))?;
            let expected = text(*id, versions[*id as usize]);
            ensure!(
                &plaintext[..] == expected.as_bytes(),
                "row {id} is not what was written"
            );
            opened += 1;
        }
    }
    ensure!(opened == versions.len(), "rows are missing");
    Ok(opened)
}
