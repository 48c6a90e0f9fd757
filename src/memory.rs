//! Memory that the system may refuse: an error then, where an allocation of the usual kind would end the process.

use std::collections::TryReserveError;
use std::io;

use crate::error::{Error, Result};

/// Bytes below which zeros are written one by one; above, the system has pages of them.
const FEW: usize = 1 << 17;

/// Zeros, or an error where there is no memory for them.
pub(crate) fn zeros(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(no_memory)?;
    if len <= FEW {
        bytes.resize(len, 0);
        return Ok(bytes);
    }
    // There is room, and this alone asks for memory that is zero already.
    drop(bytes);
    Ok(vec![0; len])
}

/// Makes `bytes` that long, with zeros at its end, or fails where there is no memory for them.
pub(crate) fn resize(bytes: &mut Vec<u8>, len: usize) -> Result<()> {
    let more = len.saturating_sub(bytes.len());
    bytes.try_reserve_exact(more).map_err(no_memory)?;
    bytes.resize(len, 0);
    Ok(())
}

/// The error of memory that the system refuses.
pub(crate) fn no_memory(_: TryReserveError) -> Error {
    let what = "the system has no memory for this: fewer threads or shorter segments need less";
    Error::Io(io::Error::new(io::ErrorKind::OutOfMemory, what))
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::memory::{FEW, resize, zeros};
    use std::io;

    #[test]
    fn memory_that_is_not_to_be_had_is_an_error() {
        let too_much = isize::MAX.unsigned_abs();
        let refused = |error: Error| matches!(error, Error::Io(error) if error.kind() == io::ErrorKind::OutOfMemory);
        assert!(refused(zeros(too_much).unwrap_err()));
        let mut bytes = vec![7; 3];
        assert!(refused(resize(&mut bytes, too_much).unwrap_err()));
        assert_eq!(bytes, [7; 3]);
        for len in [0, 1, FEW, FEW + 1] {
            assert_eq!(zeros(len).unwrap(), vec![0; len]);
        }
    }
}
