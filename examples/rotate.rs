//! A keyring over the years: what each change does to its keys, and to what they have sealed.
//!
//! `cargo run --example rotate`

use phi_envelope::{Context, EnvelopeCipher, Error, Keyring, Result};

fn main() -> Result<()> {
    let keyring = Keyring::generate("2024")?;
    let cipher = EnvelopeCipher::new(keyring.clone()); // sees every change
    let context = Context::new().label("kind", "discharge-letter")?;
    let of_2024 = keyring.active()?;
    let mut letter = cipher.encrypt("Discharged in good health.", &context)?;
    let tape = letter.clone(); // a backup that nobody rewraps

    let show = |what: &str, letter: &[u8]| {
        let opens = |envelope: &[u8]| match cipher.decrypt(envelope, &context) {
            Ok(_) => "opens".to_owned(),
            Err(Error::KeyNotUsable { state, .. }) => format!("key {state}"),
            Err(error) => error.to_string(),
        };
        print!("{what:<34}  {:<16}  {:<16}", opens(letter), opens(&tape));
        let keys = keyring.keys();
        keys.iter()
            .for_each(|key| print!("  {} {:<11}", key.label, key.state.to_string()));
        println!();
    };
    println!(
        "{:<34}  {:<16}  {:<16}  keys",
        "", "the letter", "its copy on tape"
    );
    show("2024  a letter is sealed", &letter);

    let of_2025 = keyring.rotate("2025")?;
    show("2025  rotated", &letter);
    letter = cipher.rewrap(&letter)?;
    show("      the letter is rewrapped", &letter);
    keyring.suspend(of_2024)?;
    show("      suspended: who needs 2024?", &letter);
    keyring.resume(of_2024)?;
    show("      resumed, for the tape", &letter);

    keyring.rotate("2026")?;
    show("2026  rotated", &letter);
    keyring.mark_compromised(of_2025)?;
    show("      a laptop with 2025 is stolen", &letter);
    // Not `rewrap`: whoever had the master key and the letter may have kept its data key.
    let rescue = EnvelopeCipher::builder()
        .encrypt_for(keyring.clone())
        .allow_compromised()
        .build()?;
    letter = rescue.reencrypt(&letter, &context)?;
    show("      the letter is re-encrypted", &letter);
    keyring.destroy_without_evidence(of_2025)?;
    show("      2025 is destroyed", &letter);
    keyring.destroy_without_evidence(of_2024)?;
    show("      2024 too: the tape is lost", &letter);
    Ok(())
}
