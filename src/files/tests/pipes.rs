//! Pipes as input, under the same faults.

use std::io::{PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use super::{CANARY, Keys, Operation, context, opened, options, sealed};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::files::decrypt::decrypt_on;
use crate::files::encrypt::encrypt_on;

/// A pipe that holds `bytes`, no more than fit it, and the path that opens it.
fn pipe(bytes: &[u8]) -> (PipeReader, PathBuf) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(bytes).unwrap();
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    (reader, path.into())
}

fn piped<'a>(
    run: impl Fn(&Disk, &super::Folder) -> Result<()> + 'a,
    open: impl Fn(&[u8]) -> Vec<u8> + 'a,
    plain: &'static [&'static str],
) -> Operation<'a> {
    Operation {
        before: Vec::new(),
        run: Box::new(run),
        is_done: Box::new(move |folder| match folder.read("out") {
            None => false,
            Some(bytes) => {
                assert_eq!(open(&bytes), CANARY.repeat(3000));
                assert_eq!(folder.mode("out") & 0o777, 0o600);
                true
            }
        }),
        plain,
        names: &["out"],
        refusal: |error| matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::AlreadyExists),
        is_atomic: true,
    }
}

#[test]
fn encrypt_a_pipe() {
    let keys = Keys::new();
    let run = |disk: &Disk, folder: &super::Folder| {
        let (_pipe, from) = pipe(&CANARY.repeat(3000));
        let to = folder.path("out");
        encrypt_on(disk, &keys.new, &from, &to, &context(), options(1)).map(drop)
    };
    let operation = piped(run, |bytes| opened(&keys.new, bytes).unwrap(), &[]);
    operation.enumerate(false);
    operation.enumerate(true);
}

#[test]
fn decrypt_a_pipe() {
    let keys = Keys::new();
    let phi = sealed(&keys.old, &CANARY.repeat(3000));
    let run = |disk: &Disk, folder: &super::Folder| {
        let (_pipe, from) = pipe(&phi);
        let to = folder.path("out");
        decrypt_on(disk, &keys.new, &from, &to, &context(), options(1)).map(drop)
    };
    let operation = piped(run, <[u8]>::to_vec, &["out"]);
    operation.enumerate(false);
    operation.enumerate(true);
}
