//! FORMAT §4: who is asked for a data key, in which order and how often.

use std::sync::Arc;

use super::EnvelopeCipher;
use super::cache::CacheKey;
use super::unlocked::DataKeyState;
use crate::crypto::mac::Mac256;
use crate::error::{AuthenticatedPart, Error, Limit, Result};
use crate::format::header::Header;
use crate::format::limits::MAX_NETWORK_SLOTS;
use crate::format::slot::{AZURE_KEY_VAULT, EXTERNAL, PASSPHRASE, Slot, SlotList};
use crate::keys::{KeyProvider, Recognition, UnwrapRequest};

/// Slots of one header for which a provider that asks a network is asked at most.
const MOST_CALLS: u8 = 4;

/// One of the three times that a reader goes through the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Those that answer from memory or a local device, and data keys that are remembered.
    Local,
    /// Those that ask a network.
    Network,
    Passphrase,
}

impl Turn {
    // FORMAT §4: a provider that says it asks a network is in the second pass whatever its scheme.
    fn of(slot: &Slot<'_>, provider: &dyn KeyProvider) -> Self {
        if provider.asks_network() {
            Self::Network
        } else if slot.scheme() == PASSPHRASE {
            Self::Passphrase
        } else {
            Self::Local
        }
    }
}

/// What providers said to the slots of one header block, so that they are not asked again for those of the other.
#[derive(Default)]
pub(super) struct Answers(Vec<Answer>);

struct Answer {
    provider: usize,
    /// Scheme, key id and wrapped bytes.
    slot: Box<[u8]>,
    /// The wrap aad.
    aad: Box<[u8]>,
    said: Result<Arc<DataKeyState>, AuthenticatedPart>,
}

impl Answers {
    fn find(&self, key: &CacheKey<'_>) -> Option<Result<Arc<DataKeyState>>> {
        let is = |answer: &&Answer| {
            answer.provider == key.provider
                && *answer.slot == *key.slot.encoded()
                && *answer.aad == *key.context.aad()
        };
        let said = &self.0.iter().find(is)?.said;
        Some(said.clone().map_err(Error::from))
    }

    /// Only what was unwrapped and what failed authentication: all else stops the reader before the other block.
    fn put(&mut self, key: &CacheKey<'_>, said: &Result<Arc<DataKeyState>>) {
        let said = match said {
            Ok(state) => Ok(Arc::clone(state)),
            Err(Error::AuthenticationFailed(part)) => Err(*part),
            Err(_) => return,
        };
        self.0.push(Answer {
            provider: key.provider,
            slot: key.slot.encoded().into(),
            aad: key.context.aad().into(),
            said,
        });
    }
}

/// A slot and a provider that knows it.
struct Pair<'s, 'h> {
    slot: &'s Slot<'h>,
    number: usize,
    provider: &'s dyn KeyProvider,
    recognition: Recognition,
}

/// A header on its way to a data key.
struct Asking<'c, 'h> {
    cipher: &'c EnvelopeCipher,
    header: &'c Header<'h>,
    context: UnwrapRequest<'h>,
    answers: Option<&'c mut Answers>,
    /// The first failed authentication, and the first failure that is none.
    unauthentic: Option<Error>,
    refused: Option<Error>,
    maker_unknown: bool,
    /// Whether an authenticated unwrap succeeded and the header tag is wrong.
    wrong_tag: bool,
    /// Which turns there are beside the first.
    later: (bool, bool),
    /// How often each provider that asks a network was asked.
    calls: Vec<(usize, u8)>,
}

