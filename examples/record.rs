//! A database field: a clinical note as text in a column, bound to its patient and to its row.
//!
//! `cargo run --example record`

use std::error::Error;

use phi_envelope::{Context, Envelope, EnvelopeCipher, Keyring, Result, inspect};

const NOTE: &str = "Reports chest tightness on exertion since Monday. ECG ordered.";

/// What a note belongs to. The label is public; the bindings are stored nowhere: the row's own columns bring them.
fn context(patient: &str, row: u64) -> Result<Context> {
    Context::new()
        .label("field", "notes.text")?
        .bind("patient", patient)?
        .bind("row", row.to_string())
}

fn main() -> Result<(), Box<dyn Error>> {
    // A service would open a `KeyringFile`; a keyring in memory is gone at the end.
    let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);

    let sealed = cipher.encrypt(NOTE, &context("MRN-0042", 17)?)?;
    let column = Envelope::from_bytes(sealed)?.to_string();
    let (from, to) = (NOTE.len(), column.len());
    println!("A note of {from} bytes becomes a column of {to} characters:\n");
    println!("  patient   row  text");
    println!("  MRN-0042   17  {column:.44}…\n");

    let stored: Envelope = column.parse()?;
    for (what, patient, row) in [
        ("where it was written", "MRN-0042", 17),
        ("copied to another patient", "MRN-0043", 17),
        ("copied to another row", "MRN-0042", 18),
    ] {
        match cipher.decrypt(&stored, &context(patient, row)?) {
            Ok(note) => println!("  {what:<26} {}", std::str::from_utf8(&note)?),
            Err(error) => println!("  {what:<26} {error}"),
        }
    }

    let mut changed = stored.clone().into_bytes();
    changed.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
    let error = cipher.decrypt(changed, &context("MRN-0042", 17)?).err();
    println!("  one bit changed            {}\n", error.ok_or("opened")?);

    println!("Whoever holds the database sees, without a key:\n");
    let seen = inspect(stored.as_bytes())?;
    println!("  labels      {:?}", seen.labels);
    println!("  bindings    that there are some: {}", seen.has_bindings);
    seen.slots
        .iter()
        .for_each(|slot| println!("  opens with  {slot}"));
    Ok(())
}
