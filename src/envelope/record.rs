//! Records: `Header ‖ iv[12] ‖ ciphertext ‖ tag[16]`, in one piece of memory (FORMAT §2).

use std::borrow::Borrow;

use super::unlock::Opened;
use super::wrap::{Identity, payload_key, seal_header};
use super::{Context, EnvelopeCipher};
use crate::crypto::gcm::{self, GcmKey};
use crate::crypto::mac::Mac256;
use crate::crypto::random::{self, FreshIv, IV_LEN, RecordDraw};
use crate::error::{AuthenticatedPart, Error, Limit, Result};
use crate::format::header::{EnvelopeKind, Header, Immutable};
use crate::format::slot::SlotList;
use crate::parallel::map_all;
use crate::secret::{Plaintext, on_cleared_stack};

/// Bytes that a record's payload is longer than its plaintext.
pub(super) const OVERHEAD: usize = IV_LEN + gcm::TAG_LEN;
/// Room for a header of one keyring slot with bindings, beside its labels.
const HEADER_GUESS: usize = 180;

impl EnvelopeCipher {
    /// Seals a record under a data key of its own.
    ///
    /// At most 2^36 − 32 bytes. The envelope is 175 bytes longer than the plaintext, 207 with bindings, plus its labels (each
    /// takes 3 bytes beside its text) and 81 bytes for each further keyring recipient.
    ///
    /// # Errors
    /// [`Limit::RecordLength`], what a provider reports, or [`Error::Misuse`] without a provider to write for.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Keyring};
    /// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
    /// let context = Context::new().bind("patient", "MRN-0042")?;
    /// let envelope = cipher.encrypt("HbA1c 6.1 %", &context)?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn encrypt(&self, plaintext: impl AsRef<[u8]>, context: &Context) -> Result<Vec<u8>> {
        self.encrypt_drawn(plaintext.as_ref(), context, random::record()?)
    }

    /// Opens a record.
    ///
    /// # Errors
    /// [`Error::ContextMismatch`], [`Error::NoMatchingKey`], [`Error::AuthenticationFailed`] and those of a malformed or
    /// truncated envelope, and what a provider reports. Nothing of the plaintext is returned with any of them.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Error, Keyring};
    /// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
    /// # let context = Context::new().bind("patient", "MRN-0042")?;
    /// # let envelope = cipher.encrypt("HbA1c 6.1 %", &context)?;
    /// assert_eq!(&cipher.decrypt(&envelope, &context)?[..], "HbA1c 6.1 %".as_bytes());
    ///
    /// let elsewhere = Context::new().bind("patient", "MRN-0043")?;
    /// assert!(matches!(cipher.decrypt(&envelope, &elsewhere), Err(Error::ContextMismatch(_))));
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn decrypt(&self, envelope: impl AsRef<[u8]>, context: &Context) -> Result<Plaintext> {
        let (header, payload) = parse(envelope.as_ref())?;
        on_cleared_stack(|| open_payload(&self.open_header_uncleared(header, context)?, &payload))
    }

    /// Seals many records, each under a data key of its own, on all cores and with one call for randomness.
    ///
    /// The envelopes come in the order of the records.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt): the first error in the order of the records, and no envelope.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Keyring};
    /// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
    /// let records = [
    ///     ("BP 120/80", Context::new().bind("patient", "MRN-0042")?),
    ///     ("BP 135/85", Context::new().bind("patient", "MRN-0043")?),
    /// ];
    /// let envelopes = cipher.encrypt_batch(&records)?;
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn encrypt_batch<P, C>(&self, records: &[(P, C)]) -> Result<Vec<Vec<u8>>>
    where
        P: AsRef<[u8]> + Sync,
        C: Borrow<Context> + Sync,
    {
        let drawn = random::records(records.len())?;
        let work = records.iter().zip(drawn).collect();
        map_all(work, |((plaintext, context), draw)| {
            self.encrypt_drawn(plaintext.as_ref(), context.borrow(), draw)
        })
        .into_iter()
        .collect()
    }

    /// Opens many records on all cores. Each has its own result, in the order of the records.
    ///
    /// ```
    /// # use phi_envelope::{Context, EnvelopeCipher, Keyring};
    /// # let cipher = EnvelopeCipher::new(Keyring::generate("doc")?);
    /// # let context = Context::new();
    /// # let rows = cipher.encrypt_batch(&[("a", &context), ("b", &context)])?;
    /// let work: Vec<_> = rows.iter().map(|row| (row, &context)).collect();
    /// for plaintext in cipher.decrypt_batch(&work) {
    ///     println!("{} bytes", plaintext?.len());
    /// }
    /// # Ok::<(), phi_envelope::Error>(())
    /// ```
    pub fn decrypt_batch<E, C>(&self, records: &[(E, C)]) -> Vec<Result<Plaintext>>
    where
        E: AsRef<[u8]> + Sync,
        C: Borrow<Context> + Sync,
    {
        map_all(records.iter().collect(), |(envelope, context)| {
            self.decrypt(envelope, context.borrow())
        })
    }

    /// Seals a record in the caller's buffer, which comes back as the envelope. Room in its capacity for what the envelope is
    /// longer, as [`encrypt`](Self::encrypt) says, saves an allocation.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt); the buffer is then erased and dropped.
    pub fn encrypt_in_place(&self, plaintext: Vec<u8>, context: &Context) -> Result<Vec<u8>> {
        let plaintext = Plaintext::new(plaintext);
        check_length(plaintext.len())?;
        on_cleared_stack(|| self.encrypt_buffer(plaintext, context))
    }

    fn encrypt_buffer(&self, mut plaintext: Plaintext, context: &Context) -> Result<Vec<u8>> {
        let mut header = Vec::with_capacity(HEADER_GUESS + context.encoded_labels().len());
        let begun = self.begin_record(random::record()?, context, &mut header)?;
        let total = header.len() + plaintext.len() + OVERHEAD;
        if plaintext.capacity() < total {
            header.reserve_exact(total - header.len());
            begun.append_payload(&plaintext, &mut header);
            return Ok(header);
        }
        let key = payload_key(&begun.data, &begun.immutable, &header, GcmKey::new);
        let sealed = key.seal_in_place(begun.iv, &[], plaintext.as_mut_slice());
        let mut out = plaintext.into_vec();
        let len = out.len();
        out.resize(total, 0);
        out.copy_within(..len, header.len() + IV_LEN);
        let (head, rest) = out.split_at_mut(header.len());
        head.copy_from_slice(&header);
        rest.split_at_mut(IV_LEN).0.copy_from_slice(&sealed.iv);
        let tag_at = rest.len() - sealed.tag.len();
        rest.split_at_mut(tag_at).1.copy_from_slice(&sealed.tag);
        Ok(out)
    }

    /// Opens a record in the caller's buffer, which comes back as the plaintext. What the buffer held beside it is erased.
    ///
    /// # Errors
    /// As [`decrypt`](Self::decrypt); the buffer is then dropped, without any plaintext in it.
    pub fn decrypt_in_place(&self, envelope: Vec<u8>, context: &Context) -> Result<Plaintext> {
        on_cleared_stack(|| self.decrypt_buffer(envelope, context))
    }

    fn decrypt_buffer(&self, envelope: Vec<u8>, context: &Context) -> Result<Plaintext> {
        let (header, payload) = parse(&envelope)?;
        let (iv, tag) = (*payload.iv, *payload.tag);
        let start = header.bytes().len() + IV_LEN;
        let range = start..start + payload.ciphertext.len();
        let opened = self.open_header_uncleared(header, context)?;
        let key = opened.payload_key(GcmKey::new);
        let mut buffer = Plaintext::new(envelope);
        let ciphertext = buffer
            .as_mut_slice()
            .get_mut(range.clone())
            .unwrap_or_default();
        key.open_in_place(&iv, &[], ciphertext, &tag)
            .map_err(|_| AuthenticatedPart::Record)?;
        buffer.keep(range);
        Ok(buffer)
    }

    fn encrypt_drawn(
        &self,
        plaintext: &[u8],
        context: &Context,
        draw: RecordDraw,
    ) -> Result<Vec<u8>> {
        check_length(plaintext.len())?;
        let guess = HEADER_GUESS + context.encoded_labels().len() + plaintext.len() + OVERHEAD;
        let mut out = Vec::with_capacity(guess);
        on_cleared_stack(|| {
            let begun = self.begin_record(draw, context, &mut out)?;
            begun.append_payload(plaintext, &mut out);
            Ok(out)
        })
    }

    fn begin_record(
        &self,
        draw: RecordDraw,
        context: &Context,
        out: &mut Vec<u8>,
    ) -> Result<Begun> {
        context.check_demands(&self.0.demands)?;
        let (data, data_key_id, slots, iv) =
            self.begin(EnvelopeKind::Record, draw, context.encoded_labels())?;
        let immutable = seal_header(
            &data,
            &identity(&data_key_id, None, context.encoded_labels(), context),
            &slots,
            out,
        )?;
        Ok(Begun {
            data,
            immutable,
            iv: iv.for_another_key(),
        })
    }
}

