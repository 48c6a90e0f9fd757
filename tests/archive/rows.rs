//! Rows moved to a new master key while others write to them: none is lost, none is undone, and each that was not moved is named.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use crate::common::{OpenBook, context, keyring, keyring_of, master_key, sample};
use phi_envelope::{
    Context, EnvelopeCipher, Error, KeyProvider, Keyring, Result,
    archive::{self, RowUpdate, RowsPass, RowsReport},
    error::{AuthenticatedPart, Malformed, RecipientError},
    inspect,
    keys::{DataKey, KeyState, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

/// Rows that are rewrapped at once.
const CHUNK: usize = 256;
const NOTE: &[u8] = b"BP 120/80";

type Row = (u64, Vec<u8>);

/// A table that counts what is written to it.
#[derive(Clone)]
struct Table {
    rows: BTreeMap<u64, Vec<u8>>,
    writes: usize,
}

impl Table {
    fn new(rows: impl IntoIterator<Item = Row>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            writes: 0,
        }
    }

    fn sealed(cipher: &EnvelopeCipher, rows: u64) -> Self {
        Self::new((0..rows).map(|id| (id, seal(cipher))))
    }

    /// `SELECT id, text FROM notes ORDER BY id`
    fn read(&self) -> Vec<Result<Row>> {
        self.rows.clone().into_iter().map(Ok).collect()
    }

    /// `SELECT id, text FROM notes WHERE id IN …`
    fn read_again(&self, ids: &[u64]) -> Vec<Result<Row>> {
        let row = |id: &u64| self.rows.get(id).map(|text| Ok((*id, text.clone())));
        ids.iter().filter_map(row).collect()
    }

    /// `UPDATE notes SET text = :new WHERE id = :id AND text = :old`
    fn swap(&mut self, id: u64, old: &[u8], new: &[u8]) -> Result<RowUpdate> {
        match self.rows.get_mut(&id) {
            Some(text) if text == old => {
                *text = new.to_vec();
                self.writes += 1;
                Ok(RowUpdate::Written)
            }
            _ => Ok(RowUpdate::Conflict),
        }
    }

    fn rewrap(&mut self, cipher: &EnvelopeCipher) -> RowsReport<u64> {
        archive::rewrap_rows(cipher, self.read(), |id, old, new| self.swap(*id, old, new)).unwrap()
    }

    /// Rewraps one row that is to fail, and must then be as it was.
    #[track_caller]
    fn failure_of(envelope: &[u8], cipher: &EnvelopeCipher) -> Error {
        let mut table = Self::new([(7, envelope.to_vec())]);
        let mut report = table.rewrap(cipher);
        assert_eq!((report.done, report.current, table.writes), (0, 0, 0));
        assert_eq!(table.rows[&7], envelope);
        assert!(!report.is_complete());
        assert!(report.changed.is_empty() && !report.stopped);
        let (id, error) = report.failed.pop().unwrap();
        assert_eq!((id, report.failed.len()), (7, 0));
        error
    }
}

fn seal(cipher: &EnvelopeCipher) -> Vec<u8> {
    cipher.encrypt(NOTE, &context()).unwrap()
}

#[track_caller]
fn assert_opens(cipher: &EnvelopeCipher, envelope: &[u8]) {
    assert_eq!(&cipher.decrypt(envelope, &context()).unwrap()[..], NOTE);
}

fn payload(envelope: &[u8]) -> Vec<u8> {
    crate::common::RawHeader::parse(envelope).1
}

#[test]
fn every_row_is_moved_in_its_order_and_what_is_current_is_not_written() {
    let ring = keyring_of(1);
    let cipher = EnvelopeCipher::new(ring.clone());
    let mut table = Table::sealed(&cipher, 1_000);
    ring.rotate_to(master_key(2), "next").unwrap();
    for id in (0..1_000).step_by(3) {
        table.rows.insert(id, seal(&cipher));
    }
    let before = table.clone();
    let new_alone = EnvelopeCipher::new(keyring_of(2));

    // Neither ids nor the closure leave the caller's thread.
    let here = thread::current().id();
    let order = Rc::new(RefCell::new(Vec::new()));
    let rows = before
        .read()
        .into_iter()
        .map(|row| row.map(|(id, text)| (Rc::new(id), text)));
    let report = archive::rewrap_rows(&cipher, rows, |id, old, new| {
        assert_eq!(thread::current().id(), here);
        assert_eq!(old, before.rows[id]);
        order.borrow_mut().push(**id);
        table.swap(**id, old, new)
    })
    .unwrap();
    assert_eq!((report.done, report.current), (666, 334));
    assert!(report.is_complete());
    let moved: Vec<_> = (0..1_000).filter(|id| id % 3 != 0).collect();
    assert_eq!(*order.borrow(), moved);
    for (id, envelope) in &table.rows {
        assert_opens(&new_alone, envelope);
        assert_eq!(payload(envelope), payload(&before.rows[id]));
        let is_current = id % 3 == 0;
        assert_eq!(*envelope == before.rows[id], is_current);
        let generation = inspect(envelope).unwrap().generation;
        assert_eq!(generation, u32::from(!is_current));
    }

    let again = table.rewrap(&cipher);
    assert_eq!((again.done, again.current), (0, 1_000));
    assert_eq!(table.writes, 666);
    let of_nothing = Table::new([]).rewrap(&cipher);
    assert_eq!((of_nothing.done, of_nothing.current), (0, 0));
    assert!(of_nothing.is_complete());
}

#[test]
fn a_row_that_was_written_meanwhile_keeps_what_was_written() {
    let ring = keyring_of(1);
    let cipher = EnvelopeCipher::new(ring.clone());
    let forgotten = EnvelopeCipher::new(keyring_of(1)); // a process that nobody told of the rotation
    let mut table = Table::sealed(&cipher, 600);
    ring.rotate_to(master_key(2), "next").unwrap();
    let written = |by: &EnvelopeCipher| by.encrypt("written meanwhile", &context()).unwrap();

    let mut pass = RowsPass::new(&cipher);
    let page = table.read();
    pass.rewrap(page, |id, old, new| {
        match id % 100 {
            1 => drop(table.rows.insert(*id, written(&cipher))),
            2 => drop(table.rows.insert(*id, written(&forgotten))),
            3 => drop(table.rows.remove(id)),
            _ => {}
        }
        table.swap(*id, old, new)
    })
    .unwrap();
    assert_eq!(pass.report().done, 600 - 18);
    assert!(!pass.report().is_complete());
    let changed = pass.take_changed();
    let expected: Vec<_> = (0..600)
        .filter(|id| (1..=3).contains(&(id % 100)))
        .collect();
    assert_eq!(changed, expected);
    assert!(pass.report().is_complete());

    let page = table.read_again(&changed);
    pass.rewrap(page, |id, old, new| table.swap(*id, old, new))
        .unwrap();
    let report = pass.finish();
    assert_eq!((report.done, report.current), (600 - 18 + 6, 6));
    assert!(report.is_complete());
    assert_eq!(table.rows.len(), 594);
    let new_alone = EnvelopeCipher::new(keyring_of(2));
    for (id, envelope) in &table.rows {
        let plaintext = new_alone.decrypt(envelope, &context()).unwrap();
        let expected = match id % 100 {
            1 | 2 => b"written meanwhile",
            _ => NOTE,
        };
        assert_eq!(&plaintext[..], expected);
    }
}

#[test]
fn what_is_no_envelope_of_a_row_is_left_as_it_is_and_named() {
    use std::io::Write as _;

    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = seal(&cipher);
    let (detached, mut out) = cipher
        .encrypt_writer_detached(Vec::new(), &context())
        .unwrap();
    out.write_all(&sample(10_000)).unwrap();
    let file = cipher.encrypt_writer(Vec::new(), &context()).unwrap();
    let file = file.finish().unwrap();
    let stranger = seal(&EnvelopeCipher::new(keyring()));
    let header = envelope.len() - payload(&envelope).len();
    ring.rotate("next").unwrap();

    let mut hostile = vec![
        Vec::new(),
        b"NULL".to_vec(),
        b"PHIE".to_vec(),
        sample(10_000),
        file,
        [&detached[..], b"x"].concat(),
        stranger,
    ];
    // Shorter than the least payload: what is cut off behind that, shows when the row is opened.
    hostile.extend((0..header + 28).map(|len| envelope[..len].to_vec()));
    hostile.extend((0..8 * header).map(|bit| crate::common::flipped(&envelope, bit)));
    let mut seed = 1_u64;
    hostile.extend((0..500).map(|len| {
        let mut random = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            seed.to_be_bytes()[0]
        };
        (0..len).map(|_| random()).collect()
    }));
    let bad = hostile.len() as u64;
    let mut table = Table::new((0..).zip(hostile));
    let before = table.clone();
    // Whole rows in between.
    table.rows.insert(bad, envelope.clone());
    table.rows.insert(bad + 1, detached);

    let mut pass = RowsPass::new(&cipher).max_failures(usize::MAX);
    let page = table.read();
    pass.rewrap(page, |id, old, new| table.swap(*id, old, new))
        .unwrap();
    let report = pass.finish();
    assert_eq!((report.done, report.current, table.writes), (2, 0, 2));
    assert!(report.changed.is_empty() && !report.stopped);
    let failed: Vec<_> = report.failed.iter().map(|(id, _)| *id).collect();
    assert_eq!(failed, (0..bad).collect::<Vec<_>>());
    for (id, row) in &before.rows {
        assert_eq!(table.rows[id], *row);
    }
    assert_opens(&cipher, &table.rows[&bad]);
    let error = |id: usize| &report.failed[id].1;
    assert!(matches!(error(0), Error::NotAnEnvelope | Error::Truncated));
    assert!(matches!(error(1), Error::NotAnEnvelope));
    assert!(matches!(error(2), Error::Truncated));
    assert!(matches!(
        error(4),
        Error::Malformed(Malformed::OtherKind { .. })
    ));
    assert!(matches!(
        error(5),
        Error::Malformed(Malformed::TrailingBytes)
    ));
    assert!(matches!(error(6), Error::NoMatchingKey { .. }));
    assert!(
        !report
            .failed
            .iter()
            .any(|(_, error)| matches!(error, Error::Misuse(_)))
    );
}

