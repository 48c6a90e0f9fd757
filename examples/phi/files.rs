//! Files sealed, opened, verified, and moved to new keys.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use phi_envelope::{
    FileOptions, FileReport, Rewrapped, decrypt_file, encrypt_file, reencrypt_file, repack_file,
    rewrap_file, verify_file,
};
use serde_json::{Value, json};

use crate::archive;
use crate::archive::args::Rewrap;
use crate::args::{Decrypt, Encrypt, Reencrypt, Verify};
use crate::failure::{self, Failure, usage, usage_of};
use crate::keys::{self, Keys};
use crate::options::{KeyArgs, LayoutArgs, WorkArgs};
use crate::output::{Answer, Console, damage_json, path_json};
use crate::streams::{self, is_dash, named, only_flows};

/// What a sealed file's name ends in.
const ENDING: &str = "phi";

pub(crate) fn encrypt(console: &Console, args: &Encrypt) -> Result<Answer> {
    let output = output_or(args.output.as_deref(), &args.input, |input| {
        let mut name = input.as_os_str().to_owned();
        name.push(".");
        name.push(ENDING);
        Ok(name.into())
    })?;
    if is_dash(&output) {
        console.give_stdout_to_data();
    }
    let context = keys::context(&args.context)?;
    let cipher = Keys::new(&args.key).writer(&args.to, &args.layout)?;
    let meter = console.meter();
    let sealed = if is_dash(&output) {
        let (with, from) = ((&cipher, &context), (&*args.input, &args.work));
        streams::encrypt_to_stdout(with, from, &meter)
    } else {
        refuse_key_file(&output, &args.key)?;
        refuse_any(&output, args.to.to_keyrings.iter())?;
        let options = meter.watch(options(&args.work, args.overwrite));
        let input = named(&args.input)?;
        encrypt_file(&cipher, input, &output, &context, options)
            .map(|report| report.plaintext_bytes)
            .map_err(Into::into)
    };
    let pace = meter.stop(sealed.with_context(|| arrow(&args.input, &output))?);
    console.say(format_args!(
        "{}: sealed {pace}",
        arrow(&args.input, &output)
    ))?;
    Ok(json!({
        "command": "encrypt",
        "input": path_json(&args.input),
        "output": path_json(&output),
        "header": args.work.detached.as_deref().map(path_json),
        "plaintext_bytes": pace.bytes,
        "seconds": pace.seconds(),
    })
    .into())
}

pub(crate) fn decrypt(console: &Console, args: &Decrypt) -> Result<Answer> {
    let output = output_or(args.output.as_deref(), &args.input, |input| {
        match input.extension() {
            Some(ending) if ending == ENDING => Ok(input.with_extension("")),
            _ => Err(usage(format_args!(
                "{} does not end in .{ENDING}: say where to with -o",
                input.display()
            ))),
        }
    })?;
    if is_dash(&output) {
        console.give_stdout_to_data();
    }
    let context = keys::context(&args.context)?;
    let cipher = Keys::new(&args.key).reader()?;
    let meter = console.meter();
    let opened = if is_dash(&output) {
        let (with, from) = ((&cipher, &context), (&*args.input, &args.work));
        let mut out = std::io::stdout().lock();
        streams::flow(with, from, streams::ALL, &mut out, &meter)
    } else {
        refuse_key_file(&output, &args.key)?;
        let options = meter.watch(options(&args.work, args.overwrite));
        let input = named(&args.input)?;
        decrypt_file(&cipher, input, &output, &context, options)
            .map(|report| (report.plaintext_bytes, report.header_damage))
            .map_err(Into::into)
    };
    let (bytes, damage) = opened.with_context(|| arrow(&args.input, &output))?;
    let pace = meter.stop(bytes);
    if let Some(damage) = damage {
        console.warn(&args.input, damage);
    }
    console.say(format_args!(
        "{}: opened {pace}",
        arrow(&args.input, &output)
    ))?;
    Ok(json!({
        "command": "decrypt",
        "input": path_json(&args.input),
        "output": path_json(&output),
        "plaintext_bytes": bytes,
        "header_damage": damage_json(damage),
        "seconds": pace.seconds(),
    })
    .into())
}

pub(crate) fn verify(console: &Console, args: &Verify) -> Result<Answer> {
    if args.work.detached.is_some() && args.files.len() > 1 {
        return Err(usage("--detached is the header of one file"));
    }
    let context = keys::context(&args.context)?;
    let cipher = Keys::new(&args.key).reader()?;
    each(console, "verify", &args.files, |path| {
        let meter = console.meter();
        let (bytes, damage) = if only_flows(path) {
            let (with, from) = ((&cipher, &context), (path, &args.work));
            streams::flow(with, from, streams::ALL, &mut std::io::sink(), &meter)?
        } else {
            let options = meter.watch(options(&args.work, false));
            let report = verify_file(&cipher, path, &context, options)?;
            (report.plaintext_bytes, report.header_damage)
        };
        let pace = meter.stop(bytes);
        if let Some(damage) = damage {
            console.warn(path, damage);
        }
        console.say(format_args!("{}: verified {pace}", path.display()))?;
        Ok(json!({
            "plaintext_bytes": bytes,
            "header_damage": damage_json(damage),
            "seconds": pace.seconds(),
        }))
    })
}

