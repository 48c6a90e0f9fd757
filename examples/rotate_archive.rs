//! An archive of sealed files moved to a new master key, and the old key retired with proof.
//!
//! `cargo run --release --example rotate_archive`

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use phi_envelope::{
    Context, EnvelopeCipher, KeyringFile, Passphrase,
    archive::{self, FileTree, RetireOptions, RewrapOptions, Shard},
    files::{self, FileOptions},
};

const FILES: usize = 2000;

fn main() -> Result<()> {
    let home = tempfile::tempdir()?;
    let archive = home.path().join("archive");
    let passphrase = Passphrase::new("correct horse battery staple")?;
    let keyring = KeyringFile::create(home.path().join("ehr.keyring"), "ehr-2026", passphrase)?;
    let cipher = EnvelopeCipher::new(keyring.keyring());
    fill(&archive, &cipher)?;
    let old = keyring.keyring().active()?;
    keyring.update(|keys| keys.rotate("ehr-2027"))?;

    println!("== Which keys protect what? Is anything not encrypted?\n");
    let before = archive::inventory(FileTree::new([archive.clone()]))?.finish();
    println!("{}", before.clone().with_keys(&keyring.keyring().keys()));

    println!("== Everything off the old key, by two workers that know nothing of each other\n");
    let began = Instant::now();
    let share = |index| {
        let mine = FileTree::new([archive.clone()]).shard(Shard::new(index, 2)?);
        anyhow::Ok(archive::rewrap(&cipher, mine, RewrapOptions::new())?.finish())
    };
    let (first, second) = std::thread::scope(|scope| {
        let worker = scope.spawn(|| share(0));
        (
            share(1),
            worker.join().unwrap_or_else(|panic| resume_unwind(panic)),
        )
    });
    println!("{}\n{}", first?, second?);
    println!("in {:.2} s\n", began.elapsed().as_secs_f64());

    println!("== What changed since?\n");
    let after = archive::inventory(FileTree::new([archive.clone()]))?.finish();
    println!("{}", after.since(&before));

    println!("== Is it now safe to destroy the old key?\n");
    let evidence = home.path().join("ehr-2026.evidence.phi");
    let places = [&archive];
    let retired = archive::retire(
        &keyring,
        &cipher,
        old,
        &places,
        &evidence,
        RetireOptions::new(),
    )?;
    println!("{}", retired.evidence);
    // The settling time must pass first, and the note that nobody encrypted must go, or be accepted.
    for finding in &retired.evidence.findings {
        println!("{}: {}: {}", finding.class, finding.path, finding.rule);
    }
    println!("destroyed: {}\n", retired.destroyed);

    println!(
        "== A laptop with a copy of the archive was stolen, and the new key: what was readable?\n"
    );
    let stolen = keyring.keyring().active()?;
    let tree = FileTree::new([archive.clone()]);
    println!("{}", archive::exposure(tree, [stolen.into()])?.finish());
    Ok(())
}

/// Seals synthetic notes into nested folders, and forgets to seal one.
fn fill(archive: &Path, cipher: &EnvelopeCipher) -> Result<()> {
    for number in 0..FILES {
        let folder = archive.join(format!("{}/{}", number % 7, number % 31));
        fs::create_dir_all(&folder)?;
        let patient = format!("MRN-{number:06}");
        let context = Context::new()
            .label("archive", "notes")?
            .bind("patient", &patient)?;
        let note = format!("{patient}: synthetic note, BP {}/80", 100 + number % 60);
        let target = folder.join(format!("{number}.phi"));
        if number % 3 == 0 {
            fs::write(target, cipher.encrypt(note, &context)?)?;
        } else {
            let plain = archive.join("note.tmp");
            fs::write(&plain, note)?;
            files::encrypt(cipher, &plain, target, &context, FileOptions::new())?;
            fs::remove_file(plain)?;
        }
    }
    fs::write(archive.join("forgotten.txt"), "a note that nobody sealed")?;
    Ok(())
}