/// Rows of which some are no envelope, and how many of them were taken.
fn spoilt(
    cipher: &EnvelopeCipher,
    rows: u64,
    is_bad: impl Fn(u64) -> bool,
    taken: &Cell<u64>,
) -> impl Iterator<Item = Result<Row>> {
    let good = seal(cipher);
    (0..rows).map(move |id| {
        taken.set(taken.get() + 1);
        Ok((
            id,
            if is_bad(id) {
                b"?".to_vec()
            } else {
                good.clone()
            },
        ))
    })
}

#[test]
fn a_pass_stops_at_the_limit_of_failures_and_says_so() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let taken = Cell::new(0);
    let rows = spoilt(&cipher, 100_000, |_| true, &taken);
    let report = archive::rewrap_rows(&cipher, rows, |_, _, _| Ok(RowUpdate::Written)).unwrap();
    assert_eq!(report.failed.len(), 1_001); // the default, and one more
    assert!(report.stopped && !report.is_complete());
    assert_eq!(taken.get(), 1_024); // whole chunks

    // Over several pages, with whole rows in between.
    taken.set(0);
    let pages: Vec<_> = (0..3)
        .map(|_| spoilt(&cipher, 10, |id| id % 5 == 4, &taken))
        .collect();
    ring.rotate("next").unwrap();
    let mut pass = RowsPass::new(&cipher).max_failures(2);
    let mut swapped = 0;
    let mut stopped = Vec::new();
    for page in pages {
        pass.rewrap(page, |_, _, _| {
            swapped += 1;
            Ok(RowUpdate::Written)
        })
        .unwrap();
        stopped.push(pass.report().stopped);
    }
    assert_eq!(stopped, [false, true, true]);
    assert_eq!(taken.get(), 20); // nothing of the third
    let report = pass.finish();
    let failed: Vec<_> = report.failed.iter().map(|(id, _)| *id).collect();
    assert_eq!(failed, [4, 9, 4]);
    assert_eq!((report.done, swapped), (12, 12)); // and no row after the last failure

    let rows = spoilt(&cipher, 10, |id| id == 5, &taken);
    let mut pass = RowsPass::new(&cipher).max_failures(0);
    pass.rewrap(rows, |_, _, _| Ok(RowUpdate::Written)).unwrap();
    assert!(pass.report().stopped);
    assert_eq!(pass.report().failed.len(), 1);
}

