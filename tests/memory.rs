//! Secrets are gone from the memory of the process once their owners were dropped.
//!
//! The process reads its own memory, all that it may write but the stack of the thread, on which a cipher may leave its last blocks: registers
//! and spilled stack slots are not promised. A secret is only compared in a masked form, so that the search does not
//! find itself, and each search has to find the secret while its owner lives.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test stops where something is not as it says

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

use phi_envelope::{
    Context, EnvelopeCipher, KeyProvider, Keyring, MasterKey, Passphrase, Result,
    keys::{Argon2Costs, DataKey, Recognition, Slot, UnwrapRequest, WrapRequest, WrappedKey},
};

const MASK: u8 = 0x5a;
/// Bytes of a secret that are compared. An allocator writes over the first ones of what was freed.
const WINDOW: usize = 12;

/// One search at a time, and no other test's secrets meanwhile.
static ALONE: Mutex<()> = Mutex::new(());

/// A secret, masked, of bytes that nothing else in the process has.
struct Masked(Vec<u8>);

impl Masked {
    fn new(seed: u32, len: usize) -> Self {
        let mut state = black_box(seed);
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        Self(std::iter::repeat_with(next).take(len).collect())
    }

    fn unmask(&self, out: &mut [u8]) {
        for (to, from) in out.iter_mut().zip(&self.0) {
            *to = from ^ black_box(MASK);
        }
    }

    /// How often a window of the secret stands in memory.
    fn found(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let mut piece = vec![0; 1 << 16];
        let own = piece.as_ptr_range();
        let (own, own_end) = (own.start as u64, own.end as u64);
        let windows = self.0.chunks_exact(WINDOW);
        let some = windows.len().div_ceil(16);
        let windows: Vec<_> = windows.step_by(some).collect();
        let mut found = 0;
        let stack = &raw const found as u64;
        let elsewhere = |(start, end): &(u64, u64)| stack < *start || stack >= *end;
        for (start, end) in writable().into_iter().filter(elsewhere) {
            // Pieces overlap, so that no window falls between two.
            let mut at = start;
            while at < end {
                let len = usize::try_from(end - at).unwrap().min(piece.len());
                if let Ok(read) = memory.read_at(&mut piece[..len], at) {
                    let here = piece[..read].windows(WINDOW).enumerate();
                    found += here
                        .filter(|(offset, bytes)| {
                            let address = at + *offset as u64;
                            (address < own || address >= own_end)
                                && windows.iter().any(|window| same(bytes, window))
                        })
                        .count();
                }
                piece.fill(0);
                at += if len > WINDOW { len - WINDOW + 1 } else { len } as u64;
            }
        }
        found
    }
}

fn same(bytes: &[u8], masked: &[u8]) -> bool {
    let mut pairs = bytes.iter().zip(masked);
    pairs.all(|(byte, masked)| byte ^ MASK == *masked)
}

/// The ranges of addresses that the process may write.
fn writable() -> Vec<(u64, u64)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let ranges = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).unwrap();
        rest.starts_with("rw")
            .then(|| (address(start), address(end)))
    });
    ranges.collect()
}

#[test]
fn a_master_key_is_gone_when_its_keyring_is() {
    let _alone = ALONE.lock().unwrap();
    let secret = Masked::new(0x1234_5678, 32);
    let mut bytes = [0; 32];
    secret.unmask(&mut bytes);
    let keyring = Keyring::from_master_key(MasterKey::from_bytes_zeroizing(&mut bytes), "ehr-2026");
    let cipher = EnvelopeCipher::new(keyring.clone());
    let envelope = cipher.encrypt("note", &Context::new()).unwrap();
    cipher.decrypt(&envelope, &Context::new()).unwrap();
    assert!(secret.found() > 0, "the search finds nothing");
    drop((keyring, cipher));
    assert_eq!(secret.found(), 0);
}

#[test]
fn a_passphrase_is_gone_when_its_provider_is() {
    let _alone = ALONE.lock().unwrap();
    let secret = Masked::new(0x2345_6789, 60);
    let mut text = vec![0; 60];
    secret.unmask(&mut text);
    let costs = Argon2Costs {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };
    let passphrase = Passphrase::new(&text).unwrap().with_costs(costs).unwrap();
    text.fill(0);
    black_box(&text);
    let cipher = EnvelopeCipher::new(passphrase);
    let envelope = cipher.encrypt("note", &Context::new()).unwrap();
    cipher.decrypt(&envelope, &Context::new()).unwrap();
    assert!(secret.found() > 0, "the search finds nothing");
    drop(cipher);
    assert_eq!(secret.found(), 0);
}

#[test]
fn a_decrypted_record_is_gone_when_it_was_dropped() {
    let _alone = ALONE.lock().unwrap();
    let secret = Masked::new(0x3456_789a, 5000);
    let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026").unwrap());
    let mut text = vec![0; 5000];
    secret.unmask(&mut text);
    let envelope = cipher.encrypt(&text, &Context::new()).unwrap();
    text.fill(0);
    black_box(&text);
    assert_eq!(secret.found(), 0, "left by sealing");
    let plaintext = cipher.decrypt(&envelope, &Context::new()).unwrap();
    assert!(secret.found() > 0, "the search finds nothing");
    drop(plaintext);
    assert_eq!(secret.found(), 0);
    let plaintext = cipher.decrypt_in_place(envelope, &Context::new()).unwrap();
    assert!(secret.found() > 0, "the search finds nothing");
    drop(plaintext);
    assert_eq!(secret.found(), 0);
}

/// Wraps by the mask alone, so that a test knows the data key and holds it nowhere in clear.
struct Mask;

impl KeyProvider for Mask {
    fn recognize(&self, _: &Slot<'_>) -> Recognition {
        Recognition::Current
    }

    fn wrap_key(&self, key: &DataKey, _: &WrapRequest<'_>) -> Result<WrappedKey> {
        let masked = key.as_bytes().map(|byte| byte ^ black_box(MASK));
        WrappedKey::external("test.mask", b"1", &masked)
    }

    fn unwrap_key(&self, slot: &Slot<'_>, _: &UnwrapRequest<'_>) -> Result<DataKey> {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(slot.wrapped()) {
            *to = from ^ black_box(MASK);
        }
        Ok(DataKey::from_bytes_zeroizing(&mut key))
    }
}

#[test]
fn a_data_key_is_gone_after_its_envelope_was_sealed_and_opened() {
    let _alone = ALONE.lock().unwrap();
    let cipher = EnvelopeCipher::new(Mask);
    let envelope = cipher.encrypt("note", &Context::new()).unwrap();
    // Before the header tag (32), the IV (12), the ciphertext (4) and the tag (16).
    let end = envelope.len() - 64;
    let secret = Masked(envelope[end - 32..end].to_vec());
    let mut bytes = [0; 32];
    secret.unmask(&mut bytes);
    let held = DataKey::from_bytes_zeroizing(&mut bytes);
    assert!(secret.found() > 0, "the search finds nothing");
    drop(held);
    assert_eq!(secret.found(), 0);
    cipher.decrypt(&envelope, &Context::new()).unwrap();
    assert_eq!(secret.found(), 0);
    let session = cipher.session(&Context::new()).unwrap();
    let envelope = session.encrypt("note", &Context::new()).unwrap();
    let end = envelope.len() - 64;
    let secret = Masked(envelope[end - 32..end].to_vec());
    drop(session);
    assert_eq!(secret.found(), 0);
}
