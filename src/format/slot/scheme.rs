//! FORMAT §4: the schemes, and the lengths and numbers that each demands.

use crate::error::{Error, Malformed, Result, SlotName};
use crate::error::{KEM_P384, KEM_X_WING};
use crate::format::codec::Input;

/// Scheme 0x01: a master key of a keyring.
pub(crate) const KEYRING: u8 = 0x01;
/// Scheme 0x02: a passphrase.
pub(crate) const PASSPHRASE: u8 = 0x02;
/// Scheme 0x03: a public key.
pub(super) const RECIPIENT: u8 = 0x03;
/// Scheme 0x04: AWS KMS.
pub(super) const AWS_KMS: u8 = 0x04;
/// Scheme 0x05: Transit.
pub(super) const TRANSIT: u8 = 0x05;
/// Scheme 0x06: PKCS#11.
pub(super) const PKCS11: u8 = 0x06;
/// Scheme 0x07: Google Cloud KMS.
pub(super) const GOOGLE_KMS: u8 = 0x07;
/// Scheme 0x08: Azure Key Vault, whose wrapping binds nothing.
pub(crate) const AZURE_KEY_VAULT: u8 = 0x08;
/// Scheme 0x09: reserved for a passphrase with PBKDF2.
const PBKDF2: u8 = 0x09;
/// Scheme 0x0A: a key of a compartment.
pub(crate) const COMPARTMENT: u8 = 0x0A;
/// Scheme 0xF0: a provider from outside this crate.
pub(crate) const EXTERNAL: u8 = 0xF0;

/// Bytes of what AES-256-GCM makes of a data key: `iv[12] ‖ ct[32] ‖ tag[16]`.
const GCM_WRAPPED: usize = 60;

/// Says whether a key service is asked for slots of this scheme.
pub(super) fn asks_service(scheme: u8) -> bool {
    matches!(scheme, AWS_KMS | TRANSIT | GOOGLE_KMS | AZURE_KEY_VAULT)
}

/// Says whether slots of this scheme count as a header's one passphrase slot.
pub(super) fn is_passphrase(scheme: u8) -> bool {
    matches!(scheme, PASSPHRASE | PBKDF2)
}

/// The Argon2id costs that a passphrase slot states: memory in KiB, passes, lanes.
pub(crate) fn passphrase_costs(wrapped: &[u8]) -> Result<(u32, u32, u32)> {
    let mut input = Input::new(wrapped);
    Ok((input.u32()?, input.u32()?, input.u32()?))
}

// FORMAT §4, scheme 0x02: all but 8p ≤ m ≤ 1,048,576, 1 ≤ t ≤ 16, 1 ≤ p ≤ 16, m·t ≤ 1,048,576 is malformed.
pub(crate) fn check_passphrase_costs((memory_kib, passes, lanes): (u32, u32, u32)) -> Result<()> {
    let (m, t, p) = (u64::from(memory_kib), u64::from(passes), u64::from(lanes));
    let within = 8 * p <= m
        && m <= 1_048_576
        && (1..=16).contains(&t)
        && (1..=16).contains(&p)
        && m * t <= 1_048_576;
    if within {
        Ok(())
    } else {
        Err(Malformed::PassphraseCosts.into())
    }
}

// FORMAT §4: the exact lengths of each scheme. A scheme that this version does not know is no error.
/// Checks what the key id and the wrapped key of a slot must be for its scheme.
pub(super) fn check(scheme: u8, key_id: &[u8], wrapped: &[u8]) -> Result<()> {
    let name = SlotName::parse(scheme, key_id)?;
    let len = match name {
        SlotName::Keyring(_)
        | SlotName::Transit { .. }
        | SlotName::Pkcs11 { .. }
        | SlotName::Compartment { .. } => GCM_WRAPPED,
        SlotName::Passphrase => 104,
        SlotName::Recipient { kem, .. } => recipient_len(kem)?,
        // Their lengths are those of FORMAT §1 alone.
        SlotName::AwsKms { .. }
        | SlotName::GoogleKms { .. }
        | SlotName::AzureKeyVault { .. }
        | SlotName::External { .. }
        | SlotName::Unknown => wrapped.len(),
    };
    if wrapped.len() != len {
        return Err(Malformed::WrappedKeyLength.into());
    }
    if scheme == PASSPHRASE {
        check_passphrase_costs(passphrase_costs(wrapped)?)?;
    }
    Ok(())
}

// FORMAT §4, scheme 0x03: enc ‖ ct[32] ‖ tag[16], where enc has 1,120 bytes for KEM 0x647A and 1,665 for 0x0051
fn recipient_len(kem: u16) -> Result<usize> {
    match kem {
        KEM_X_WING => Ok(1120 + 48),
        KEM_P384 => Ok(1665 + 48),
        _ => Err(Error::from(Malformed::KeyIdLength)),
    }
}