#[derive(Debug, PartialEq)]
enum Database {
    Unreadable(u64),
    Unwritable(u64),
}

#[test]
fn what_the_database_reports_ends_the_call_and_not_the_pass() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = seal(&cipher);
    ring.rotate("next").unwrap();
    let rows = |from: u64| (from..1_000).map(|id| Ok((id, envelope.clone())));

    let mut pass = RowsPass::new(&cipher);
    let done = RefCell::new(Vec::new());
    let swap = |fails_at: u64| {
        let done = &done;
        move |id: &u64, _: &[u8], _: &[u8]| {
            if *id == fails_at {
                return Err(Database::Unwritable(*id));
            }
            done.borrow_mut().push(*id);
            Ok(RowUpdate::Written)
        }
    };
    let ended = pass.rewrap(rows(0), swap(300)).unwrap_err();
    assert_eq!(ended, Database::Unwritable(300));
    assert_eq!(pass.report().done, 300);

    let unreadable = rows(300).take(400).chain([Err(Database::Unreadable(700))]);
    let ended = pass.rewrap(unreadable, swap(u64::MAX)).unwrap_err();
    assert_eq!(ended, Database::Unreadable(700));
    let before = done.borrow().len() as u64;
    assert_eq!(pass.report().done, before);
    assert_eq!(before, 300 + CHUNK as u64); // the rows of a chunk that was not whole are left

    pass.rewrap(rows(before), swap(u64::MAX)).unwrap();
    let report = pass.finish();
    assert_eq!(report.done, 1_000);
    assert!(report.is_complete());
    assert_eq!(*done.borrow(), (0..1_000).collect::<Vec<_>>());
}

