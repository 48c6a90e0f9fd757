//! Records of three sizes by every road: `cargo bench --bench records`, and again with `--features aws-lc`.

#![allow(missing_docs)] // of what criterion's macro makes

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use phi_envelope::{Context, EnvelopeCipher, KeyProvider as _, Keyring, KeyringFile, Result};

const SIZES: [(&str, usize); 3] = [("64 B", 64), ("1 KiB", 1 << 10), ("16 KiB", 16 << 10)];
/// Records of a batch; its times are divided by hand, its rates are per record.
const BATCH: usize = 256;

fn records(c: &mut Criterion) {
    SIZES.iter().for_each(|(name, size)| {
        of_size(c, name, *size).unwrap_or_else(|error| eprintln!("{name}: {error}"));
    });
}

fn of_size(c: &mut Criterion, name: &str, size: usize) -> Result<()> {
    let keyring = Keyring::generate("bench")?;
    let cipher = EnvelopeCipher::new(keyring.clone());
    let cached = EnvelopeCipher::builder()
        .encrypt_for(keyring)
        .cache(64, Duration::from_secs(3600))
        .build()?;
    let labels = Context::new().label("table", "observations")?;
    let context = labels.clone().bind("patient", "MRN-0042")?;
    let session = cipher.session(&labels)?;
    let plaintext = vec![0x5A; size];
    let sealed = cipher.encrypt(&plaintext, &context)?;
    let of_session = session.encrypt(&plaintext, &context)?;
    let batch = vec![(&plaintext, &context); BATCH];
    let with_room = || {
        let mut buffer = Vec::with_capacity(size + 512);
        buffer.extend_from_slice(&plaintext);
        buffer
    };

    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group.bench_function("encrypt", |b| {
        b.iter(|| cipher.encrypt(black_box(&plaintext), &context));
    });
    group.bench_function("encrypt_in_place", |b| {
        b.iter_batched(
            with_room,
            |buffer| cipher.encrypt_in_place(buffer, &context),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("session", |b| {
        b.iter(|| session.encrypt(black_box(&plaintext), &context));
    });
    group.bench_function("decrypt", |b| {
        b.iter(|| cipher.decrypt(black_box(&sealed), &context));
    });
    group.bench_function("decrypt_cached", |b| {
        b.iter(|| cached.decrypt(black_box(&of_session), &context));
    });
    group.bench_function("decrypt_in_place", |b| {
        b.iter_batched(
            || sealed.clone(),
            |buffer| cipher.decrypt_in_place(buffer, &context),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("encrypt_batch", |b| {
        b.iter(|| cipher.encrypt_batch(black_box(&batch)));
    });
    group.bench_function("session_batch", |b| {
        b.iter(|| session.encrypt_batch(black_box(&batch)));
    });
    group.finish();
    Ok(())
}

/// What a lease costs: the same record under a keyring in memory, and under one that a file holds.
fn lease(c: &mut Criterion) {
    of_lease(c).unwrap_or_else(|error| eprintln!("lease: {error}"));
}

fn of_lease(c: &mut Criterion) -> Result<()> {
    let folder = tempfile::tempdir().map_err(phi_envelope::Error::Io)?;
    let path = folder.path().join("bench.keyring");
    let file = KeyringFile::create(path, "bench", Keyring::generate("outer")?)?;
    let (memory, held) = (Keyring::generate("bench")?, file.keyring());
    let mut group = c.benchmark_group("lease");
    for (name, keyring) in [("in memory", memory), ("in a file", held)] {
        let cipher = EnvelopeCipher::new(keyring.clone());
        let context = Context::new();
        let session = cipher.session(&context)?;
        let sealed = cipher.encrypt("note", &context)?;
        group.bench_function(format!("confirm, {name}"), |b| {
            b.iter(|| keyring.confirm());
        });
        group.bench_function(format!("session, {name}"), |b| {
            b.iter(|| session.encrypt(black_box("note"), &context));
        });
        group.bench_function(format!("encrypt, {name}"), |b| {
            b.iter(|| cipher.encrypt(black_box("note"), &context));
        });
        group.bench_function(format!("decrypt, {name}"), |b| {
            b.iter(|| cipher.decrypt(black_box(&sealed), &context));
        });
    }
    group.finish();
    Ok(())
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots();
    targets = records, lease
}
criterion_main!(benches);