/// A record whose header is written.
struct Begun {
    data: Mac256,
    immutable: Immutable,
    iv: FreshIv,
}

impl Begun {
    fn append_payload(self, plaintext: &[u8], out: &mut Vec<u8>) {
        append_payload(&self.data, &self.immutable, self.iv, plaintext, out);
    }
}

/// Seals a record whose data key is shared with others.
pub(super) fn seal_message(
    data: &Mac256,
    (data_key_id, message_id): (&[u8; 16], &[u8; 16]),
    (labels, context): (&[u8], &Context),
    slots: &SlotList,
    (plaintext, iv): (&[u8], FreshIv),
) -> Result<Vec<u8>> {
    check_length(plaintext.len())?;
    let guess =
        HEADER_GUESS + 16 + labels.len() + slots.encoded().len() + plaintext.len() + OVERHEAD;
    let mut out = Vec::with_capacity(guess);
    let identity = identity(data_key_id, Some(message_id), labels, context);
    on_cleared_stack(|| {
        let immutable = seal_header(data, &identity, slots, &mut out)?;
        append_payload(data, &immutable, iv, plaintext, &mut out);
        Ok(out)
    })
}

/// A record's payload.
pub(super) struct Payload<'a> {
    iv: &'a [u8; IV_LEN],
    ciphertext: &'a [u8],
    tag: &'a [u8; gcm::TAG_LEN],
}

