//! What exactly was wrong: one variant for each rule, limit and tag.

use super::EnvelopeKind;

/// The rule of the format that bytes break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Version 0, which there never was.
    #[error("version 0")]
    Version,
    /// The kind byte is that of no header.
    #[error("unknown kind of envelope")]
    Kind,
    /// An envelope, but not of the kind that the call opens.
    #[error("{found}, and this call takes {wanted}")]
    OtherKind {
        /// The kind that the header states.
        found: EnvelopeKind,
        /// The kind that the call takes, the first of them if there are several.
        wanted: EnvelopeKind,
    },
    /// A flag that the kind does not have is set, or one that it always has is not.
    #[error("the flags are not those of the kind")]
    Flags,
    /// A file of this crate's own has labels.
    #[error("labels in a file of a kind that has none")]
    LabelsOfOwnFile,
    /// The bytes do not begin as the payload of a detached header does.
    #[error("not the payload of a detached header")]
    NotAPayload,
    /// The head of a detached payload has bytes that this version does not define.
    #[error("the head of a detached payload has undefined bytes")]
    PayloadHead,
    /// A record in text form, where its bytes are wanted.
    #[error("a record in text form, where its bytes are wanted")]
    TextForm,
    /// The header states no slot.
    #[error("no slot")]
    NoSlot,
    /// The header states more than 32 slots.
    #[error("more than 32 slots")]
    TooManySlots,
    /// Two slots have one scheme and one key id.
    #[error("two slots with the same scheme and key id")]
    DuplicateSlot,
    /// More than one slot of a passphrase.
    #[error("more than one passphrase slot")]
    TwoPassphraseSlots,
    /// A slot of scheme 0.
    #[error("a slot of scheme 0")]
    SchemeZero,
    /// A slot's key id is empty, too long or not of its scheme's length.
    #[error("a slot's key id has the wrong length")]
    KeyIdLength,
    /// A slot's wrapped key is empty, too long or not of its scheme's length.
    #[error("a slot's wrapped key has the wrong length")]
    WrappedKeyLength,
    /// A passphrase slot states Argon2id costs outside the format's bounds.
    #[error("a passphrase slot's Argon2id costs are out of bounds")]
    PassphraseCosts,
    /// An external slot's key id is not a name and an id.
    #[error("an external slot's key id is not a reverse-DNS name and an id")]
    ExternalKeyId,
    /// A text in a slot's key id is not UTF-8, or has control characters.
    #[error("a text in a slot's key id is not UTF-8 or has control characters")]
    SlotText,
    /// A number in a slot's key id is one that no key has.
    #[error("a number in a slot's key id is 0")]
    SlotNumber,
    /// A compartment's slot has another beside it, or stands in a file of this crate's own.
    #[error("a compartment's slot that does not stand alone, or in a kind that has none")]
    CompartmentSlot,
    /// The labels take more than 4,096 bytes.
    #[error("labels longer than 4,096 bytes")]
    LabelsLength,
    /// More than 32 labels.
    #[error("more than 32 labels")]
    TooManyLabels,
    /// A label's key is not 1 to 64 bytes long.
    #[error("a label's key is not 1 to 64 bytes long")]
    LabelKeyLength,
    /// A label's value is not 1 to 256 bytes long.
    #[error("a label's value is not 1 to 256 bytes long")]
    LabelValueLength,
    /// A label is not UTF-8.
    #[error("a label is not UTF-8")]
    LabelUtf8,
    /// The labels' keys do not strictly increase.
    #[error("the labels' keys do not strictly increase")]
    LabelOrder,
    /// A label's key begins with `phi-envelope`, in any case: the format keeps such keys for itself.
    #[error("a label's key begins with \"phi-envelope\", which the format keeps for itself")]
    LabelReserved,
    /// A label runs over the end of the labels.
    #[error("a label runs over the end of the labels")]
    LabelOverrun,
    /// The header takes more than 16,384 bytes.
    #[error("header longer than 16,384 bytes")]
    HeaderLength,
    /// The block length is not what the kind demands.
    #[error("block length not allowed for this kind of envelope")]
    BlockLength,
    /// Neither header block is whole.
    #[error("neither header block is whole")]
    NoHeaderBlock,
    /// The two header blocks are to be alike and are not, or one is damaged.
    #[error("the two header blocks differ, or one is damaged")]
    BlocksDiffer,
    /// Bytes follow where the envelope ends.
    #[error("bytes follow the end")]
    TrailingBytes,
    /// The stream's parameters are not FLOE with AES-256-GCM and SHA-384.
    #[error("unknown stream parameters")]
    StreamParameters,
    /// The stream's segment length is outside the format's bounds.
    #[error("segment length out of bounds")]
    SegmentLength,
    /// A segment's length word does not fit its position.
    #[error("a segment's length word does not fit its place")]
    SegmentLengthWord,
    /// The text is not base64url.
    #[error("not base64url text")]
    TextAlphabet,
    /// The text is padded or has a length that no bytes encode to.
    #[error("base64url text with padding or of an impossible length")]
    TextLength,
    /// The text's last character has bits that belong to no byte.
    #[error("base64url text with non-zero trailing bits")]
    TextTrailingBits,
    /// A key id's text is not 32 hexadecimal digits.
    #[error("a key id's text is not 32 hexadecimal digits")]
    KeyIdText,
    /// A passphrase is empty.
    #[error("an empty passphrase")]
    EmptyPassphrase,
    /// A master key's text is not the base64 of 32 bytes.
    #[error("a master key's text is not the base64 of 32 bytes")]
    MasterKeyText,
    /// The keyring's file holds something that is not a keyring.
    #[error("the keyring's content is not as the format says: {0}")]
    Keyring(MalformedKeyring),
}

