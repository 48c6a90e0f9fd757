//! [envelope format]: manual::format
//! [threat model]: manual::threat_model
//! [considerations]: manual::considerations
//! [assurance]: manual::assurance
//! [compliance map]: manual::compliance
//! [architecture]: manual::architecture
//! [files and `phi`]: manual::files
//! [performance]: manual::performance
//! [rotation runbook]: manual::rotation
//! [why]: manual::why
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod archive;
mod crypto;
mod disk;
mod envelope;
mod error;
mod files;
pub mod floe;
mod format;
mod keys;
pub mod manual;
mod memory;
mod parallel;
mod secret;

pub use archive::{
    ClassCount, Content, DestroyOptions, EntryId, Evidence, EvidenceScan, Exposed, Exposure,
    ExposureEntry, ExposureSummary, Finding, FindingClass, HeaderOpener, Inventory,
    InventoryChange, InventoryChanges, InventoryEntry, InventoryScan, InventorySummary, KeyUse,
    KeyUses, KeyringRevision, Looked, NamesBefore, OpenedHeader, PassedOver, Place, PlaceId,
    PlaceKind, Previous, Progress, RetireOptions, Retired, RewrapEntry, RewrapOptions,
    RewrapOutcome, RewrapSummary, RewrapTree, RowsPass, RowsReport, Shard, Swap, Tally, Tree,
    destroy_key, exposure, exposure_through, inventory, retire, rewrap_rows, rewrap_tree,
};
pub use envelope::{
    Context, DecryptReader, EncryptWriter, Envelope, EnvelopeCipher, EnvelopeCipherBuilder,
    HeaderDamage, Inspection, KeyringFile, KeyringFileOptions, KeyringPin, Session, SessionLimits,
    SlotChange, Updated, inspect,
};
pub use error::{
    Authenticated, ContextMismatch, Error, EvidenceFault, KeyId, KeyState, KeyringFault,
    KeyringRule, Kind, Limit, Malformed, Recipients, Result, Rollback, SlotId, SlotName,
};
pub use files::{
    ChangeOptions, FileInspection, FileOptions, FileReport, NotKept, RangeReader, Rewrapped,
    add_recipient_file, ask_while_locked, decrypt_file, decrypt_from, decrypt_read, decrypt_to,
    encrypt_file, encrypt_from, encrypt_read, inspect_file, on_lock_wait, open_range,
    reencrypt_file, remove_recipient_file, repack_file, replace_recipient_file, rewrap_file,
    set_lock_wait, verify_file,
};
pub use format::slot::{Slot, WrappedKey};
pub use keys::{
    Argon2Costs, DataKey, KeyInfo, KeyProvider, Keyring, KeyringEdit, MasterKey, Passphrase,
    Recognition, UnwrapContext, WrapContext,
};
pub use secret::Plaintext;
