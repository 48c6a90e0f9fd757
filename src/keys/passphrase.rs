//! A data key under a passphrase (FORMAT §4, scheme 0x02).

use std::fmt;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::master_key::{join, open_key};
use super::{DataKey, KeyProvider, Recognition, UnwrapRequest, WrapRequest};
use crate::crypto::derive;
use crate::crypto::gcm::GcmKey;
use crate::error::{Error, Limit, Malformed, Result};
use crate::format::slot::{PASSPHRASE, Slot, WrappedKey, check_passphrase_costs, passphrase_costs};
use crate::secret::{Secret, on_cleared_stack};

/// A passphrase as a [`KeyProvider`]: Argon2id (RFC 9106) makes the key that wraps.
///
/// Deriving costs 64 MiB and tens of milliseconds by default, so it suits a keyring's file, an export or a backup, not a
/// row. The key that opened or made the last slot is kept until the value is dropped, and then erased with the passphrase.
///
/// ```
/// use phi_envelope::{Context, EnvelopeCipher, Passphrase};
///
/// let cipher = EnvelopeCipher::new(Passphrase::new("correct horse battery staple")?);
/// let context = Context::new();
/// let envelope = cipher.encrypt(b"BP 120/80", &context)?;
/// assert_eq!(&cipher.decrypt(&envelope, &context)?[..], b"BP 120/80");
/// # Ok::<(), phi_envelope::Error>(())
/// ```
pub struct Passphrase {
    passphrase: Zeroizing<Vec<u8>>,
    costs: Argon2Costs,
    max_memory_kib: u32,
    last: Mutex<Option<Derived>>,
    /// Held while Argon2id runs, so that its memory is granted once at a time.
    deriving: Mutex<()>,
}

/// The work, memory in KiB times passes, that every reader grants Argon2id.
const LEAST_WORK: u64 = 786_432;

/// What Argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Costs {
    /// Memory in KiB, at least 8 times `lanes`, at most 1,048,576.
    pub memory_kib: u32,
    /// Passes over the memory, 1 to 16. Memory times passes is at most 1,048,576.
    pub passes: u32,
    /// Lanes, 1 to 16.
    pub lanes: u32,
}

impl Default for Argon2Costs {
    /// The second recommended option of RFC 9106 §4: 64 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self {
            memory_kib: 65_536,
            passes: 3,
            lanes: 4,
        }
    }
}

/// `kek ‖ check` of one salt and costs.
struct Derived {
    salt: [u8; 16],
    costs: (u32, u32, u32),
    keys: Secret<64>,
}

impl Derived {
    /// The same once more, to be used while another is derived.
    fn again(&self) -> Self {
        Self {
            salt: self.salt,
            costs: self.costs,
            keys: Secret::copied(self.keys.as_bytes()),
        }
    }

    fn with<T>(&self, with: impl FnOnce(&[u8; 32], &[u8]) -> Result<T>) -> Result<T> {
        let (kek, check) = self
            .keys
            .as_bytes()
            .split_first_chunk()
            .ok_or(Error::Misuse("Argon2id gave fewer bytes than asked"))?;
        with(kek, check)
    }
}

impl Passphrase {
    /// The provider of this passphrase, its bytes taken as they are.
    ///
    /// # Errors
    /// [`Malformed::EmptyPassphrase`].
    pub fn new(passphrase: impl AsRef<[u8]>) -> Result<Self> {
        let passphrase = passphrase.as_ref();
        if passphrase.is_empty() {
            return Err(Malformed::EmptyPassphrase.into());
        }
        Ok(Self {
            passphrase: Zeroizing::new(passphrase.to_vec()),
            costs: Argon2Costs::default(),
            max_memory_kib: 262_144,
            last: Mutex::new(None),
            deriving: Mutex::new(()),
        })
    }

    /// Wraps at these costs.
    ///
    /// # Errors
    /// [`Malformed::PassphraseCosts`] if they are out of the format's bounds, [`Limit::PassphraseMemory`] if they need more memory than
    /// this value grants: it could not open what it wraps.
    pub fn with_costs(mut self, costs: Argon2Costs) -> Result<Self> {
        check_passphrase_costs((costs.memory_kib, costs.passes, costs.lanes))?;
        if costs.memory_kib > self.max_memory_kib {
            return Err(Limit::PassphraseMemory.into());
        }
        self.costs = costs;
        Ok(self)
    }

    /// Grants Argon2id this much memory, in KiB; 262,144 (256 MiB) unless said. Costs above it are refused, the value's own too, and so
    /// is more than four times the work of its own costs, of the default ones at least.
    #[must_use]
    pub fn with_max_memory_kib(mut self, memory_kib: u32) -> Self {
        self.max_memory_kib = memory_kib;
        self
    }