/// The rule of the keyring's content that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedKeyring {
    /// The content is not the JSON that the format describes.
    #[error("not the expected JSON")]
    Json,
    /// The content's version is not 1.
    #[error("unknown version")]
    Version,
    /// Not exactly one key is active.
    #[error("not exactly one active key")]
    ActiveKeys,
    /// Two keys have one id.
    #[error("two keys with one id")]
    DuplicateId,
    /// A key that is not destroyed has no material, or a destroyed one has some.
    #[error("a key's material does not fit its state")]
    Material,
    /// The number in the data key id is 0 or greater than the revision.
    #[error("the number in the data key id does not fit the revision")]
    DataKeyRevision,
    /// The list of the hashes of earlier revisions does not have the length that the revision demands.
    #[error("the list of earlier revisions has the wrong length")]
    Before,
    /// The lease is not 1 to 86,400 seconds.
    #[error("the lease is not 1 to 86,400 seconds")]
    Lease,
    /// A recipient's public text is not as the format says, or stands there twice.
    #[error("a recipient's public text is not as the format says, or stands there twice")]
    Recipients,
    /// The recipients are not those of the header's slots of scheme 0x03.
    #[error("the recipients are not those that have a slot")]
    RecipientsDiffer,
    /// An index key is not as the format says.
    #[error("an index key is not as the format says")]
    IndexKeys,
}

/// What was authenticated and did not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticatedPart {
    /// A slot's wrapped data key.
    #[error("a wrapped data key")]
    WrappedKey,
    /// The header's tag.
    #[error("the header")]
    Header,
    /// A record's payload.
    #[error("the record's payload")]
    Record,
    /// A detached payload that names another header than the one presented.
    #[error("the payload belongs to another header")]
    PayloadOfAnotherHeader,
    /// The header of a stream's payload.
    #[error("the stream's own header")]
    StreamHeader,
    /// A segment of a stream.
    #[error("segment {0} of the stream")]
    Segment(u64),
}

/// How the presented context differs from the envelope's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ContextMismatch {
    /// The envelope has bindings and none were presented.
    #[error("the envelope has bindings and none were presented")]
    BindingsMissing,
    /// Bindings were presented and the envelope has none.
    #[error("bindings were presented and the envelope has none")]
    BindingsUnexpected,
    /// The bindings are not those that the envelope was sealed with.
    #[error("the bindings differ")]
    BindingsDiffer,
    /// A label that was presented is not in the header with that value.
    #[error("a label differs")]
    LabelsDiffer,
}

/// Why a change of recipients does not apply to an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RecipientError {
    /// The recipient has a slot already.
    #[error("the recipient has a slot already")]
    Present,
    /// The recipient has no slot.
    #[error("the recipient has no slot")]
    Absent,
    /// A recipient has a slot, and the cipher does not write for it: sealed anew, the envelope would be lost to it.
    #[error("a recipient would lose its slot: write for it as well, or drop recipients explicitly")]
    Dropped,
    /// The recipient is the only one.
    #[error("the last recipient cannot be removed")]
    Last,
    /// A file of this crate's own would get a slot that no reader believes.
    #[error("a slot of this kind does not show who made the file, and no reader would believe it")]
    NeverBelieved,
}

