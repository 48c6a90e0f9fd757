//! What an envelope belongs to.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{ContextMismatch, Error, Limit, Result};
use crate::format::context_encoding::{self, BINDINGS, LABELS};
use crate::format::header::Header;

/// What an envelope belongs to: public labels, stored and authenticated, and private bindings, never stored.
///
/// * A **label** stands in the header in clear: a tenant, a system, a schema version. **Never PHI.** Whoever opens the
///   envelope may present labels; those that he presents must be there with the same value.
/// * A **binding** stands nowhere: a patient id, a record id, an export id. Whoever opens the envelope presents all of them
///   again, or it stays shut. So a row that was copied into another patient's chart does not open there.
///
/// At most 32 of each; keys of 1 to 64 bytes, label values of 1 to 256, binding values of 1 to 4,096; 4,096 bytes of labels
/// and 16,384 of bindings in all. Text is compared as the bytes given, without normalisation: prefer ASCII. The order in
/// which pairs are added does not matter.
///
/// ```
/// use phi_envelope::Context;
///
/// let mrn = "MRN-0042";
/// let context = Context::new().label("tenant", "clinic-7")?.bind("patient", mrn)?;
/// assert_eq!(format!("{context:?}"), r#"Context { labels: {"tenant": "clinic-7"}, bindings: 1 }"#);
/// # Ok::<(), phi_envelope::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Context {
    /// As a header holds them, with their length in front.
    labels: Vec<u8>,
    bindings: Zeroizing<Vec<u8>>,
}

impl Context {
    /// A context without labels and bindings.
    #[must_use]
    pub fn new() -> Self {
        Self {
            labels: vec![0, 0],
            bindings: Zeroizing::new(Vec::new()),
        }
    }

    /// Adds a public label, which is stored in clear: never PHI.
    ///
    /// # Errors
    /// [`Limit::Labels`]; [`Malformed::LabelReserved`](crate::error::Malformed::LabelReserved) if the key begins with `phi-envelope`;
    /// [`Error::Misuse`] if the key is there already.
    pub fn label(mut self, key: impl AsRef<str>, value: impl AsRef<str>) -> Result<Self> {
        context_encoding::check_label_key(key.as_ref())?;
        let mut pairs = self.label_pairs().to_vec();
        context_encoding::insert(&mut pairs, LABELS, key.as_ref(), value.as_ref())?;
        let len = u16::try_from(pairs.len()).map_err(|_| Limit::Labels)?;
        self.labels = [&len.to_be_bytes(), pairs.as_slice()].concat();
        Ok(self)
    }

    /// Adds a private binding, which is stored nowhere and must be presented again.
    ///
    /// # Errors
    /// [`Limit::Bindings`], or [`Error::Misuse`] where the key is there already.
    pub fn bind(mut self, key: impl AsRef<str>, value: impl AsRef<str>) -> Result<Self> {
        context_encoding::insert(&mut self.bindings, BINDINGS, key.as_ref(), value.as_ref())?;
        Ok(self)
    }

    /// The labels, in the order of their keys.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        context_encoding::iterate(self.label_pairs())
    }

    /// Whether there is at least one binding.
    #[must_use]
    pub fn has_bindings(&self) -> bool {
        !self.bindings.is_empty()
    }

    /// The labels with their length in front.
    pub(super) fn encoded_labels(&self) -> &[u8] {
        &self.labels
    }

    pub(super) fn has_labels(&self) -> bool {
        !self.label_pairs().is_empty()
    }

    pub(super) fn encoded_bindings(&self) -> &[u8] {
        &self.bindings
    }

    /// Checks that the labels and bindings that a cipher demands are there.
    pub(super) fn check_demands(&self, demands: &Demands) -> Result<()> {
        self.check_demanded_labels(demands)?;
        self.check_demanded_bindings(demands)
    }

    /// Checks the labels alone: those of a session.
    pub(super) fn check_demanded_labels(&self, demands: &Demands) -> Result<()> {
        demanded("label", &demands.labels, self.label_pairs())
    }

    /// Checks the bindings alone: those of a session's record.
    pub(super) fn check_demanded_bindings(&self, demands: &Demands) -> Result<()> {
        demanded("binding", &demands.bindings, &self.bindings)
    }

    /// Refuses bindings in a call that looks at labels alone: what is given and has no effect would be believed to have one.
    pub(super) fn refuse_bindings(&self) -> Result<()> {
        if self.has_bindings() {
            return Err(Error::Misuse(
                "this call looks at labels alone, and bindings were given",
            ));
        }
        Ok(())
    }

    // FORMAT §3: whether bindings are presented must equal flag bit 0, before any key work.
    pub(super) fn check_presence(&self, header: &Header<'_>) -> Result<()> {
        match (header.bindings_tag().is_some(), self.has_bindings()) {
            (true, false) => Err(ContextMismatch::BindingsMissing.into()),
            (false, true) => Err(ContextMismatch::BindingsUnexpected.into()),
            _ => Ok(()),
        }
    }

    // FORMAT §3: after the header tag has verified, every label that the reader presents must stand in the header.
    pub(super) fn check_labels(&self, header: &Header<'_>) -> Result<()> {
        let stands =
            |(key, value)| context_encoding::value(header.label_pairs(), key) == Some(value);
        if self.encoded_labels() == header.labels() || self.labels().all(stands) {
            Ok(())
        } else {
            Err(ContextMismatch::LabelsDiffer.into())
        }
    }

    // FORMAT §7: changes of recipients demand exactly the labels that the caller expects.
    pub(crate) fn check_exact_labels(&self, header: &Header<'_>) -> Result<()> {
        if self.encoded_labels() == header.labels() {
            Ok(())
        } else {
            Err(ContextMismatch::LabelsDiffer.into())
        }
    }

    fn label_pairs(&self) -> &[u8] {
        self.labels.get(2..).unwrap_or_default()
    }
}

/// The labels and bindings that a cipher demands of each context.
#[derive(Debug, Clone, Default)]
pub(super) struct Demands {
    pub(super) labels: Vec<String>,
    pub(super) bindings: Vec<String>,
}

fn demanded(part: &'static str, names: &[String], pairs: &[u8]) -> Result<()> {
    match names
        .iter()
        .find(|name| context_encoding::value(pairs, name).is_none())
    {
        Some(name) => Err(Error::ContextIncomplete {
            part,
            name: name.clone(),
        }),
        None => Ok(()),
    }
}

impl Demands {
    /// Checks that contexts can meet them.
    pub(super) fn check(&self) -> Result<()> {
        let mut probe = Context::new();
        for name in &self.labels {
            probe = probe.label(name, "-")?;
        }
        for name in &self.bindings {
            probe = probe.bind(name, "-")?;
        }
        Ok(())
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Labels<'a>(&'a Context);
        impl fmt::Debug for Labels<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.0.labels()).finish()
            }
        }
        f.debug_struct("Context")
            .field("labels", &Labels(self))
            .field(
                "bindings",
                &context_encoding::iterate(&self.bindings).count(),
            )
            .finish()
    }
}
