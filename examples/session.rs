//! Many rows under few data keys. `cargo run --release --example session`

use std::time::{Duration, Instant};

use phi_envelope::{Context, EnvelopeCipher, Keyring, Result, SessionLimits, inspect};

const ROWS: u32 = 100_000;
const TEXT: &str = "BP 124/80 mmHg, seated, left arm";

fn row(number: u32) -> Result<Context> {
    let patient = Context::new().bind("patient", "MRN-0042")?;
    patient.bind("row", number.to_string())
}

fn main() -> Result<()> {
    let keyring = Keyring::generate("ehr-2026")?;
    let cipher = EnvelopeCipher::builder()
        .encrypt_for(keyring.clone())
        .cache(64, Duration::from_secs(300)) // for opening: each data key is unwrapped once
        .build()?;
    let limits = SessionLimits {
        records: 40_000, // and 64 GiB, and one hour
        ..SessionLimits::default()
    };
    let labels = Context::new().label("table", "observations")?;
    let session = cipher.session_within(&labels, limits)?;

    println!("from row  data key                          master key");
    let mut current = None;
    for number in 0..ROWS {
        if number == 60_000 {
            keyring.rotate("ehr-2027")?; // nobody tells the session
        }
        let id = inspect(&session.encrypt(TEXT, &row(number)?)?)?.data_key_id;
        if current.replace(id) != Some(id) {
            let id = u128::from_be_bytes(id);
            println!("{number:<8}  {id:032x}  {}", keyring.active()?);
        }
    }

    println!();
    let each = (0..ROWS).map(|n| cipher.encrypt(TEXT, &row(n)?));
    measure("sealing, a data key each", each)?;
    let each = (0..ROWS).map(|n| session.encrypt(TEXT, &row(n)?));
    let rows = measure("sealing in the session", each)?;
    let each = (0..)
        .zip(&rows)
        .map(|(n, envelope)| cipher.decrypt(envelope, &row(n)?));
    measure("opening, with the cache", each)?;
    Ok(())
}

fn measure<T>(what: &str, each: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let start = Instant::now();
    let all = each.collect();
    let rate = f64::from(ROWS) / start.elapsed().as_secs_f64();
    println!("{what:<25} {rate:>8.0} rows/s on one thread");
    all
}
