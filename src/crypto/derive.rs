//! Every derivation of the format, on one page. `Expand256(k, info)` is HKDF-Expand with SHA-256 (RFC 5869 §2.3) to 32
//! bytes, that is `HMAC-SHA-256(k, info ‖ 0x01)`; every info is `label ‖ 0x00 ‖ context`, and no label has two uses.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::mac::{Mac256, Mac384};
use crate::error::{EnvelopeKind, Error};
use crate::secret::Secret;

const RECIPIENT: &[u8] = b"phi-envelope/1 recipient\0";
const WRAP: &[u8] = b"phi-envelope/1 wrap\0";
const WRAP_FILE: &[u8] = b"phi-envelope/1 wrap file\0";
const WRAP_KEY: &[u8] = b"phi-envelope/1 wrap key\0";
const KEY_ID: &[u8] = b"phi-envelope/1 key id\0";
const BINDINGS: &[u8] = b"phi-envelope/1 bindings\0";
const HEADER: &[u8] = b"phi-envelope/1 header\0";
const PAYLOAD: &[u8] = b"phi-envelope/1 payload\0";
/// HKDF-Expand's counter of its first and only block.
const FIRST_BLOCK: &[u8] = &[1];

// FORMAT §4: wrap aad = "phi-envelope/1 wrap" ‖ 0x00 ‖ data key id ‖ labels length ‖ labels for kinds 0x01 to 0x03, and
// "phi-envelope/1 wrap file" ‖ 0x00 ‖ kind ‖ data key id ‖ labels length ‖ labels for kinds 0x04 to 0x0A
/// What a scheme that can authenticate data authenticates beside the data key. `labels` begins with its length.
pub(crate) fn wrap_aad(kind: EnvelopeKind, data_key_id: &[u8; 16], labels: &[u8]) -> Vec<u8> {
    if kind.is_own() {
        [WRAP_FILE, &[kind.byte()], data_key_id, labels].concat()
    } else {
        [WRAP, data_key_id, labels].concat()
    }
}

// FORMAT §4: wrap digest = SHA-256(wrap aad)
/// What stands for the wrap aad where a service limits or logs what it authenticates.
pub(crate) fn wrap_digest(aad: &[u8]) -> [u8; 32] {
    Sha256::digest(aad).into()
}

// FORMAT §4, scheme 0x01: Expand256(master key, "phi-envelope/1 wrap key" ‖ 0x00 ‖ key id ‖ data key id)
/// What `make` makes of the key that wraps one data key under one master key.
pub(crate) fn wrap_key<T>(
    master: &Mac256,
    (key_id, data_key_id): (&[u8; 16], &[u8; 16]),
    make: impl FnOnce(&[u8; 32]) -> T,
) -> T {
    master.made_of(&[WRAP_KEY, key_id, data_key_id, FIRST_BLOCK], make)
}

// FORMAT §4 asks for 16 random bytes as a master key's id. A key that comes without one gets 16 pseudorandom bytes that
// only its holder can compute, so that all who import the key agree: the head of Expand256(master key, "phi-envelope/1 key id" ‖ 0x00).
/// The id of a master key that was imported without one.
pub(crate) fn key_id(master: &Mac256) -> [u8; 16] {
    let expanded = master.key(&[KEY_ID, FIRST_BLOCK]);
    let mut id = [0; 16];
    id.iter_mut()
        .zip(expanded.as_bytes())
        .for_each(|(to, from)| *to = *from);
    id
}

