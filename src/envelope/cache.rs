//! Data keys that were unwrapped before, for a while.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::open::DataKeyState;
use crate::format::slot::Slot;

/// Bounded by entries and by age. Filled only after a header's tag has verified.
pub(super) struct Cache {
    entries: usize,
    age: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    keys: HashMap<CacheKey, (Instant, Arc<DataKeyState>)>,
    /// Oldest first. A key that was put in twice stands here twice; the older mention is passed over.
    order: VecDeque<(Instant, CacheKey)>,
}

/// Provider, scheme, key id, wrapped bytes and wrap aad.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct CacheKey(Arc<[u8]>);

impl CacheKey {
    /// Of a provider's number among a cipher's readers, an encoded slot (its lengths stand in it) and a wrap aad.
    pub(super) fn new(provider: usize, slot: &Slot<'_>, aad: &[u8]) -> Self {
        Self(
            [&provider.to_be_bytes(), slot.encoded(), aad]
                .concat()
                .into(),
        )
    }

    /// Whether the data key was unwrapped under the key that wrapped this slot.
    fn is_under(&self, provider: usize, slot: &Slot<'_>) -> bool {
        self.0
            .strip_prefix(&provider.to_be_bytes())
            .is_some_and(|encoded| encoded.starts_with(slot.encoded_id()))
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

    pub(super) fn find(&self, key: &CacheKey) -> Option<Arc<DataKeyState>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(self.age);
        kept.keys.get(key).map(|(_, state)| Arc::clone(state))
    }

    pub(super) fn put(&self, key: CacheKey, state: &Arc<DataKeyState>) {
        if self.entries == 0 {
            return;
        }
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(self.age);
        while kept.order.len() >= self.entries {
            kept.drop_oldest();
        }
        kept.order.push_back((now, key.clone()));
        kept.keys.insert(key, (now, Arc::clone(state)));
    }

    /// Drops what was unwrapped under the key that wrapped this slot.
    pub(super) fn forget(&self, provider: usize, slot: &Slot<'_>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keys.retain(|key, _| !key.is_under(provider, slot));
        kept.order.retain(|(_, key)| !key.is_under(provider, slot));
    }
}

impl Kept {
    fn expire(&mut self, age: Duration) {
        while self
            .order
            .front()
            .is_some_and(|(since, _)| since.elapsed() >= age)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((since, key)) = self.order.pop_front()
            && self.keys.get(&key).is_some_and(|(put, _)| *put == since)
        {
            self.keys.remove(&key);
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
