//! Data keys that were unwrapped before, for a while.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::unlocked::DataKeyState;
use crate::format::slot::Slot;
use crate::keys::UnwrapRequest;

/// Bounded by entries and by age. Filled only after a header's tag has verified.
pub(super) struct Cache {
    entries: usize,
    age: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By data key id, which is short to hash; most have one entry.
    keys: HashMap<[u8; 16], Vec<Entry>>,
    /// Oldest first, by the number of their entry. What was put in again stands here twice, and is passed over.
    order: VecDeque<(Instant, [u8; 16], u64)>,
    /// Of the next entry.
    number: u64,
}

struct Entry {
    number: u64,
    provider: usize,
    /// Scheme, key id and wrapped bytes: a slot as it is encoded, its lengths included.
    slot: Box<[u8]>,
    /// The wrap aad.
    aad: Box<[u8]>,
    state: Arc<DataKeyState>,
}

/// What an unwrapped data key is found by: all that went into unwrapping it.
#[derive(Clone, Copy)]
pub(super) struct CacheKey<'a> {
    /// The provider's number among a cipher's readers.
    pub(super) provider: usize,
    pub(super) slot: &'a Slot<'a>,
    pub(super) context: &'a UnwrapRequest<'a>,
}

impl Entry {
    fn is(&self, key: &CacheKey<'_>) -> bool {
        self.provider == key.provider
            && *self.slot == *key.slot.encoded()
            && *self.aad == *key.context.aad()
    }

    /// Whether the data key was unwrapped under the key that wrapped this slot.
    fn is_under(&self, provider: usize, slot: &Slot<'_>) -> bool {
        self.provider == provider && self.slot.starts_with(slot.encoded_id())
    }
}

impl Cache {
    pub(super) fn new(entries: usize, age: Duration) -> Self {
        Self {
            entries,
            age,
            kept: Mutex::default(),
        }
    }

    pub(super) fn find(&self, key: &CacheKey<'_>) -> Option<Arc<DataKeyState>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(self.age);
        let entries = kept.keys.get(key.context.data_key_id())?;
        let entry = entries.iter().find(|entry| entry.is(key))?;
        Some(Arc::clone(&entry.state))
    }

    /// Keeps what is not kept yet.
    pub(super) fn keep(&self, key: &CacheKey<'_>, state: &Arc<DataKeyState>) {
        if self.find(key).is_none() {
            self.put(key, state);
        }
    }