    // FORMAT §4, scheme 0x02: a reader sets lower ceilings for itself: on m and on m·t, 4 × that of its own costs, and never below
    // 786,432.
    fn check_ceilings(&self, (memory_kib, passes, _): (u32, u32, u32)) -> Result<()> {
        let own = &self.costs;
        if memory_kib > self.max_memory_kib {
            return Err(Limit::PassphraseMemory.into());
        }
        let work = |memory_kib: u32, passes: u32| u64::from(memory_kib) * u64::from(passes);
        if work(memory_kib, passes) > (4 * work(own.memory_kib, own.passes)).max(LEAST_WORK) {
            return Err(Limit::PassphraseWork.into());
        }
        Ok(())
    }

    /// Runs `with` on `kek` and `check`, derived or remembered.
    fn with_keys<T>(
        &self,
        salt: &[u8; 16],
        costs: (u32, u32, u32),
        with: impl FnOnce(&[u8; 32], &[u8]) -> Result<T>,
    ) -> Result<T> {
        let remembered = || {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.as_ref()
                .filter(|derived| derived.salt == *salt && derived.costs == costs)
                .map(Derived::again)
        };
        // Looked up without the derivation's lock: one hostile slot makes nobody wait who has what he needs.
        if let Some(derived) = remembered() {
            return derived.with(with);
        }
        let _deriving = self.deriving.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have derived it meanwhile.
        if let Some(derived) = remembered() {
            return derived.with(with);
        }
        let derived = Derived {
            salt: *salt,
            costs,
            keys: on_cleared_stack(|| derive::passphrase(&self.passphrase, salt, costs))?,
        };
        let out = derived.with(with)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(derived);
        Ok(out)
    }
}

impl KeyProvider for Passphrase {
    // FORMAT §7: a slot is up to date where the provider opens it and m, t, p are its own.
    /// A passphrase slot of these costs is current: whose it is shows only when it is tried.
    fn recognize(&self, slot: &Slot<'_>) -> Recognition {
        if slot.scheme() != PASSPHRASE {
            return Recognition::NotMine;
        }
        let own = (self.costs.memory_kib, self.costs.passes, self.costs.lanes);
        match passphrase_costs(slot.wrapped()) {
            Ok(costs) if costs == own => Recognition::Current,
            _ => Recognition::Outdated,
        }
    }

    // wrapped = u32 m KiB ‖ u32 t ‖ u32 p ‖ check[32] ‖ iv[12] ‖ ct[32] ‖ tag[16]
    fn wrap_key(&self, key: &DataKey, context: &WrapRequest<'_>) -> Result<WrappedKey> {
        let salt = context.random()?;
        let Argon2Costs {
            memory_kib,
            passes,
            lanes,
        } = self.costs;
        // What this value would not open is not wrapped.
        self.check_ceilings((memory_kib, passes, lanes))?;
        self.with_keys(&salt, (memory_kib, passes, lanes), |kek, check| {
            let mut ciphertext = [0; 32];
            let sealed = GcmKey::new(kek).seal_into(
                context.iv()?,
                context.aad(),
                key.as_bytes(),
                &mut ciphertext,
            );
            let [m, t, p] = [memory_kib, passes, lanes].map(u32::to_be_bytes);
            let mut wrapped = [0; 104];
            join(
                &mut wrapped,
                &[&m, &t, &p, check, &sealed.iv, &ciphertext, &sealed.tag],
            );
            WrappedKey::of(PASSPHRASE, &[&salt], &wrapped)
        })
    }

    fn unwrap_key(&self, slot: &Slot<'_>, context: &UnwrapRequest<'_>) -> Result<DataKey> {
        let costs = passphrase_costs(slot.wrapped())?;
        check_passphrase_costs(costs)?;
        self.check_ceilings(costs)?;
        let salt = slot
            .key_id()
            .try_into()
            .map_err(|_| Malformed::KeyIdLength)?;
        let cut = || Error::from(Malformed::WrappedKeyLength);
        let (_, rest) = slot.wrapped().split_first_chunk::<12>().ok_or_else(cut)?;
        let (stated_check, rest) = rest.split_first_chunk::<32>().ok_or_else(cut)?;
        let (iv, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(cut)?;
        self.with_keys(salt, costs, |kek, check| {
            // FORMAT §4: check is compared in constant time first.
            if !crate::crypto::equal(check, stated_check) {
                return Err(Error::WrongPassphrase);
            }
            open_key(&GcmKey::new(kek), (iv, ciphertext, tag), context.aad())
        })
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase")
            .field("costs", &self.costs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test stops where something is not as it says
mod tests {
    use super::*;

    /// One hostile slot makes nobody wait who has what he needs.
    #[test]
    fn what_is_remembered_is_found_while_another_is_derived() {
        let provider = Passphrase::new("words").unwrap();
        let salt = [7; 16];
        let derive = || provider.with_keys(&salt, (8, 1, 1), |_, check| Ok(check.to_vec()));
        let first = derive().unwrap();
        let deriving = provider.deriving.lock().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| tell.send(derive().unwrap()).unwrap());
            let again = told.recv_timeout(std::time::Duration::from_secs(300));
            drop(deriving);
            assert_eq!(again.unwrap(), first);
        });
    }
}
