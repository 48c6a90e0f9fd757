//! Computes, from the format alone, every key that stands behind the files that the program left.

use std::fs;
use std::path::Path;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::block_api::{compress256, compress512};
use sha2::{Sha256, Sha384};

use crate::scan::Windows;

type Key = [u8; 32];

/// The keys that open envelopes.
#[derive(Default)]
pub struct Known {
    pub masters: Vec<Key>,
    pub passphrases: Vec<Vec<u8>>,
    pub floe: Vec<Key>,
    pub data_keys: usize,
}

// FORMAT: Expand256(k, label ‖ 0x00 ‖ context)
fn expand256(key: &[u8], label: &str, context: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(label.as_bytes());
    mac.update(&[0]);
    context.iter().for_each(|part| mac.update(part));
    mac.update(&[1]);
    mac.finalize().into_bytes().into()
}

fn hmac384(key: &[u8], parts: &[&[u8]]) -> [u8; 48] {
    let mut mac = Hmac::<Sha384>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// A header, taken apart.
struct Header<'a> {
    kind: u8,
    data_key_id: &'a [u8],
    /// As the format writes them, with their length.
    labels: &'a [u8],
    /// Scheme, key id, wrapped.
    slots: Vec<(u8, &'a [u8], &'a [u8])>,
    immutable: Vec<u8>,
    len: usize,
    block: usize,
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let u16_at = |at: usize| {
            let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
            Some(usize::from(u16::from_be_bytes(bytes)))
        };
        if !bytes.starts_with(b"PHIE\x01") {
            return None;
        }
        let (kind, flags, count) = (*bytes.get(5)?, *bytes.get(6)?, *bytes.get(7)?);
        let block = u32::from_be_bytes(bytes.get(12..16)?.try_into().ok()?);
        let data_key_id = bytes.get(16..32)?;
        let labels_at = if flags & 2 == 0 { 32 } else { 48 };
        let tag_at = labels_at + 2 + u16_at(labels_at)?;
        let mut at = if flags & 1 == 0 { tag_at } else { tag_at + 32 };
        // The payload type: both kinds of stream share one.
        let mut immutable = vec![1, if kind == 3 { 2 } else { kind }, flags];
        immutable.extend_from_slice(bytes.get(16..at)?);
        let mut slots = Vec::new();
        for _ in 0..count {
            let id = (at + 3, u16_at(at + 1)?);
            let wrapped = (id.0 + id.1 + 2, u16_at(id.0 + id.1)?);
            slots.push((
                *bytes.get(at)?,
                bytes.get(id.0..id.0 + id.1)?,
                bytes.get(wrapped.0..wrapped.0 + wrapped.1)?,
            ));
            at = wrapped.0 + wrapped.1;
        }
        Some(Self {
            kind,
            data_key_id,
            labels: bytes.get(labels_at..tag_at)?,
            slots,
            immutable,
            len: at + 32,
            block: block as usize,
        })
    }
}

/// Takes note of all that a folder's files were sealed with.
pub fn learn(folder: &Path, known: &mut Known, windows: &mut Windows) {
    let mut files: Vec<_> = files_of(folder);
    // Keyrings first: their master keys are behind the others.
    files.sort_by_key(|path| path.extension().is_none_or(|end| end != "keyring"));
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".floe") {
            for key in known.floe.clone() {
                learn_floe(name, &key, b"aad", &bytes, windows);
            }
        }
        let Some(header) = Header::parse(&bytes) else {
            continue;
        };
        let Some(data_key) = unwrap(name, &header, known, windows) else {
            assert!(!name.ends_with(".keyring"), "nothing known opens {name}");
            continue;
        };
        known.data_keys += 1;
        learn_key(&format!("data key of {name}"), &data_key, windows);
        add_mac256(
            &format!("HMAC of the data key of {name}"),
            &data_key,
            windows,
        );
        let payload_key = expand256(&data_key, "phi-envelope/1 payload", &[&header.immutable]);
        let what = format!("payload key of {name}");
        match header.kind {
            2 => {
                let floe = &bytes[2 * header.block..];
                learn_floe(&what, &payload_key, &header.immutable, floe, windows);
            }
            3 => {
                let floe = fs::read(path.with_extension("")).unwrap();
                learn_floe(&what, &payload_key, &header.immutable, &floe, windows);
            }
            kind => {
                learn_aes(&what, &payload_key, windows);
                let content = open(&payload_key, &bytes[header.len..], b"");
                let content = content.unwrap_or_else(|| panic!("{what} does not open it"));
                if kind == 4 {
                    learn_keyring(&content, known, windows);
                }
            }
        }
    }
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_of(&path));
        } else {
            found.push(path);
        }
    }
    found
}