    pub(super) fn put(&self, key: &CacheKey<'_>, state: &Arc<DataKeyState>) {
        if self.entries == 0 {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(self.age);
        while kept.order.len() >= self.entries {
            kept.drop_oldest();
        }
        let id = *key.context.data_key_id();
        let number = kept.number;
        kept.number = number.wrapping_add(1);
        kept.order.push_back((now, id, number));
        let entries = kept.keys.entry(id).or_default();
        // Where two threads unwrapped the same, the later one stays.
        entries.retain(|entry| !entry.is(key));
        entries.push(Entry {
            number,
            provider: key.provider,
            slot: key.slot.encoded().into(),
            aad: key.context.aad().into(),
            state: Arc::clone(state),
        });
    }

    /// Drops what was unwrapped under the key that wrapped this slot.
    pub(super) fn forget(&self, provider: usize, slot: &Slot<'_>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { keys, order, .. } = &mut *kept;
        keys.retain(|_, entries| {
            entries.retain(|entry| !entry.is_under(provider, slot));
            !entries.is_empty()
        });
        order.retain(|(_, id, number)| {
            keys.get(id)
                .is_some_and(|entries| entries.iter().any(|entry| entry.number == *number))
        });
    }
}

impl Kept {
    fn expire(&mut self, age: Duration) {
        while self
            .order
            .front()
            .is_some_and(|(since, ..)| since.elapsed() >= age)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, id, number)) = self.order.pop_front()
            && let Some(entries) = self.keys.get_mut(&id)
        {
            entries.retain(|entry| entry.number != number);
            if entries.is_empty() {
                self.keys.remove(&id);
            }
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("entries", &self.entries)
            .field("age", &self.age)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::mac::Mac256;
    use crate::error::EnvelopeKind;
    use crate::format::slot::{KEYRING, WrappedKey};
    use crate::keys::DataKey;

    const HOUR: Duration = Duration::from_secs(3600);
    const ID: [u8; 16] = [1; 16];

    fn state() -> Arc<DataKeyState> {
        let key = DataKey::from_bytes_zeroizing(&mut [7; 32]);
        let mac = Mac256::new(key.as_bytes());
        Arc::new(DataKeyState { key, mac })
    }

    fn wrapped(key_id: u8, wrap: u8) -> WrappedKey {
        WrappedKey::of(KEYRING, &[&[key_id; 16]], &[wrap; 60]).unwrap()
    }

    #[test]
    fn a_key_is_found_for_the_same_provider_slot_and_labels_alone() {
        let cache = Cache::new(4, HOUR);
        let (slot, other_wrap, other_key) = (wrapped(1, 1), wrapped(1, 2), wrapped(2, 1));
        let context = UnwrapRequest::new(EnvelopeKind::Record, &ID, b"\x00\x00", false);
        let other_labels =
            UnwrapRequest::new(EnvelopeKind::Record, &ID, b"\x00\x05\x01k\x00\x01v", false);
        let other_data_key = UnwrapRequest::new(EnvelopeKind::Record, &[2; 16], b"\x00\x00", false);
        let key = |provider, slot: &WrappedKey, context: &UnwrapRequest<'_>, found: bool| {
            let slot = slot.as_slot().unwrap();
            let key = CacheKey {
                provider,
                slot: &slot,
                context,
            };
            assert_eq!(cache.find(&key).is_some(), found);
        };
        let kept = slot.as_slot().unwrap();
        cache.put(
            &CacheKey {
                provider: 0,
                slot: &kept,
                context: &context,
            },
            &state(),
        );
        key(0, &slot, &context, true);
        key(1, &slot, &context, false);
        key(0, &other_wrap, &context, false);
        key(0, &other_key, &context, false);
        key(0, &slot, &other_labels, false);
        key(0, &slot, &other_data_key, false);
    }

    #[test]
    fn forgetting_a_key_drops_all_that_it_wrapped_and_makes_room() {
        let cache = Cache::new(3, HOUR);
        let context = UnwrapRequest::new(EnvelopeKind::Record, &ID, b"\x00\x00", false);
        let [first, again, other] = [wrapped(1, 1), wrapped(1, 2), wrapped(2, 1)];
        let all = [&first, &again, &other].map(|wrapped| wrapped.as_slot().unwrap());
        let key = |slot| CacheKey {
            provider: 0,
            slot,
            context: &context,
        };
        for slot in &all {
            cache.put(&key(slot), &state());
        }
        cache.forget(0, &all[0]);
        assert!(cache.find(&key(&all[0])).is_none());
        assert!(cache.find(&key(&all[1])).is_none());
        assert!(cache.find(&key(&all[2])).is_some());
        // What is kept and the order in which it goes are of one mind.
        assert_eq!(cache.kept.lock().unwrap().order.len(), 1);
        cache.put(&key(&all[0]), &state());
        cache.put(&key(&all[1]), &state());
        assert!(all.iter().all(|slot| cache.find(&key(slot)).is_some()));
    }

    #[test]
    fn what_two_threads_unwrapped_at_once_is_kept_once() {
        let cache = Cache::new(4, HOUR);
        let context = UnwrapRequest::new(EnvelopeKind::Record, &ID, b"\x00\x00", false);
        let [one, other] = [wrapped(1, 1), wrapped(2, 1)];
        let [one, other] = [&one, &other].map(|wrapped| wrapped.as_slot().unwrap());
        let key = |slot| CacheKey {
            provider: 0,
            slot,
            context: &context,
        };
        cache.put(&key(&other), &state());
        cache.put(&key(&one), &state());
        cache.put(&key(&one), &state());
        assert!(cache.find(&key(&one)).is_some() && cache.find(&key(&other)).is_some());
        assert_eq!(cache.kept.lock().unwrap().keys[&ID].len(), 2);
    }
}