/// An id that counts how many of its kind there are.
struct Live<'a>(&'a Cell<usize>);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Makes rows one by one, and asserts that there are never more of them than `most`.
fn counted<'a>(
    rows: u64,
    envelope: &'a [u8],
    live: &'a Cell<usize>,
    most: usize,
) -> impl Iterator<Item = Result<(Live<'a>, Vec<u8>)>> {
    let mut left = Some(rows);
    std::iter::from_fn(move || {
        let before = left.unwrap(); // an iterator that ended is not asked again
        left = before.checked_sub(1);
        left?;
        live.set(live.get() + 1);
        assert!(live.get() <= most);
        Some(Ok((Live(live), envelope.to_vec())))
    })
}

#[test]
fn a_million_rows_are_never_held_at_once() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = seal(&cipher);
    let live = Cell::new(0);
    let rows = counted(1_000_000, &envelope, &live, CHUNK);
    let report = archive::rewrap_rows(&cipher, rows, |_, _, _| Ok(RowUpdate::Conflict)).unwrap();
    assert_eq!(report.current, 1_000_000);
    assert!(report.is_complete());
    drop(report);
    assert_eq!(live.get(), 0);

    ring.rotate("next").unwrap();
    let mut swapped = 0;
    let rows = counted(10_000, &envelope, &live, CHUNK);
    let report = archive::rewrap_rows(&cipher, rows, |_, _, _| {
        swapped += 1;
        Ok(RowUpdate::Written)
    });
    assert_eq!((report.unwrap().done, swapped), (10_000, 10_000));
}

#[test]
fn of_long_rows_fewer_are_held() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let envelope = cipher.encrypt(vec![7; 3 << 20], &context()).unwrap();
    ring.rotate("next").unwrap();
    let live = Cell::new(0);
    let rows = counted(10, &envelope, &live, 3); // 8 MiB and one row more
    let report = archive::rewrap_rows(&cipher, rows, |_, old, new| {
        assert!(payload(old) == payload(new));
        Ok(RowUpdate::Written)
    });
    assert_eq!(report.unwrap().done, 10);
}

