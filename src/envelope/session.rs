//! One data key for many records, within limits.

use std::borrow::Borrow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::record::seal_message;
use super::{Context, EnvelopeCipher};
use crate::crypto::mac::Mac256;
use crate::crypto::random::{self, MessageDraw};
use crate::error::{ContextMismatch, Error, Limit, Result};
use crate::format::header::EnvelopeKind;
use crate::format::limits::MAX_MESSAGES;
use crate::format::slot::SlotList;
use crate::keys::{KeyProvider, Recognition};
use crate::parallel::map_all;
use crate::secret::on_cleared_stack;

/// How long a session keeps one data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Records under one data key: 1 to 2^32.
    pub records: u64,
    /// Bytes of plaintext under one data key. A longer record has one of its own.
    pub bytes: u64,
    /// Age of a data key.
    pub age: Duration,
}

impl Default for SessionLimits {
    /// 2^20 records, 64 GiB, one hour.
    fn default() -> Self {
        Self {
            records: 1 << 20,
            bytes: 1 << 36,
            age: Duration::from_secs(3600),
        }
    }
}

/// One data key for many records: several times faster than a data key each. `Send + Sync`, for many threads at once.
///
/// Its labels are fixed when it starts; bindings come with each record. When a limit is reached, or a provider's current
/// key changes, it goes over to a new data key by itself. With a file's keyring, each record counts as a wrap: beyond its lease,
/// a session confirms the keyring, or seals nothing. Its records are opened by [`EnvelopeCipher::decrypt`], one by one.
/// That records share a data key is visible, and whoever gets that data key has the whole session.
///
/// ```
/// use phi_envelope::{Context, EnvelopeCipher, Keyring};
///
/// let cipher = EnvelopeCipher::new(Keyring::generate("ehr-2026")?);
/// let session = cipher.session(&Context::new().label("table", "observations")?)?;
///
/// let row = Context::new().bind("patient", "MRN-0042")?;
/// let envelope = session.encrypt("BP 120/80", &row)?;
/// assert_eq!(&cipher.decrypt(&envelope, &row)?[..], b"BP 120/80");
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub struct Session {
    cipher: EnvelopeCipher,
    /// Labels alone.
    labels: Context,
    limits: SessionLimits,
    current: RwLock<Arc<Epoch>>,
}

/// One data key's time.
struct Epoch {
    data: Mac256,
    data_key_id: [u8; 16],
    slots: SlotList,
    /// For each slot, whether its provider knew it when it was new.
    known: Vec<bool>,
    started: Instant,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl EnvelopeCipher {
    /// Starts a session of these labels, within the default limits.
    ///
    /// # Errors
    /// [`Error::Misuse`] where `labels` has bindings, which belong to a record, and what a provider reports.
    pub fn session(&self, labels: &Context) -> Result<Session> {
        self.session_within(labels, SessionLimits::default())
    }

    /// Starts a session of these labels, within these limits.
    ///
    /// # Errors
    /// As [`session`](Self::session), and [`Limit::Messages`] for limits of no record or of more than 2^32.
    pub fn session_within(&self, labels: &Context, limits: SessionLimits) -> Result<Session> {
        if labels.has_bindings() {
            return Err(Error::Misuse(
                "a session has labels; bindings come with each record",
            ));
        }
        if !(1..=MAX_MESSAGES).contains(&limits.records) {
            return Err(Limit::Messages.into());
        }
        labels.check_demanded_labels(&self.0.demands)?;
        let epoch = Epoch::start(self, labels)?;
        Ok(Session {
            cipher: self.clone(),
            labels: labels.clone(),
            limits,
            current: RwLock::new(Arc::new(epoch)),
        })
    }
}

impl Session {
    /// Seals a record. `context` brings the bindings; its labels are none, or those of the session.
    ///
    /// # Errors
    /// [`ContextMismatch::LabelsDiffer`] for other labels, [`Limit::RecordLength`], and what a provider reports when a new
    /// data key is due.
    pub fn encrypt(&self, plaintext: impl AsRef<[u8]>, context: &Context) -> Result<Vec<u8>> {
        self.encrypt_drawn(plaintext.as_ref(), context, random::message()?, None)
    }

    /// Seals many records on all cores and with one call for randomness. The envelopes come in the order of the records.
    ///
    /// Limits of records and bytes hold for each record; the age of the data key and the providers' current keys are looked at
    /// when the call begins.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt): the first error in the order of the records, and no envelope.
    pub fn encrypt_batch<P, C>(&self, records: &[(P, C)]) -> Result<Vec<Vec<u8>>>
    where
        P: AsRef<[u8]> + Sync,
        C: Borrow<Context> + Sync,
    {
        let drawn = random::messages(records.len())?;
        let work = records.iter().zip(drawn).collect();
        // A record of a session counts as a wrap.
        self.cipher.confirm_writers()?;
        let current = self.current();
        let current = Some(&current).filter(|epoch| epoch.is_current(&self.cipher, &self.limits));
        map_all(work, |((plaintext, context), draw)| {
            self.encrypt_drawn(plaintext.as_ref(), context.borrow(), draw, current)
        })
        .into_iter()
        .collect()
    }