// FORMAT §4
fn unwrap(name: &str, header: &Header<'_>, known: &Known, windows: &mut Windows) -> Option<Key> {
    let label: &[u8] = match header.kind {
        1..=3 => b"phi-envelope/1 wrap\0",
        kind => &[b"phi-envelope/1 wrap file\0", &[kind][..]].concat(),
    };
    let aad = [label, header.data_key_id, header.labels].concat();
    let mut found = None;
    for (scheme, id, wrapped) in &header.slots {
        match scheme {
            1 => {
                for master in &known.masters {
                    let context = [id, header.data_key_id];
                    let kek = expand256(master, "phi-envelope/1 wrap key", &context);
                    if let Some(key) = open(&kek, wrapped, &aad) {
                        learn_aes(&format!("wrap key of {name}"), &kek, windows);
                        found = Some(key);
                    }
                }
            }
            2 => {
                for passphrase in &known.passphrases {
                    let keys = argon2id(passphrase, id, wrapped);
                    let kek: Key = keys[..32].try_into().unwrap();
                    learn_aes(&format!("passphrase key of {name}"), &kek, windows);
                    // The check that the slot states stands in a file that anyone may read; that of a wrong passphrase is secret.
                    if keys[32..] == wrapped[12..44] {
                        found = open(&kek, &wrapped[44..], &aad);
                        assert!(found.is_some(), "the passphrase of {name} does not open it");
                    } else {
                        windows.add(
                            format!("check of a wrong passphrase for {name}"),
                            &keys[32..],
                        );
                    }
                }
            }
            _ => {}
        }
    }
    found.map(|key| key.try_into().unwrap())
}

