//! FORMAT §§9.2, 9.3: the public texts of a keyring's recipients, as far as their ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::derive;
use crate::error::{Malformed, MalformedKeyring, Result};
use crate::format::header::Header;

/// Scheme 0x03: a public key.
const PUBLIC_KEY: u8 = 0x03;
/// Each KEM's name, number, and length of its public key.
const KEMS: [(&str, u16, usize); 2] = [
    ("mlkem768-x25519", 0x647A, 1_216),
    ("mlkem1024-p384", 0x0051, 1_665),
];

/// The ids of public texts.
pub(super) fn check_texts(texts: &[String]) -> Result<Vec<Vec<u8>>> {
    let mut ids = Vec::new();
    for text in texts {
        let id = id(text)?;
        // FORMAT §9.2: an id twice is malformed.
        if ids.contains(&id) {
            return Err(rule(MalformedKeyring::Recipients));
        }
        ids.push(id);
    }
    Ok(ids)
}

// FORMAT §9.2: the header's slots of scheme 0x03 and `recipients` name the same ids; the order is free.
/// Makes sure that the recipients are those that have a slot.
pub(super) fn check_slots(texts: &[String], header: &Header<'_>) -> Result<()> {
    let mut named = check_texts(texts)?;
    let slots = header.slots().filter(|slot| slot.scheme() == PUBLIC_KEY);
    let mut held: Vec<_> = slots.map(|slot| slot.key_id().to_vec()).collect();
    named.sort_unstable();
    held.sort_unstable();
    if named == held {
        Ok(())
    } else {
        Err(rule(MalformedKeyring::RecipientsDiffer))
    }
}

// FORMAT §9.3: `phi-recipient:<kem>:<base64url, unpadded, of public key ‖ first 4 bytes of the id's hash>`; §4: the id is
// u16 KEM ‖ SHA-256("phi-envelope/1 recipient" ‖ 0x00 ‖ u16 KEM ‖ public key).
/// The id of a public text.
pub(super) fn id(text: &str) -> Result<Vec<u8>> {
    let malformed = || rule(MalformedKeyring::Recipients);
    let rest = text.strip_prefix("phi-recipient:").ok_or_else(malformed)?;
    let (kem, key) = rest.split_once(':').ok_or_else(malformed)?;
    let known = KEMS.iter().find(|(name, ..)| *name == kem);
    // FORMAT §9.2: an unknown kem there is "newer".
    let (_, number, len) = known.ok_or_else(|| rule(MalformedKeyring::Version))?;
    let bytes = URL_SAFE_NO_PAD.decode(key).map_err(|_| malformed())?;
    let (key, check) = bytes.split_last_chunk::<4>().ok_or_else(malformed)?;
    let id = derive::recipient_id(*number, key);
    let hash = id.get(2..).unwrap_or_default();
    if key.len() != *len || !hash.starts_with(check) {
        return Err(malformed());
    }
    Ok(id.to_vec())
}

fn rule(rule: MalformedKeyring) -> crate::error::Error {
    Malformed::Keyring(rule).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kem: &str, key: &[u8]) -> String {
        let (_, number, _) = KEMS.iter().find(|(name, ..)| *name == kem).unwrap();
        let id = derive::recipient_id(*number, key);
        let bytes = [key, &id[2..6]].concat();
        format!("phi-recipient:{kem}:{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    #[test]
    fn a_public_text_has_an_id_of_34_bytes() {
        let good = text("mlkem768-x25519", &[7; 1_216]);
        let id = id(&good).unwrap();
        assert_eq!((id.len(), &id[..2]), (34, &[0x64, 0x7A][..]));
        assert_eq!(
            super::id(&text("mlkem1024-p384", &[7; 1_665])).unwrap()[..2],
            [0, 0x51]
        );
    }

    #[test]
    fn what_is_no_public_text_is_refused() {
        let good = text("mlkem768-x25519", &[7; 1_216]);
        let flipped = good.replacen(":BwcH", ":CwcH", 1);
        assert_ne!(flipped, good);
        for text in [
            "",
            "phi-recipient:",
            "phi-recipient:mlkem768-x25519:",
            &good[1..],
            &format!("{good}="),
            &text("mlkem768-x25519", &[7; 1_215]),
            &flipped,
        ] {
            let error = id(text).unwrap_err();
            assert!(error.to_string().contains("public text"), "{text}: {error}");
        }
        let newer = good.replace("mlkem768-x25519", "mlkem2048-x448");
        assert!(id(&newer).unwrap_err().to_string().contains("version"));
        assert!(check_texts(&[good.clone(), good]).is_err());
    }
}
