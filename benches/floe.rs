//! FLOE in memory, beside another implementation over the same `aes-gcm`: 1 MiB and 256 MiB, segments of 64 KiB.

#![allow(missing_docs)] // of what criterion's macro makes
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a benchmark may fail loudly

use std::hint::black_box;
use std::io::{Read, Write};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use phi_envelope::floe::{Key, Reader, SegmentLength, Writer};

const AAD: &[u8] = b"bench";
const KEY: [u8; 32] = [0x42; 32];
const MIB: usize = 1 << 20;

fn floe(criterion: &mut Criterion) {
    for (name, len) in [("1 MiB", MIB), ("256 MiB", 256 * MIB)] {
        let plaintext: Vec<u8> = (0..251).cycle().take(len).collect();
        let key = Key::from_bytes(KEY);
        let length = SegmentLength::DEFAULT;
        let message = phi_envelope::floe::encrypt(&key, AAD, length, &plaintext).unwrap();

        let mut group = group(criterion, &format!("encrypt {name}"), len);
        let mut out = vec![0; message.len()];
        for all in [false, true] {
            group.bench_function(threads(all), |b| {
                b.iter(|| {
                    let mut writer = Writer::new(&mut out[..], &key, AAD, length).unwrap();
                    if !all {
                        writer = writer.single_threaded();
                    }
                    writer.write_all(black_box(&plaintext)).unwrap();
                    writer.finish().unwrap();
                });
            });
        }
        group.bench_function("one call", |b| {
            b.iter(|| {
                phi_envelope::floe::encrypt(&key, AAD, length, black_box(&plaintext)).unwrap()
            });
        });
        let foreign = fast_floe::Key::from_bytes(KEY);
        let parameters = fast_floe::Parameters::with_segment_length(length.get()).unwrap();
        group.bench_function("fast-floe", |b| {
            b.iter(|| {
                let mut writer =
                    fast_floe::io::EncryptWriter::new(&mut out[..], &foreign, AAD, parameters)
                        .unwrap();
                writer.write_all(black_box(&plaintext)).unwrap();
                writer.finish().unwrap();
            });
        });
        group.finish();

        let mut group = self::group(criterion, &format!("decrypt {name}"), len);
        let mut out = vec![0; len + 1];
        for all in [false, true] {
            group.bench_function(threads(all), |b| {
                b.iter(|| {
                    let mut reader = Reader::new(black_box(&message[..]), &key, AAD).unwrap();
                    if !all {
                        reader = reader.single_threaded();
                    }
                    assert_eq!(read_all(reader, &mut out), len);
                });
            });
        }
        group.bench_function("one call", |b| {
            b.iter(|| phi_envelope::floe::decrypt(&key, AAD, black_box(&message)).unwrap());
        });
        group.bench_function("fast-floe", |b| {
            b.iter(|| {
                let message = black_box(&message[..]);
                let reader = fast_floe::io::DecryptReader::new(message, &foreign, AAD).unwrap();
                assert_eq!(read_all(reader, &mut out), len);
            });
        });
        group.finish();
    }
}

/// Reads to the end, and says how much came.
fn read_all(mut reader: impl Read, out: &mut [u8]) -> usize {
    let mut len = 0;
    loop {
        match reader.read(&mut out[len..]).unwrap() {
            0 => return len,
            read => len += read,
        }
    }
}

fn threads(all: bool) -> &'static str {
    if all { "all cores" } else { "one thread" }
}

fn group<'a>(criterion: &'a mut Criterion, name: &str, len: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(u64::try_from(len).unwrap()));
    if len > MIB {
        group.sample_size(10);
    }
    group
}

criterion_group!(benches, floe);
criterion_main!(benches);