impl EnvelopeCipher {
    // FORMAT §4: a reader goes through the slots in order, three times, and for each slot through its providers in the order given.
    /// The data key under which the header's tag verifies, and the slot that gave it.
    pub(super) fn ask_for_key<'h>(
        &self,
        header: &Header<'h>,
        answers: Option<&mut Answers>,
    ) -> Result<(Arc<DataKeyState>, Slot<'h>)> {
        let mut asking = Asking {
            cipher: self,
            header,
            context: self.unwrap_context(header),
            answers,
            unauthentic: None,
            refused: None,
            maker_unknown: false,
            wrong_tag: false,
            later: (false, false),
            calls: Vec::new(),
        };
        if let Some(found) = asking.go_through(Turn::Local) {
            return Ok(found);
        }
        // FORMAT §4: where an authenticated unwrap succeeded and the tag is wrong, no further slot of the second and third pass
        // is tried.
        for (turn, is_there) in [
            (Turn::Network, asking.later.0),
            (Turn::Passphrase, asking.later.1),
        ] {
            if is_there
                && !asking.wrong_tag
                && let Some(found) = asking.go_through(turn)
            {
                return Ok(found);
            }
        }
        Err(asking.failure())
    }
}

impl EnvelopeCipher {
    // FORMAT §4: a writer refuses a fifth slot of one external name that asks a network.
    pub(super) fn check_network_slots(&self, slots: &SlotList) -> Result<()> {
        let writers = &self.0.writers;
        if !writers.iter().any(|writer| writer.asks_network()) {
            return Ok(());
        }
        for (slot, writer) in slots.iter().zip(writers) {
            let name = slot.external().map(|(name, _)| name);
            let alike = |other: &Slot<'_>| other.external().map(|(name, _)| name) == name;
            if name.is_some()
                && writer.asks_network()
                && slots.iter().filter(alike).count() > MAX_NETWORK_SLOTS
            {
                return Err(Limit::NetworkSlots.into());
            }
        }
        Ok(())
    }
}

