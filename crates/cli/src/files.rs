//! Files sealed, opened, verified, and moved to new keys.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use phi_envelope::{
    files::{self, FileOptions, FileReport, RewrapStatus},
    header::EnvelopeKind,
};
use serde_json::{Value, json};

use crate::archive::args::Rewrap;
use crate::args::{Decrypt, Encrypt, Reencrypt, Verify};
use crate::checks::{
    check_header, output_or, refuse_any, refuse_key_file, refuse_keyring_for_itself,
    refuse_overwrite,
};
use crate::failure::{self, Failure, usage, usage_of};
use crate::keys::{self, Keys};
use crate::options::{ChangeArgs, KeyArgs, LayoutArgs, WorkArgs};
use crate::output::{Answer, Console, damage_json, escaped_path, put_path, warn_not_kept};
use crate::streams::{self, Source, is_dash, only_flows};
use crate::{archive, signals, stdio};

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
        refuse_overwrite(args.overwrite)?;
    }
    check_header(&args.work, true)?;
    if args.work.detached.is_some() && args.layout.block_length.is_some() {
        return Err(usage(
            "--block-length: a header that stands apart has no blocks",
        ));
    }
    refuse_keyring_for_itself(&args.input, &args.key, &args.to)?;
    let context = keys::context(&args.context)?;
    let cipher = Keys::new(&args.key).writer(&args.to, &args.layout)?;
    let meter = console.meter();
    let sealed = if is_dash(&output) {
        let (with, from) = ((&cipher, &context), (&*args.input, &args.work));
        streams::encrypt_to_stdout(with, from, &meter)
    } else {
        refuse_key_file(&output, &args.key)?;
        let to = &args.to;
        let secrets = to.to_passphrase_file.iter().chain(&args.context.bind_file);
        let keyrings = to.keyring_files();
        refuse_any(&output, keyrings.chain(secrets))?;
        let options = meter.watch(options(&args.work, args.overwrite));
        let source = Source::open(&args.input)?;
        signals::leave_word();
        let sealed = match source {
            Source::File(file) => files::encrypt_from(&cipher, &file, &output, &context, options),
            Source::Flow(flow) => files::encrypt_read(&cipher, flow, &output, &context, options),
        };
        sealed.map_err(Into::into).map(|report| {
            warn_not_kept(console, &output, report.not_kept);
            report.plaintext_bytes
        })
    };
    let pace = meter.stop(sealed.with_context(|| arrow(&args.input, &output))?);
    console.say(format_args!(
        "{}: sealed {pace}",
        arrow(&args.input, &output)
    ))?;
    let mut answer = json!({
        "command": "encrypt",
        "header": null,
        "plaintext_bytes": pace.bytes,
        "seconds": pace.seconds(),
    });
    put_path(&mut answer, "input", &args.input);
    put_path(&mut answer, "output", &output);
    if let Some(header) = &args.work.detached {
        put_path(&mut answer, "header", header);
    }
    Ok(answer.into())
}