    fn encrypt_drawn(
        &self,
        plaintext: &[u8],
        context: &Context,
        draw: MessageDraw,
        current: Option<&Arc<Epoch>>,
    ) -> Result<Vec<u8>> {
        context.check_demanded_bindings(&self.cipher.0.demands)?;
        let labels = self.labels.encoded_labels();
        if context.has_labels() && context.encoded_labels() != labels {
            return Err(ContextMismatch::LabelsDiffer.into());
        }
        let reserved;
        let epoch = match current {
            Some(epoch) if epoch.admit(in_limits(plaintext)?, &self.limits) => epoch,
            _ => {
                reserved = self.reserve(in_limits(plaintext)?)?;
                &reserved
            }
        };
        seal_message(
            &epoch.data,
            (&epoch.data_key_id, &draw.message_id),
            (labels, context),
            &epoch.slots,
            (plaintext, draw.iv),
        )
    }

    /// An epoch that has room for this record, which now counts in it.
    fn reserve(&self, len: u64) -> Result<Arc<Epoch>> {
        // FORMAT §9.2, Lease: a record of a session counts as a wrap. Before the slots are looked at, which it may outdate.
        self.cipher.confirm_writers()?;
        let epoch = self.current();
        if epoch.is_current(&self.cipher, &self.limits) && epoch.admit(len, &self.limits) {
            return Ok(epoch);
        }
        // Without a lock: a provider may take its time, and what it calls may come back here.
        let fresh = Arc::new(Epoch::start(&self.cipher, &self.labels)?);
        fresh.admit(len, &self.limits);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Where another thread has gone over meanwhile, this record has a data key alone.
        if Arc::ptr_eq(&current, &epoch) {
            *current = Arc::clone(&fresh);
        }
        Ok(fresh)
    }

    fn current(&self) -> Arc<Epoch> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn in_limits(plaintext: &[u8]) -> Result<u64> {
    Ok(u64::try_from(plaintext.len()).map_err(|_| Limit::RecordLength)?)
}

impl Epoch {
    fn start(cipher: &EnvelopeCipher, labels: &Context) -> Result<Self> {
        let (data, data_key_id, slots, _) = on_cleared_stack(|| {
            cipher.begin(
                EnvelopeKind::Record,
                random::record()?,
                labels.encoded_labels(),
            )
        })?;
        let writers = cipher.0.writers.iter();
        let known = slots
            .iter()
            .zip(writers)
            .map(|(slot, provider)| provider.recognize(&slot).is_mine())
            .collect();
        Ok(Self {
            data,
            data_key_id,
            slots,
            known,
            started: Instant::now(),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// Whether the data key is young enough and still wrapped under each provider's current key, as far as the provider knows.
    fn is_current(&self, cipher: &EnvelopeCipher, limits: &SessionLimits) -> bool {
        let writers = cipher.0.writers.iter();
        let mut slots = self.slots.iter().zip(writers).zip(&self.known);
        self.started.elapsed() < limits.age
            && slots.all(
                |((slot, provider), known)| match provider.recognize(&slot) {
                    Recognition::Current => true,
                    // A provider that only wraps need not know its own slots; one that has forgotten a slot has moved off it.
                    Recognition::NotMine => !known,
                    Recognition::Outdated | Recognition::Restricted => false,
                },
            )
    }

    /// Counts a record in, or says that a limit is reached. A new epoch admits any: a record longer than the limit of bytes gets in
    /// alone.
    fn admit(&self, len: u64, limits: &SessionLimits) -> bool {
        let message = |count: u64| {
            count
                .checked_add(1)
                .filter(|count| *count <= limits.records)
        };
        let room = |bytes: u64| {
            let sum = bytes.checked_add(len)?;
            (bytes == 0 || sum <= limits.bytes).then_some(sum)
        };
        let update = |counter: &AtomicU64, next: &dyn Fn(u64) -> Option<u64>| {
            counter
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
                .is_ok()
        };
        update(&self.records, &message) && update(&self.bytes, &room)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("labels", &self.labels)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::header::Header;
    use crate::keys::Keyring;

    fn data_key_id(envelope: &[u8]) -> [u8; 16] {
        *Header::parse(envelope).unwrap().0.data_key_id()
    }

    #[test]
    fn the_last_message_of_a_data_key_is_the_2_pow_32nd() {
        let cipher = EnvelopeCipher::new(Keyring::generate("test").unwrap());
        let limits = SessionLimits {
            records: MAX_MESSAGES,
            ..SessionLimits::default()
        };
        let context = Context::new();
        let session = cipher.session_within(&context, limits).unwrap();
        let first = data_key_id(&session.encrypt("", &context).unwrap());
        session
            .current
            .read()
            .unwrap()
            .records
            .store(MAX_MESSAGES - 1, Ordering::Relaxed);
        assert_eq!(first, data_key_id(&session.encrypt("", &context).unwrap()));
        assert_ne!(first, data_key_id(&session.encrypt("", &context).unwrap()));
    }

    #[test]
    fn counters_at_their_ends_do_not_wrap() {
        let cipher = EnvelopeCipher::new(Keyring::generate("test").unwrap());
        let session = cipher.session(&Context::new()).unwrap();
        let epoch = session.current.read().unwrap();
        let limits = SessionLimits {
            bytes: u64::MAX,
            ..SessionLimits::default()
        };
        epoch.bytes.store(u64::MAX - 1, Ordering::Relaxed);
        assert!(epoch.admit(1, &limits));
        assert!(!epoch.admit(1, &limits));
        epoch.bytes.store(0, Ordering::Relaxed);
        epoch.records.store(u64::MAX, Ordering::Relaxed);
        assert!(!epoch.admit(0, &limits));
    }
}
