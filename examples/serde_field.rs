//! A sealed field in a struct of your own, to JSON and back.
//!
//! `cargo run --example serde_field`

use std::error::Error;

use phi_envelope::{Context, Envelope, EnvelopeCipher, Keyring, Plaintext, Result};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Patient {
    mrn: String,
    clinic: String,
    /// Text in JSON, bytes in a binary format.
    ssn: Envelope,
}

impl Patient {
    fn new(cipher: &EnvelopeCipher, mrn: &str, ssn: &str) -> Result<Self> {
        Ok(Self {
            mrn: mrn.to_owned(),
            clinic: "clinic-7".to_owned(),
            ssn: cipher.encrypt(ssn, &context(mrn)?)?.try_into()?,
        })
    }

    fn ssn(&self, cipher: &EnvelopeCipher) -> Result<Plaintext> {
        cipher.decrypt(&self.ssn, &context(&self.mrn)?)
    }
}

/// What the field belongs to, said once for the way in and the way out.
fn context(mrn: &str) -> Result<Context> {
    Context::new()
        .label("field", "patient.ssn")?
        .bind("patient", mrn)
}

fn main() -> Result<(), Box<dyn Error>> {
    let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);
    let patient = Patient::new(&cipher, "MRN-0042", "987-65-4320")?;
    let json = serde_json::to_string_pretty(&patient)?;
    println!("{json}\n");

    let mut patient: Patient = serde_json::from_str(&json)?;
    let ssn = patient.ssn(&cipher)?;
    println!("as it was written         {}", std::str::from_utf8(&ssn)?);

    // Reading checks the form, so what was never sealed is noticed.
    let forgotten = r#"{"mrn": "MRN-0044", "clinic": "clinic-7", "ssn": "987-65-4321"}"#;
    let error = serde_json::from_str::<Patient>(forgotten).err();
    println!("a field never sealed      {}", error.ok_or("read")?);

    // Opening checks the rest.
    patient.mrn = "MRN-0043".to_owned();
    let error = patient.ssn(&cipher).err();
    println!("under another's number    {}", error.ok_or("opened")?);
    Ok(())
}