#[test]
fn each_recipient_that_has_a_slot_gets_a_new_one() {
    let (ring, safe) = (keyring_of(1), keyring_of(2));
    let both = EnvelopeCipher::builder()
        .encrypt_for(ring.clone())
        .encrypt_for(safe.clone())
        .build()
        .unwrap();
    let rings_alone = seal(&EnvelopeCipher::new(ring.clone()));
    let mut table = Table::new([(1, seal(&both)), (2, rings_alone)]);
    ring.rotate_to(master_key(3), "next").unwrap();
    safe.rotate_to(master_key(4), "next").unwrap();
    let report = table.rewrap(&both);
    assert_eq!(report.done, 2);
    assert!(report.is_complete());

    let opens = |number, id| {
        let cipher = EnvelopeCipher::new(keyring_of(number));
        cipher.decrypt(&table.rows[&id], &context()).is_ok()
    };
    assert_eq!(
        [1, 2, 3, 4].map(|key| opens(key, 1)),
        [false, false, true, true]
    );
    assert_eq!(
        [1, 2, 3, 4].map(|key| opens(key, 2)),
        [false, false, true, false]
    );

    // One of them moves alone.
    safe.rotate_to(master_key(5), "the one after").unwrap();
    let report = table.rewrap(&both);
    assert_eq!((report.done, report.current), (1, 1));
}

#[test]
fn a_compromised_key_is_moved_off_by_whoever_allows_it_alone() {
    let ring = keyring();
    let cipher = EnvelopeCipher::new(ring.clone());
    let stolen = ring.active().unwrap();
    let envelope = seal(&cipher);
    ring.mark_compromised(stolen).unwrap();
    let refused = Table::failure_of(&envelope, &cipher);
    assert!(
        matches!(refused, Error::KeyNotUsable { key_id, state: KeyState::Compromised } if key_id == stolen),
        "{refused:?}"
    );

    let allowing = EnvelopeCipher::builder()
        .encrypt_for(ring)
        .allow_compromised()
        .build()
        .unwrap();
    let mut table = Table::new([(7, envelope)]);
    assert_eq!(table.rewrap(&allowing).done, 1);
    assert_opens(&cipher, &table.rows[&7]);
}

#[test]
fn a_slot_that_a_rewrap_leaves_over_is_a_failure() {
    let (ring, archive) = (keyring(), keyring());
    let both = EnvelopeCipher::builder()
        .encrypt_for(ring.clone())
        .encrypt_for(archive.clone())
        .build()
        .unwrap();
    // The archive only reads here: its slot is known, and stays.
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(ring.clone())
        .decrypt_with(archive.clone())
        .build()
        .unwrap();
    let old = archive.active().unwrap();
    let envelope = seal(&both);
    ring.rotate("next").unwrap();
    let mut table = Table::new([(7, envelope.clone())]);
    assert!(table.rewrap(&cipher).is_complete()); // the archive's key is still the current one
    let current = table.rows[&7].clone();

    archive.rotate("next").unwrap();
    for retire in [
        Keyring::deactivate,
        Keyring::suspend,
        Keyring::destroy_without_evidence,
    ] {
        retire(&archive, old).unwrap();
        // Whether there would be something to replace, or not.
        for row in [&envelope, &current] {
            let left = Table::failure_of(row, &cipher);
            assert!(
                matches!(&left, Error::OutdatedSlot { slot } if slot.key_id == old.as_bytes()),
                "{left:?}"
            );
            assert!(left.to_string().contains(&old.to_string()));
        }
    }
    // To whoever has no key of the archive it is somebody else's slot.
    let mut table = Table::new([(7, envelope.clone())]);
    assert_eq!(table.rewrap(&EnvelopeCipher::new(ring)).done, 1);
    // A slot under a destroyed key is moved by replacing its recipient.
    let left = Table::failure_of(&envelope, &both);
    assert!(
        matches!(left, Error::KeyNotUsable { key_id, .. } if key_id == old),
        "{left:?}"
    );
}

#[test]
fn a_row_without_a_slot_for_any_recipient_is_not_current() {
    let old = keyring();
    let envelope = seal(&EnvelopeCipher::new(old.clone()));
    let new = EnvelopeCipher::builder()
        .encrypt_for(keyring())
        .decrypt_with(old.clone())
        .build()
        .unwrap();
    let reader = EnvelopeCipher::builder().decrypt_with(old).build().unwrap();
    for cipher in [new, reader] {
        let refused = Table::failure_of(&envelope, &cipher);
        assert!(
            matches!(refused, Error::Recipients(RecipientError::Absent)),
            "{refused:?}"
        );
    }
}

