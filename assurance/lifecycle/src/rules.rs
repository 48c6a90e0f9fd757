//! The rules under test. Each can be dropped by itself.

macro_rules! rules {
    ($($(#[$text:meta])* $name:ident,)*) => {
        /// One rule of the format (`FORMAT` is `src/manual/format.md` of the crate) or of the crate's own behaviour.
        ///
        /// A test shows for each rule what breaks without it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Rule {
            $($(#[$text])* $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

rules! {
    /// FORMAT §9.2: a process that has not confirmed its keyring within the lease wraps nothing.
    Lease,
    /// The lease counts from before the look at the store began.
    LeaseFromBeforeLook,
    /// The time that a machine sleeps counts into the lease.
    LeaseCountsSleep,
    /// A wall clock that went back behind the last confirmation ends the lease.
    ClockBackEndsLease,
    /// FORMAT §9.2: a record of a session counts as a wrap, so it needs the lease.
    SessionRecordNeedsLease,
    /// A session makes a new data key when its slots are no longer current.
    SessionRollsOver,
    /// Finishing a stream needs the lease.
    FinishNeedsLease,
    /// Finishing a stream makes a slot again if its key is no longer active.
    FinishMakesSlotAgain,
    /// A pass looks at its lease right before it writes each header.
    PassLeaseAtEachHeader,
    /// A process that only reads confirms too.
    ReadingConfirms,

    /// FORMAT §9.2: a file whose link count is not 1 is not confirmed.
    LinksWhenConfirming,
    /// Opening confirms only a file whose link count is 1.
    LinksWhenOpening,
    /// A file whose link count is not 1 is not changed.
    LinksWhenChanging,
    /// After the exchange the old file's link count is looked at once more; if it has a second name, both are exchanged back.
    LinksAfterExchange,
    /// FORMAT §9.2: a lower revision is refused.
    RevisionNotLower,
    /// FORMAT §9.2: the same revision with another plaintext is refused.
    SameRevisionSamePlaintext,
    /// FORMAT §9.2: a later revision is refused if its `before` does not hold the revision that is known.
    Chain,
    /// FORMAT §9.2: after each destruction the least revision is pinned where processes start.
    PinWhenOpening,
    /// FORMAT §9.2: a running process looks at the pinned revision again whenever it confirms.
    PinWhenConfirming,
    /// FORMAT §9.2: each update makes a new data key.
    NewDataKey,
    /// FORMAT §9.2: a lower number of the revision at which the data key was made is refused.
    DataKeyNumber,
    /// A store changes only if it still holds what the change was made from.
    CompareAndSwap,
    /// An update checks that its result follows what was loaded.
    UpdateFollows,
    /// A key that is made active is compared with every key that is not.
    KeysCompared,
    /// A refused retirement changes nothing.
    RefusalChangesNothing,

    /// FORMAT §9.2: a settling time passes before a scan counts.
    Settling,
    /// FORMAT §9.4: the settling time counts up to `began`, not up to the destruction.
    SettlingUpToBegan,
    /// FORMAT §9.4: `settled_since` + settling time < `began`, and not ≤.
    SettlingStrictly,
    /// FORMAT §9.2: the settling time includes the allowance.
    Allowance,
    /// FORMAT §9.4: `settled_since` is not before the modification time of the keyring's file.
    ModificationTime,
    /// `archive::retire` reads the modification time before it writes anything.
    ModificationTimeReadFirst,
    /// A change that changes nothing writes nothing.
    NothingWrittenTwice,
    /// FORMAT §9.4: `began` is the earlier of the scanner's clock and the store's.
    StoreClock,
    /// FORMAT §9.4: a scan counts nothing as settled if both clocks differ by more than the allowance.
    ClocksCompared,
    /// FORMAT §9.2: the longest lease and the allowance settle for as long as a shorter lease is new.
    LeaseWindow,
    /// FORMAT §9.2: whether the lease is new is asked of `began`, not of the destruction.
    LeaseWindowAtBegan,
    /// FORMAT §9.2: a lease is new for the longest lease and the allowance.
    LeaseWindowAllowance,
    /// FORMAT §9.2: `lease_changed` is the later of the writer's clock and the store's.
    LeaseChangedByLaterClock,
    /// FORMAT §9.4: `in_use` is 0.
    InUseZero,
    /// FORMAT §9.4: `in_use` counts each envelope that has a slot of the key, whatever else opens it.
    InUseCountsSlots,
    /// FORMAT §9.4: the key's `changed` ≤ `settled_since`.
    ChangedNotAfter,
    /// FORMAT §9.4: the key is not active.
    NotActive,
    /// FORMAT §9.4: the keyring's revision is not below the evidence's.
    EvidenceRevision,
    /// FORMAT §9.4: the evidence is for the keyring of this id.
    EvidenceNamesKeyring,
    /// FORMAT §9.4: `began` ≤ now + allowance.
    BeganNotLater,
    /// FORMAT §9.4: evidence has a greatest age.
    EvidenceAge,
    /// A scan that saw something and did not examine it permits nothing.
    FindingsRefuse,
    /// FORMAT §9.4: at its end a scan compares each folder, and reads again those that changed.
    FoldersAgain,
    /// FORMAT §9.4: a folder that changed within the stamp in which it was read counts as changed.
    FreshFoldersAgain,

    /// FORMAT §7: a new slot is unwrapped before it replaces another.
    WrapsAreTried,
    /// FORMAT §7: a header is replaced by an exchange of names, which fails if another program replaced it meanwhile.
    Exchange,
}

/// The rules in force: all but those dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    dropped: u64,
}

impl Rules {
    /// Every rule.
    pub const ALL: Self = Self { dropped: 0 };

    /// Drops one more rule.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self {
            dropped: self.dropped | 1 << rule as u8,
        }
    }

    /// Whether a rule is in force.
    #[must_use]
    pub const fn has(self, rule: Rule) -> bool {
        self.dropped & 1 << rule as u8 == 0
    }
}