pub(crate) fn rewrap(console: &Console, args: &Rewrap) -> Result<Answer> {
    if args.recursive {
        return archive::rewrap::run(console, args);
    }
    let headers: Vec<PathBuf> = args.detached.iter().cloned().collect();
    if !headers.is_empty() && args.files.len() > 1 {
        return Err(usage("--detached is the header of one file"));
    }
    let files = if headers.is_empty() {
        &args.files
    } else {
        &headers
    };
    let cipher = Keys::new(&args.key).reader()?;
    each(console, "rewrap", files, |path| {
        let changed = rewrap_file(&cipher, path)? == Rewrapped::Done;
        let what = if changed {
            "rewrapped"
        } else {
            "is under the current key"
        };
        console.say(format_args!("{}: {what}", path.display()))?;
        Ok(json!({ "changed": changed }))
    })
}

pub(crate) fn reencrypt(console: &Console, args: &Reencrypt) -> Result<Answer> {
    let context = keys::context(&args.context)?;
    let laid_out = laid_out(threaded(args.threads), &args.layout)?;
    let cipher = Keys::new(&args.key).rewriter(&args.to)?;
    let meter = console.meter();
    let options = meter.watch(laid_out);
    let FileReport {
        plaintext_bytes,
        header_damage,
        ..
    } = reencrypt_file(&cipher, &args.file, &context, options)
        .with_context(|| args.file.display().to_string())?;
    let pace = meter.stop(plaintext_bytes);
    if let Some(damage) = header_damage {
        console.warn(&args.file, damage);
    }
    console.say(format_args!("{}: sealed anew {pace}", args.file.display()))?;
    Ok(json!({
        "command": "reencrypt",
        "path": path_json(&args.file),
        "plaintext_bytes": plaintext_bytes,
        "header_damage": damage_json(header_damage),
        "seconds": pace.seconds(),
    })
    .into())
}

pub(crate) fn repack(
    console: &Console,
    file: &Path,
    key: &KeyArgs,
    block_length: usize,
) -> Result<Answer> {
    let options = FileOptions::new()
        .block_length(block_length)
        .map_err(usage_of)?;
    let cipher = Keys::new(key).reader()?;
    repack_file(&cipher, file, options).with_context(|| file.display().to_string())?;
    console.say(format_args!("{}: repacked", file.display()))?;
    Ok(json!({ "command": "repack", "path": path_json(file) }).into())
}

/// Does `work` on each file, after failures too: an answer for each, and the worst exit code.
pub(crate) fn each(
    console: &Console,
    command: &str,
    files: &[PathBuf],
    work: impl Fn(&Path) -> Result<Value>,
) -> Result<Answer> {
    let mut worst: Option<Failure> = None;
    let mut answers = Vec::new();
    for path in files {
        let done = work(path);
        if let Err(error) = &done
            && failure::ends_all(error)
        {
            return done.map(Into::into);
        }
        let mut answer = done.unwrap_or_else(|error| {
            let failure = Failure::from(error.context(path.display().to_string()));
            console.complain(&failure);
            let answer = json!({ "error": failure.json() });
            if worst.as_ref().is_none_or(|worst| worst.exit < failure.exit) {
                worst = Some(failure);
            }
            answer
        });
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("path".into(), path_json(path));
        }
        answers.push(answer);
    }
    let json = json!({ "command": command, "files": answers });
    Ok(Answer::of_several(json, worst.as_ref()))
}

/// Where to: what the caller says, stdout for stdin, else what follows from the input's name.
fn output_or(
    stated: Option<&Path>,
    input: &Path,
    named_after: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<PathBuf> {
    match stated {
        Some(output) => Ok(output.to_owned()),
        None if is_dash(input) => Ok(PathBuf::from("-")),
        None => named_after(input),
    }
}

fn options(work: &WorkArgs, overwrite: bool) -> FileOptions<'static> {
    let mut options = threaded(work.threads);
    if let Some(path) = &work.detached {
        options = options.detached_header(path);
    }
    if overwrite {
        options.overwrite()
    } else {
        options
    }
}

fn threaded(threads: Option<NonZeroUsize>) -> FileOptions<'static> {
    match threads {
        Some(threads) => FileOptions::new().threads(threads),
        None => FileOptions::new(),
    }
}

fn laid_out<'a>(options: FileOptions<'a>, layout: &LayoutArgs) -> Result<FileOptions<'a>> {
    let options = match layout.segment_length {
        Some(bytes) => options.segment_length(bytes).map_err(usage_of)?,
        None => options,
    };
    match layout.block_length {
        Some(bytes) => options.block_length(bytes).map_err(usage_of),
        None => Ok(options),
    }
}

fn arrow(input: &Path, output: &Path) -> String {
    format!("{} -> {}", input.display(), output.display())
}

/// Refuses to overwrite what opens the files.
fn refuse_key_file(output: &Path, keys: &KeyArgs) -> Result<()> {
    let secret = &keys.secret;
    let files = [
        &keys.keyring,
        &secret.passphrase_file,
        &secret.master_key_file,
    ];
    refuse_any(output, files.into_iter().flatten())
}

fn refuse_any<'a>(output: &Path, mut files: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    let Ok(output) = output.canonicalize() else {
        return Ok(()); // there is nothing to overwrite
    };
    if files.any(|file| file.canonicalize().is_ok_and(|file| file == output)) {
        return Err(usage("the output is a file of keys"));
    }
    Ok(())
}
