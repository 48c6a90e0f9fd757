//! FORMAT §3: the one encoding of labels and of bindings, `(u8 len ‖ key ‖ u16 len ‖ value)`*, keys strictly increasing.

use std::cmp::Ordering;

use zeroize::Zeroize as _;

use super::codec::Input;
use super::limits::{
    MAX_BINDING_VALUE, MAX_BINDINGS, MAX_LABEL_VALUE, MAX_LABELS, MAX_PAIR_KEY, MAX_PAIRS,
};
use crate::error::{Error, Limit, Malformed, Result};

/// What keys of labels that the format keeps for itself begin with.
const RESERVED: &[u8] = b"phi-envelope";

/// What a set of pairs may hold.
#[derive(Clone, Copy)]
pub(crate) struct PairLimits {
    value: usize,
    encoded: usize,
    limit: Limit,
    repeated: &'static str,
}

/// The limits of labels.
pub(crate) const LABELS: PairLimits = PairLimits {
    value: MAX_LABEL_VALUE,
    encoded: MAX_LABELS,
    limit: Limit::Labels,
    repeated: "a label was given twice",
};

/// The limits of bindings.
pub(crate) const BINDINGS: PairLimits = PairLimits {
    value: MAX_BINDING_VALUE,
    encoded: MAX_BINDINGS,
    limit: Limit::Bindings,
    repeated: "a binding was given twice",
};

/// The encoding `encoded` with one more pair, where the order of keys wants it. What `encoded` held is erased, since bindings
/// are private.
pub(crate) fn insert(
    encoded: &mut Vec<u8>,
    limits: PairLimits,
    key: &str,
    value: &str,
) -> Result<()> {
    if !(1..=MAX_PAIR_KEY).contains(&key.len()) || !(1..=limits.value).contains(&value.len()) {
        return Err(limits.limit.into());
    }
    let mut at = 0;
    let mut count = 0;
    for (there, pair_value) in iterate(encoded) {
        count += 1;
        match there.as_bytes().cmp(key.as_bytes()) {
            Ordering::Less => at += pair_len(there, pair_value),
            Ordering::Equal => return Err(Error::Misuse(limits.repeated)),
            Ordering::Greater => {}
        }
    }
    let len = encoded.len() + pair_len(key, value);
    if count == MAX_PAIRS || len > limits.encoded {
        return Err(limits.limit.into());
    }
    let key_len = u8::try_from(key.len()).map_err(|_| limits.limit)?;
    let value_len = u16::try_from(value.len()).map_err(|_| limits.limit)?;
    let (before, after) = encoded.split_at_checked(at).ok_or(limits.limit)?;
    let mut grown = Vec::with_capacity(len);
    grown.extend_from_slice(before);
    grown.push(key_len);
    grown.extend_from_slice(key.as_bytes());
    grown.extend_from_slice(&value_len.to_be_bytes());
    grown.extend_from_slice(value.as_bytes());
    grown.extend_from_slice(after);
    encoded.zeroize();
    *encoded = grown;
    Ok(())
}

/// The pairs of an encoding that [`check_labels`] passed or [`insert`] made.
pub(crate) fn iterate(encoded: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut input = Input::new(encoded);
    std::iter::from_fn(move || next(&mut input, MAX_BINDING_VALUE).ok())
}

/// The value of `key`, where it is there.
pub(crate) fn value<'a>(encoded: &'a [u8], key: &str) -> Option<&'a str> {
    iterate(encoded).find_map(|(there, value)| (there == key).then_some(value))
}

// FORMAT §§1, 3: every rule of labels that come from outside.
/// Checks labels as a header holds them, without the length in front.
pub(super) fn check_labels(encoded: &[u8]) -> Result<()> {
    let mut input = Input::new(encoded);
    let mut last: Option<&[u8]> = None;
    let mut count = 0;
    while !input.is_empty() {
        count += 1;
        if count > MAX_PAIRS {
            return Err(Malformed::TooManyLabels.into());
        }
        let (key, _) = next(&mut input, MAX_LABEL_VALUE)?;
        if last.is_some_and(|last| last >= key.as_bytes()) {
            return Err(Malformed::LabelOrder.into());
        }
        check_label_key(key)?;
        last = Some(key.as_bytes());
    }
    Ok(())
}

// FORMAT §3: keys that begin with `phi-envelope` in any ASCII case are malformed.
/// Checks that the format does not keep a label's key for itself.
pub(crate) fn check_label_key(key: &str) -> Result<()> {
    match key.as_bytes().get(..RESERVED.len()) {
        Some(start) if start.eq_ignore_ascii_case(RESERVED) => Err(Malformed::LabelReserved.into()),
        _ => Ok(()),
    }
}

fn next<'a>(input: &mut Input<'a>, max_value: usize) -> Result<(&'a str, &'a str)> {
    let overrun = |_| Malformed::LabelOverrun;
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Malformed::LabelUtf8);
    let key_len = usize::from(input.u8().map_err(overrun)?);
    if !(1..=MAX_PAIR_KEY).contains(&key_len) {
        return Err(Malformed::LabelKeyLength.into());
    }
    let key = input.bytes(key_len).map_err(overrun)?;
    let value_len = usize::from(input.u16().map_err(overrun)?);
    if !(1..=max_value).contains(&value_len) {
        return Err(Malformed::LabelValueLength.into());
    }
    let value = input.bytes(value_len).map_err(overrun)?;
    Ok((text(key)?, text(value)?))
}

fn pair_len(key: &str, value: &str) -> usize {
    1 + key.len() + 2 + value.len()
}