// FORMAT §4, scheme 0x02: kek[32] ‖ check[32] = Argon2id v0x13 (passphrase, salt, m, t, p, 64 bytes, no secret, no data)
/// The key-encryption key and the check value of a passphrase slot, in this order.
pub(crate) fn passphrase(
    passphrase: &[u8],
    salt: &[u8; 16],
    (memory_kib, passes, lanes): (u32, u32, u32),
) -> Result<Secret<64>, Error> {
    let refused = |_| Error::Misuse("Argon2id refuses these cost parameters or this passphrase");
    let params = Params::new(memory_kib, passes, lanes, Some(64)).map_err(refused)?;
    // A system that refuses the memory is an error, and not the end of the process.
    let mut memory = Zeroizing::new(Vec::new());
    memory
        .try_reserve_exact(params.block_count())
        .map_err(|_| Error::Io(std::io::ErrorKind::OutOfMemory.into()))?;
    memory.resize(params.block_count(), Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Secret::try_filled(|out| {
        argon2.hash_password_into_with_memory(passphrase, salt, out, memory.as_mut_slice())
    })
    .map_err(refused)
}

// FORMAT §5: Expand256(data key, "phi-envelope/1 bindings" ‖ 0x00 ‖ message id ‖ bindings encoding)
/// The tag over the bindings.
pub(crate) fn bindings_tag(data_key: &Mac256, message_id: &[u8; 16], bindings: &[u8]) -> [u8; 32] {
    data_key.tag(&[BINDINGS, message_id, bindings, FIRST_BLOCK])
}

// FORMAT §5: Expand256(data key, "phi-envelope/1 header" ‖ 0x00 ‖ every header byte before the tag)
/// The tag over the header.
pub(crate) fn header_tag(data_key: &Mac256, header: &[u8]) -> [u8; 32] {
    data_key.tag(&[HEADER, header, FIRST_BLOCK])
}

// FORMAT §5: Expand256(data key, "phi-envelope/1 payload" ‖ 0x00 ‖ immutable)
/// What `make` makes of the key of the payload. `immutable` comes in two parts.
pub(crate) fn payload_key<T>(
    data_key: &Mac256,
    [head, tail]: [&[u8]; 2],
    make: impl FnOnce(&[u8; 32]) -> T,
) -> T {
    data_key.made_of(&[PAYLOAD, head, tail, FIRST_BLOCK], make)
}

// FORMAT §6: kdf(k, purpose, n) = first n bytes of HMAC-SHA-384(k, params ‖ iv[32] ‖ purpose ‖ AAD ‖ 0x01).
// `prefix` is params ‖ iv.
/// FLOE's header tag.
pub(crate) fn floe_header_tag(key: &Mac384, prefix: &[u8], aad: &[u8]) -> [u8; 32] {
    let full = key.tag(&[prefix, b"HEADER_TAG:", aad, FIRST_BLOCK]);
    let mut tag = [0; 32];
    tag.iter_mut().zip(full).for_each(|(to, from)| *to = from);
    tag
}

/// FLOE's message key.
pub(crate) fn floe_message_key(key: &Mac384, prefix: &[u8], aad: &[u8]) -> Secret<48> {
    key.key(&[prefix, b"MESSAGE_KEY:", aad, FIRST_BLOCK])
}

/// FLOE's key for the 2^20 segments that share the high bits of `position`.
pub(crate) fn floe_segment_key(
    message_key: &Mac384,
    prefix: &[u8],
    aad: &[u8],
    position: u64,
) -> Secret<32> {
    let masked = position & !((1 << 20) - 1);
    let full = message_key.key(&[prefix, b"DEK:", &masked.to_be_bytes(), aad, FIRST_BLOCK]);
    Secret::filled(|key| {
        key.iter_mut()
            .zip(full.as_bytes())
            .for_each(|(to, from)| *to = *from);
    })
}

// FORMAT §4, scheme 0x03: u16 KEM ‖ SHA-256("phi-envelope/1 recipient" ‖ 0x00 ‖ u16 KEM ‖ public key)
/// The id of a public key.
pub(crate) fn recipient_id(kem: u16, public_key: &[u8]) -> [u8; 34] {
    let kem = kem.to_be_bytes();
    let hash = Sha256::new_with_prefix(RECIPIENT)
        .chain_update(kem)
        .chain_update(public_key)
        .finalize();
    let mut id = [0; 34];
    let (number, rest) = id.split_at_mut(kem.len());
    number.copy_from_slice(&kem);
    rest.copy_from_slice(&hash);
    id
}
