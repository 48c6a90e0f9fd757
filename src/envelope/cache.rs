//! Data keys that were unwrapped before, for a while.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::open::DataKeyState;
use crate::format::slot::Slot;
use crate::keys::UnwrapContext;

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
    pub(super) context: &'a UnwrapContext<'a>,
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