fn argon2id(passphrase: &[u8], salt: &[u8], wrapped: &[u8]) -> [u8; 64] {
    let cost = |at: usize| u32::from_be_bytes(wrapped[at..at + 4].try_into().unwrap());
    let params = argon2::Params::new(cost(0), cost(4), cost(8), Some(64)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut keys = [0; 64];
    argon2
        .hash_password_into(passphrase, salt, &mut keys)
        .unwrap();
    keys
}

/// `iv ‖ ciphertext ‖ tag`, opened.
fn open(key: &Key, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let (iv, msg) = sealed.split_first_chunk::<12>()?;
    let payload = Payload { msg, aad };
    Aes256Gcm::new(key.into()).decrypt(iv.into(), payload).ok()
}

// FORMAT §9
fn learn_keyring(content: &[u8], known: &mut Known, windows: &mut Windows) {
    let content: serde_json::Value = serde_json::from_slice(content).unwrap();
    for key in content["keys"].as_array().unwrap() {
        if let Some(text) = key["key"].as_str() {
            let bytes: Key = STANDARD.decode(text).unwrap().try_into().unwrap();
            if !known.masters.contains(&bytes) {
                learn_master(
                    &format!("master key {}", key["label"]),
                    bytes,
                    known,
                    windows,
                );
            }
        }
    }
}

pub fn learn_master(name: &str, key: Key, known: &mut Known, windows: &mut Windows) {
    learn_key(name, &key, windows);
    // As a keyring's file holds it. The last character of the 43 that are no padding has bits of its own.
    windows.add(
        format!("{name}, base64"),
        &STANDARD.encode(key).as_bytes()[..42],
    );
    add_mac256(&format!("HMAC of {name}"), &key, windows);
    known.masters.push(key);
}

fn learn_key(name: &str, key: &[u8], windows: &mut Windows) {
    windows.add(name, key);
}

/// FORMAT §6.
pub fn learn_floe(name: &str, key: &Key, aad: &[u8], message: &[u8], windows: &mut Windows) {
    let prefix = &message[..42];
    learn_key(name, key, windows);
    add_mac384(&format!("HMAC of {name}"), key, windows);
    let message_key = hmac384(key, &[prefix, b"MESSAGE_KEY:", aad, &[1]]);
    learn_key(
        &format!("FLOE message key of {name}"),
        &message_key,
        windows,
    );
    add_mac384(
        &format!("HMAC of the FLOE message key of {name}"),
        &message_key,
        windows,
    );
    let segments = hmac384(&message_key, &[prefix, b"DEK:", &[0; 8], aad, &[1]]);
    windows.add(
        format!("FLOE segment key of {name}, all of the HMAC"),
        &segments,
    );
    let segment_key = segments[..32].try_into().unwrap();
    learn_aes(
        &format!("FLOE segment key of {name}"),
        &segment_key,
        windows,
    );
}

/// The two states that HMAC-SHA-256 keeps of a key (they compute whatever the key does), and the padded keys.
fn add_mac256(name: &str, key: &[u8], windows: &mut Windows) {
    let initial = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    for (pad, byte) in [("inner", 0x36), ("outer", 0x5c)] {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        windows.add(format!("{name}, {pad} pad"), &block[..key.len()]);
        let mut state = initial;
        compress256(&mut state, &[block]);
        windows.add(
            format!("{name}, {pad} state"),
            &state.map(u32::to_ne_bytes).concat(),
        );
    }
}

fn add_mac384(name: &str, key: &[u8], windows: &mut Windows) {
    let initial = [
        0xcbbb_9d5d_c105_9ed8,
        0x629a_292a_367c_d507,
        0x9159_015a_3070_dd17,
        0x152f_ecd8_f70e_5939,
        0x6733_2667_ffc0_0b31,
        0x8eb4_4a87_6858_1511,
        0xdb0c_2e0d_64f9_8fa7,
        0x47b5_481d_befa_4fa4,
    ];
    for (pad, byte) in [("inner", 0x36), ("outer", 0x5c)] {
        let mut block = [byte; 128];
        block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
        windows.add(format!("{name}, {pad} pad"), &block[..key.len()]);
        let mut state = initial;
        compress512(&mut state, &[block]);
        windows.add(
            format!("{name}, {pad} state"),
            &state.map(u64::to_ne_bytes).concat(),
        );
    }
}

/// An AES-256 key, its round keys, and the key of its GHASH.
fn learn_aes(name: &str, key: &Key, windows: &mut Windows) {
    use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
    learn_key(name, key, windows);
    // The first two round keys are the key.
    windows.add(
        format!("round keys of {name}"),
        &round_keys(key)[32 - super::scan::WINDOW + 1..],
    );
    let mut hash_key = aes::Block::default();
    aes::Aes256::new(key.into()).encrypt_block(&mut hash_key);
    windows.add(format!("GHASH key of {name}"), &hash_key);
    hash_key.reverse();
    windows.add(format!("GHASH key of {name}, reversed"), &hash_key);
}

// FIPS 197 §5.2
fn round_keys(key: &Key) -> Vec<u8> {
    let mut words: Vec<[u8; 4]> = key.as_chunks::<4>().0.to_vec();
    let mut constant = 1;
    for at in 8..60 {
        let mut word: [u8; 4] = words[at - 1];
        if at % 8 == 0 {
            word.rotate_left(1);
            word = word.map(substitute);
            word[0] ^= constant;
            constant = double(constant);
        } else if at % 8 == 4 {
            word = word.map(substitute);
        }
        let before = words[at - 8];
        words.push(std::array::from_fn(|byte| word[byte] ^ before[byte]));
    }
    words.concat()
}

fn double(byte: u8) -> u8 {
    (byte << 1) ^ if byte & 0x80 == 0 { 0 } else { 0x1b }
}

fn times(mut left: u8, right: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        if right >> bit & 1 == 1 {
            product ^= left;
        }
        left = double(left);
    }
    product
}

// FIPS 197 §5.1.1: the inverse, which is the 254th power, and an affine map.
fn substitute(byte: u8) -> u8 {
    let inverse = (0..254).fold(1, |power, _| times(power, byte));
    (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn))
}

#[test]
fn the_key_schedule_is_that_of_fips_197() {
    // FIPS 197, appendix A.3.
    let key: Key = [
        0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77,
        0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14,
        0xdf, 0xf4,
    ];
    let keys = round_keys(&key);
    assert_eq!(keys.len(), 240);
    assert_eq!(keys[32..36], [0x9b, 0xa3, 0x54, 0x11]);
    assert_eq!(keys[236..], [0x70, 0x6c, 0x63, 0x1e]);
}