impl<'h> Asking<'_, 'h> {
    fn go_through(&mut self, turn: Turn) -> Option<(Arc<DataKeyState>, Slot<'h>)> {
        let is_own = self.header.kind().is_own();
        for slot in self.header.slots() {
            for (number, provider) in self.cipher.0.readers.iter().enumerate() {
                if self.wrong_tag && turn != Turn::Local {
                    return None;
                }
                let provider = provider.as_ref();
                let recognition = provider.recognize(&slot);
                // Who only wraps has nothing to say here.
                if !recognition.is_mine() || !provider.opens() {
                    continue;
                }
                if is_own && !shows_maker(&slot, provider) {
                    self.maker_unknown = true;
                    continue;
                }
                let pair = Pair {
                    slot: &slot,
                    number,
                    provider,
                    recognition,
                };
                if let Some((said, is_kept)) = self.at_its_turn(turn, &pair)
                    && let Some(state) = self.verified(&pair, said, is_kept)
                {
                    return Some((state, slot));
                }
            }
        }
        None
    }

    /// What the provider says to the slot, if this is the time to ask, and whether the cipher keeps it already.
    fn at_its_turn(
        &mut self,
        turn: Turn,
        pair: &Pair<'_, '_>,
    ) -> Option<(Result<Arc<DataKeyState>>, bool)> {
        let its = Turn::of(pair.slot, pair.provider);
        let remembered = self.remembered(pair);
        match (turn, its, remembered) {
            (Turn::Local, _, Some(said)) => Some(said),
            // Another thread may have unwrapped it since the first turn. What was said in that one already is looked at once more, which
            // is no call and says the same.
            (turn, its, Some(said)) if turn == its => Some(said),
            (turn, its, None) if turn == its => Some((self.ask(pair), false)),
            (Turn::Local, Turn::Network, None) => {
                self.later.0 = true;
                None
            }
            (Turn::Local, _, None) => {
                self.later.1 = true;
                None
            }
            _ => None,
        }
    }

    /// What was unwrapped before, or said to the same bytes in the other block.
    fn remembered(&self, pair: &Pair<'_, '_>) -> Option<(Result<Arc<DataKeyState>>, bool)> {
        let key = self.key(pair);
        if let Some(answers) = &self.answers
            && let Some(said) = answers.find(&key)
        {
            return Some((said, false));
        }
        let cache = self.cipher.0.cache.as_ref()?;
        if pair.recognition == Recognition::Restricted {
            // The key changed its state: what it once opened is not to stay open.
            cache.forget(pair.number, pair.slot);
            return None;
        }
        cache.find(&key).map(|state| (Ok(state), true))
    }

    fn ask(&mut self, pair: &Pair<'_, '_>) -> Result<Arc<DataKeyState>> {
        if pair.provider.asks_network() {
            self.count_call(pair.number)?;
        }
        let unwrapped = pair.provider.unwrap_key(pair.slot, &self.context);
        let said = unwrapped.map(|key| {
            let mac = Mac256::new(key.as_bytes());
            Arc::new(DataKeyState { key, mac })
        });
        let key = CacheKey {
            provider: pair.number,
            slot: pair.slot,
            context: &self.context,
        };
        if let Some(answers) = &mut self.answers {
            answers.put(&key, &said);
        }
        said
    }

    // FORMAT §4: each provider that asks a network is asked for at most four slots of each block.
    fn count_call(&mut self, number: usize) -> Result<()> {
        let counted = self.calls.iter_mut().find(|(of, _)| *of == number);
        match counted {
            Some((_, calls)) if *calls == MOST_CALLS => Err(Limit::ProviderCalls.into()),
            Some((_, calls)) => {
                *calls += 1;
                Ok(())
            }
            None => {
                self.calls.push((number, 1));
                Ok(())
            }
        }
    }

    /// The data key, if the header's tag verifies under it; else it is noted why it does not.
    fn verified(
        &mut self,
        pair: &Pair<'_, '_>,
        said: Result<Arc<DataKeyState>>,
        is_kept: bool,
    ) -> Option<Arc<DataKeyState>> {
        let verified = said.and_then(|state| {
            state.verify_tag(self.header).inspect_err(|_| {
                // All but 0x08 and external ones authenticate what they wrap.
                self.wrong_tag |= ![AZURE_KEY_VAULT, EXTERNAL].contains(&pair.slot.scheme());
            })?;
            Ok(state)
        });
        match verified {
            Ok(state) => {
                if let Some(cache) = &self.cipher.0.cache
                    && !is_kept
                    && pair.recognition != Recognition::Restricted
                {
                    cache.keep(&self.key(pair), &state);
                }
                Some(state)
            }
            Err(error @ Error::AuthenticationFailed(_)) => {
                self.unauthentic.get_or_insert(error);
                None
            }
            Err(error) => {
                self.refused.get_or_insert(error);
                None
            }
        }
    }

    fn key<'k>(&'k self, pair: &'k Pair<'_, '_>) -> CacheKey<'k> {
        CacheKey {
            provider: pair.number,
            slot: pair.slot,
            context: &self.context,
        }
    }

    // FORMAT §4: the first failure, in the order tried, that is no failed authentication is reported (a cap too), else the first, or
    // "no matching key" with the ids; where only slots are known that do not show their maker, "maker unknown".
    fn failure(self) -> Error {
        let known = self.refused.or(self.unauthentic);
        known.unwrap_or_else(|| {
            if self.maker_unknown {
                return Error::MakerUnknown {
                    kind: self.header.kind(),
                };
            }
            Error::NoMatchingKey {
                slots: self.header.slots().map(|slot| slot.id()).collect(),
            }
        })
    }
}

// FORMAT §4, "Who made it": kinds 0x04 to 0x0A are believed only by slots of scheme 0x01, 0x02, 0x04 to 0x07, or external ones
// whose provider says that it authenticates the wrap aad.
/// Whether a slot shows who made a file of this crate's own.
pub(super) fn shows_maker(slot: &Slot<'_>, provider: &dyn KeyProvider) -> bool {
    match slot.scheme() {
        0x01 | 0x02 | 0x04..=0x07 => true,
        EXTERNAL => provider.authenticates(),
        _ => false,
    }
}