/// Checks that a payload has room for its IV and its tag.
pub(super) fn check_payload(payload: &[u8]) -> Result<()> {
    split_payload(payload).map(drop)
}

/// The header and payload of a record.
pub(super) fn parse(envelope: &[u8]) -> Result<(Header<'_>, Payload<'_>)> {
    let (header, payload) = Header::parse(envelope)?;
    if header.kind() != EnvelopeKind::Record {
        return Err(header.other_kind(EnvelopeKind::Record));
    }
    Ok((header, split_payload(payload)?))
}

fn split_payload(payload: &[u8]) -> Result<Payload<'_>> {
    let (iv, rest) = payload
        .split_first_chunk()
        .ok_or_else(|| Error::Truncated)?;
    let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(|| Error::Truncated)?;
    Ok(Payload {
        iv,
        ciphertext,
        tag,
    })
}

// FORMAT §2: files of this crate's own are laid out as a record, each with a kind.
/// The header and payload of a file of this kind.
pub(super) fn parse_own(bytes: &[u8], kind: EnvelopeKind) -> Result<(Header<'_>, Payload<'_>)> {
    let (header, payload) = Header::parse(bytes)?;
    if header.kind() != kind {
        return Err(header.other_kind(kind));
    }
    Ok((header, split_payload(payload)?))
}

/// A record's plaintext.
pub(super) fn open_payload(opened: &Opened<'_>, payload: &Payload<'_>) -> Result<Plaintext> {
    let key = opened.payload_key(GcmKey::new);
    // Copied and opened in place: a copy costs what zeroing does, and comes out of the allocator's thread cache.
    let mut plaintext = Plaintext::new(payload.ciphertext.to_vec());
    key.open_in_place(payload.iv, &[], plaintext.as_mut_slice(), payload.tag)
        .map_err(|_| AuthenticatedPart::Record)?;
    Ok(plaintext)
}

fn identity<'a>(
    data_key_id: &'a [u8; 16],
    message_id: Option<&'a [u8; 16]>,
    labels: &'a [u8],
    context: &'a Context,
) -> Identity<'a> {
    Identity {
        kind: EnvelopeKind::Record,
        generation: 0,
        block_length: 0,
        data_key_id,
        message_id,
        labels,
        bindings: context.encoded_bindings(),
    }
}

/// Appends `iv ‖ ciphertext ‖ tag`.
pub(super) fn append_payload(
    data: &Mac256,
    immutable: &Immutable,
    iv: FreshIv,
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    let key = payload_key(data, immutable, out, GcmKey::new);
    let iv_at = out.len();
    let start = iv_at + IV_LEN;
    out.resize(start + plaintext.len(), 0);
    let (before, ciphertext) = out.split_at_mut(start);
    let sealed = key.seal_into(iv, &[], plaintext, ciphertext);
    before.split_at_mut(iv_at).1.copy_from_slice(&sealed.iv);
    out.extend_from_slice(&sealed.tag);
}

// FORMAT §1
fn check_length(len: usize) -> Result<()> {
    match u64::try_from(len) {
        Ok(len) if len <= gcm::MAX_PLAINTEXT => Ok(()),
        _ => Err(Limit::RecordLength.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_2_pow_36_less_32_bytes() {
        let most = usize::try_from(gcm::MAX_PLAINTEXT).unwrap();
        assert_eq!(most, 68_719_476_704);
        assert!(check_length(most).is_ok());
        assert!(matches!(
            check_length(most + 1),
            Err(Error::LimitExceeded(Limit::RecordLength))
        ));
    }
}