pub(crate) fn decrypt(console: &Console, args: &Decrypt) -> Result<Answer> {
    let output = output_or(args.output.as_deref(), &args.input, |input| {
        match input.extension() {
            Some(ending) if ending == ENDING => Ok(input.with_extension("")),
            _ => Err(usage(format_args!(
                "{} does not end in .{ENDING}: say where to with -o",
                escaped_path(input)
            ))),
        }
    })?;
    if is_dash(&output) {
        console.give_stdout_to_data();
        refuse_overwrite(args.overwrite)?;
    }
    check_header(&args.work, false)?;
    let context = keys::context(&args.context)?;
    let cipher = Keys::new(&args.key).reader()?;
    let meter = console.meter();
    let opened = if is_dash(&output) {
        let (with, from) = ((&cipher, &context), (&*args.input, &args.work));
        let mut out = stdio::stdout()?;
        streams::flow(with, from, streams::ALL, &mut out, &meter)
    } else {
        refuse_key_file(&output, &args.key)?;
        let options = meter.watch(options(&args.work, args.overwrite));
        refuse_any(&output, args.context.bind_file.iter())?;
        let source = Source::open(&args.input)?;
        signals::leave_word();
        let opened = match source {
            Source::File(file) => files::decrypt_from(&cipher, &file, &output, &context, options),
            Source::Flow(flow) => files::decrypt_read(&cipher, flow, &output, &context, options),
        };
        opened.map_err(Into::into).map(|report| {
            warn_not_kept(console, &output, report.not_kept);
            (report.plaintext_bytes, report.header_damage)
        })
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
    let mut answer = json!({
        "command": "decrypt",
        "plaintext_bytes": bytes,
        "header_damage": damage_json(damage),
        "seconds": pace.seconds(),
    });
    put_path(&mut answer, "input", &args.input);
    put_path(&mut answer, "output", &output);
    Ok(answer.into())
}

pub(crate) fn verify(console: &Console, args: &Verify) -> Result<Answer> {
    if args.work.detached.is_some() && args.files.len() > 1 {
        return Err(usage("--detached is the header of one file"));
    }
    check_header(&args.work, false)?;
    let context = keys::context(&args.context)?;
    let cipher = Keys::new(&args.key).reader()?;
    each(console, "verify", &args.files, |path| {
        let meter = console.meter();
        let (bytes, damage) = if only_flows(path) {
            let (with, from) = ((&cipher, &context), (path, &args.work));
            streams::flow(with, from, streams::ALL, &mut std::io::sink(), &meter)?
        } else {
            let options = meter.watch(options(&args.work, false));
            let report = files::verify(&cipher, path, &context, options)?;
            (report.plaintext_bytes, report.header_damage)
        };
        let pace = meter.stop(bytes);
        if let Some(damage) = damage {
            console.warn(path, damage);
        }
        console.say(format_args!("{}: verified {pace}", escaped_path(path)))?;
        Ok(json!({
            "plaintext_bytes": bytes,
            "header_damage": damage_json(damage),
            "seconds": pace.seconds(),
        }))
    })
}

pub(crate) fn rewrap(console: &Console, args: &Rewrap) -> Result<Answer> {
    if args.recursive {
        if args.change.allow_without_lock || args.change.allow_loss_of_attributes {
            return Err(usage(
                "--allow-without-lock and --allow-loss-of-attributes are for files that are named, and not for --recursive",
            ));
        }
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
    let change = args.change.options();
    each(console, "rewrap", files, |path| {
        signals::leave_word();
        let rewrapped = change.rewrap(&cipher, path)?;
        warn_not_kept(console, path, rewrapped.not_kept());
        let changed = rewrapped != RewrapStatus::UpToDate;
        let what = if changed {
            "rewrapped"
        } else {
            "is under the current key"
        };
        console.say(format_args!("{}: {what}", escaped_path(path)))?;
        Ok(json!({ "changed": changed }))
    })
}

pub(crate) fn reencrypt(console: &Console, args: &Reencrypt) -> Result<Answer> {
    let context = keys::context(&args.context)?;
    let mut laid_out = args
        .change
        .among(laid_out(threaded(args.threads), &args.layout)?);
    if args.drop_recipients {
        laid_out = laid_out.dropping_recipients();
    }
    if let Some(bytes) = args.largest_record {
        laid_out = laid_out.largest_record(bytes);
    }
    let has_layout = args.layout.segment_length.is_some() || args.layout.block_length.is_some();
    if has_layout
        && files::inspect(&args.file).is_ok_and(|found| found.header.kind == EnvelopeKind::Record)
    {
        return Err(usage(format_args!(
            "{}: a record has neither segments nor header blocks",
            escaped_path(&args.file)
        )));
    }
    let cipher = Keys::new(&args.key).rewriter(&args.to)?;
    let meter = console.meter();
    let options = meter.watch(laid_out);
    signals::leave_word();
    let FileReport {
        plaintext_bytes,
        header_damage,
        not_kept,
        ..
    } = files::reencrypt(&cipher, &args.file, &context, options)
        .with_context(|| escaped_path(&args.file))?;
    let pace = meter.stop(plaintext_bytes);
    if let Some(damage) = header_damage {
        console.warn(&args.file, damage);
    }
    warn_not_kept(console, &args.file, not_kept);
    console.say(format_args!(
        "{}: sealed anew {pace}",
        escaped_path(&args.file)
    ))?;
    let mut answer = json!({
        "command": "reencrypt",
        "plaintext_bytes": plaintext_bytes,
        "header_damage": damage_json(header_damage),
        "seconds": pace.seconds(),
    });
    put_path(&mut answer, "path", &args.file);
    Ok(answer.into())
}

pub(crate) fn repack(
    console: &Console,
    (file, block_length): (&Path, usize),
    key: &KeyArgs,
    change: ChangeArgs,
) -> Result<Answer> {
    let options = FileOptions::new()
        .block_length(block_length)
        .map_err(usage_of)?;
    let cipher = Keys::new(key).reader()?;
    let meter = console.meter();
    let options = meter.watch(change.among(options));
    signals::leave_word();
    let not_kept = files::repack(&cipher, file, options).with_context(|| escaped_path(file))?;
    meter.stop(0);
    warn_not_kept(console, file, not_kept);
    console.say(format_args!("{}: repacked", escaped_path(file)))?;
    let mut answer = json!({ "command": "repack" });
    put_path(&mut answer, "path", file);
    Ok(answer.into())
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
            let failure = Failure::from(error.context(escaped_path(path)));
            console.complain(&failure);
            let answer = json!({ "error": failure.json() });
            if worst.as_ref().is_none_or(|worst| worst.exit < failure.exit) {
                worst = Some(failure);
            }
            answer
        });
        put_path(&mut answer, "path", path);
        answers.push(answer);
        if signals::caught().is_some() {
            break; // what is done has its answer, and the rest has none
        }
    }
    if let Some(exit) = signals::caught().filter(|_| answers.len() < files.len()) {
        let failure = Failure::new(
            exit,
            "interrupted; the files that have no line were left as they are",
        );
        console.complain(&failure);
        worst = Some(failure);
    }
    let json = json!({ "command": command, "files": answers });
    Ok(Answer::of_several(json, worst.as_ref()))
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
    format!("{} -> {}", escaped_path(input), escaped_path(output))
}