/// A provider whose new slots give another data key.
struct Broken(OpenBook);

impl KeyProvider for Broken {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, _: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.0
            .wrap_key(&DataKey::from_bytes_zeroizing(&mut [7; 32]), context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.0.unwrap_key(slot, context)
    }
}

#[test]
fn a_new_slot_that_does_not_open_replaces_nothing() {
    let envelope = seal(&EnvelopeCipher::new(OpenBook::new("old")));
    let broken = Broken(OpenBook::with_older(vec![b"new".to_vec(), b"old".to_vec()]));
    let refused = Table::failure_of(&envelope, &EnvelopeCipher::new(broken));
    assert!(
        matches!(
            refused,
            Error::AuthenticationFailed(AuthenticatedPart::WrappedKey)
        ),
        "{refused:?}"
    );
}

#[test]
fn a_key_service_that_fails_leaves_the_row_and_the_next_pass_moves_it() {
    let book = OpenBook::with_older(vec![b"new".to_vec(), b"old".to_vec()]);
    let mut table = Table::sealed(&EnvelopeCipher::new(OpenBook::new("old")), 3);
    let failing = Arc::new(Unreachable(book.clone()));
    let report = table.rewrap(&EnvelopeCipher::new(failing));
    assert_eq!((report.done, report.failed.len(), table.writes), (0, 3, 0));
    assert!(report.failed.iter().all(|(_, error)| matches!(
        error,
        Error::Provider {
            retryable: true,
            ..
        }
    )));
    let report = table.rewrap(&EnvelopeCipher::new(book));
    assert_eq!(report.done, 3);
    assert!(report.is_complete());
}

/// Knows its slots and cannot reach its service.
struct Unreachable(OpenBook);

impl KeyProvider for Unreachable {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, _: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
        Err(Error::provider(true, "unreachable"))
    }

    fn unwrap_key(&self, _: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        Err(Error::provider(true, "unreachable"))
    }
}

#[test]
fn a_pass_is_sent_to_a_thread_and_tells_nothing_of_its_rows() {
    let cipher = EnvelopeCipher::new(keyring());
    let pass = RowsPass::<String>::new(&cipher);
    let pass = thread::spawn(move || {
        let mut pass = pass;
        let rows = [Ok(("MRN-0042".to_owned(), b"?".to_vec()))];
        pass.rewrap(rows, |_, _, _| Ok::<_, ()>(RowUpdate::Written))
            .unwrap();
        pass
    })
    .join()
    .unwrap();
    assert_eq!(pass.report().failed.len(), 1);
    assert!(!format!("{pass:?}").contains("MRN-0042"));
}

/// A keyring that learns, at its next confirmation, that its active key was destroyed elsewhere.
struct Learning(Keyring);

impl KeyProvider for Learning {
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        self.0.recognize(slot)
    }

    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        self.0.wrap_key(key, context)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        self.0.unwrap_key(slot, context)
    }

    fn confirm(&self) -> Result<()> {
        if self.0.keys().len() == 2 {
            let lost = self.0.active()?;
            self.0.rotate("third")?;
            self.0.destroy_without_evidence(lost)?;
        }
        Ok(())
    }
}

#[test]
fn no_row_is_written_under_a_key_that_is_lost_since_its_chunk_was_rewrapped() {
    let keyring = Keyring::generate("first").unwrap();
    let cipher = EnvelopeCipher::new(Learning(keyring.clone()));
    let row = cipher.encrypt(NOTE, &Context::new()).unwrap();
    keyring.rotate("second").unwrap();
    let rows = (0..3).map(|id| Ok::<_, Error>((id, row.clone())));
    let report =
        archive::rewrap_rows(&cipher, rows, |id, _, _| panic!("row {id} was written")).unwrap();
    assert_eq!((report.done, report.failed.len()), (0, 3));
    for (id, error) in &report.failed {
        assert!(matches!(error, Error::OutdatedSlot { .. }), "{id}: {error}");
    }
}