/// The limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// Slots in an envelope: 32.
    #[error("32 slots")]
    Slots,
    /// Labels: 32 pairs, keys of 1 to 64 bytes, values of 1 to 256 bytes, 4,096 bytes encoded.
    #[error("labels (32 pairs, key 1 to 64 bytes, value 1 to 256 bytes, 4,096 bytes in all)")]
    Labels,
    /// Bindings: 32 pairs, keys of 1 to 64 bytes, values of 1 to 4,096 bytes, 16,384 bytes encoded.
    #[error("bindings (32 pairs, key 1 to 64 bytes, value 1 to 4,096 bytes, 16,384 bytes in all)")]
    Bindings,
    /// A header: 16,384 bytes.
    #[error("a header of 16,384 bytes")]
    Header,
    /// A header that does not fit its block.
    #[error(
        "a header that does not fit its block; set a longer block_length, or repack_file what exists"
    )]
    HeaderBlock,
    /// A slot's key id (512 bytes) or wrapped key (4,096 bytes).
    #[error("a slot's key id of 512 bytes or wrapped key of 4,096 bytes")]
    Slot,
    /// Changes of one header: 2^32 − 1.
    #[error("2^32 - 1 changes of one header")]
    Generation,
    /// A record's plaintext: 2^36 − 32 bytes.
    #[error("a record of 2^36 - 32 bytes")]
    RecordLength,
    /// A record in a file: 64 MiB, unless the options allow more.
    #[error("a record of 64 MiB in a file, unless a longer one is allowed")]
    RecordFile,
    /// A stream: 2^40 segments and 2^63 − 1 bytes.
    #[error("a stream of 2^40 segments and 2^63 - 1 bytes")]
    StreamLength,
    /// Messages under one data key: 2^32.
    #[error("2^32 messages under one data key")]
    Messages,
    /// A keyring's file: 16 MiB.
    #[error("a keyring's file of 16 MiB")]
    KeyringFile,
    /// A file of this crate's own: 16 MiB, 64 KiB for a compartment's entry.
    #[error("a keyring, evidence or identity of 16 MiB, or a compartment's entry of 64 KiB")]
    OwnFile,
    /// Slots of one key service in a header: 4.
    #[error("four slots of one key service in a header")]
    NetworkSlots,
    /// Slots of one header for which a provider that asks a network is asked: 4. One was left untried.
    #[error("four slots of a header for which a key service is asked")]
    ProviderCalls,
    /// The work that this reader grants Argon2id.
    #[error("the work granted to a passphrase's Argon2id")]
    PassphraseWork,
    /// The memory that this reader grants Argon2id.
    #[error("the memory granted to a passphrase's Argon2id")]
    PassphraseMemory,
}

/// Why evidence does not permit the destruction of a key (FORMAT §9.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Its content is not as the format says.
    #[error("its content is not as the format says")]
    Content,
    /// A later version wrote it.
    #[error("a later version of this crate wrote it")]
    Newer,
    /// It is about another key, or about a key that is no master key of a keyring.
    #[error("it is about another key, or about no master key of a keyring")]
    OtherKey,
    /// It is about a key of another keyring.
    #[error("it is about another keyring, although the key may be the same")]
    OtherKeyring,
    /// The keyring is at an older revision than the one that the scan has seen.
    #[error("its scan has seen a later revision of the keyring than this one")]
    OlderKeyring,
    /// A header, or a row, still has a slot of the key.
    #[error("the key is still in use")]
    InUse,
    /// Something was found that is not accepted, or accepted that was not found, or in another number.
    #[error("what was found is not exactly what was accepted")]
    Found,
    /// It speaks of no place.
    #[error("it speaks of no place")]
    NoPlaces,
    /// Its scan began longer ago than allowed.
    #[error("its scan is too old")]
    TooOld,
    /// Its scan ended in the future, or before it began.
    #[error("its scan ended in the future, or before it began: a clock is wrong")]
    Clock,
    /// The key, or the keyring's file, changed after the time that the scan relies on.
    #[error("the key has changed since the time from which the scan counts")]
    ChangedSince,
    /// Its scan began before the settling time was over.
    #[error(
        "its scan began before the settling time was over: a process may have encrypted under the key since"
    )]
    TooSoon,
}
