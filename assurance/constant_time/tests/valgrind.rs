//! What depends on a key: nothing but the verdicts, each at its one place.
//!
//! Valgrind's memcheck follows undefined bytes through every operation and reports a branch or an address that depends on one. The
//! program marks its keys undefined. Where valgrind is not installed the test says so and passes, unless `ASSURANCE_MUST_RUN` is set.

use std::collections::BTreeSet;
use std::process::Command;

/// Where a verdict is made public, by the report's innermost frame, and which. From there on its result is returned as an error or as
/// none, which is what a caller is told anyway. No comparison stands there: one that ended early would report each byte, see `most`.
const VERDICTS: [(&str, &str); 12] = [
    (
        "AeadInOut>::decrypt_inout_detached (src/lib.rs",
        "an AES-GCM tag: all 16 bytes were compared",
    ),
    (
        "Secret<_>::try_filled (secret.rs",
        "the wrapped data key's AES-GCM tag, passed on by `?`",
    ),
    ("verify_tag (unlocked.rs", "the header tag"),
    ("Verified::admit (unlock.rs", "the bindings tag"),
    (
        "record::open_payload (record.rs",
        "a record's AES-GCM tag, passed on by `?`",
    ),
    (
        "EnvelopeCipher>::decrypt_buffer (record.rs",
        "a record's AES-GCM tag, passed on by `?`",
    ),
    (
        "floe::message::Message::verify (message.rs",
        "the tag of a FLOE header",
    ),
    (
        "open_in_place (open.rs",
        "a segment's AES-GCM tag, passed on by `?`",
    ),
    (
        "{closure#2} (passphrase.rs",
        "the check value of a passphrase slot",
    ),
    // AWS-LC.
    ("aws_lc_rs::", "an AES-GCM tag, as AWS-LC returns it"),
    (
        "aead_aes_gcm_open_gather_impl (e_aes.c",
        "an AES-GCM tag, after AWS-LC's CRYPTO_memcmp",
    ),
    (
        "gcm::aws_lc::verdict (aws_lc.rs",
        "an AES-GCM tag, as AWS-LC returns it",
    ),
];

/// Argon2id chooses the blocks that it reads by what it computed before, from the second half of its first pass on (RFC 9106
/// §3.4.1.3): its memory accesses depend on the passphrase by design.
const BY_DESIGN: &str = "argon2::Argon2::fill_blocks";

/// The frames of each kind of report, innermost first, and how many reports there were.
fn reports(scenario: &str) -> Option<(BTreeSet<Vec<String>>, usize)> {
    let log = std::env::temp_dir().join(format!("phi-envelope-{scenario}-{}", std::process::id()));
    let outcome = Command::new("valgrind")
        .args([
            "--error-limit=no",
            "--num-callers=40",
            "--undef-value-errors=yes",
            "--leak-check=no",
        ])
        .arg(format!("--log-file={}", log.display()))
        .arg(env!("CARGO_BIN_EXE_phi-envelope-constant-time"))
        .arg(scenario)
        .output();
    let output = match outcome {
        Ok(output) => output,
        Err(error) => {
            let must = std::env::var_os("ASSURANCE_MUST_RUN").is_some_and(|must| !must.is_empty());
            assert!(!must, "valgrind does not start: {error}");
            eprintln!("SKIPPED: valgrind does not start: {error}");
            return None;
        }
    };
    let text = std::fs::read_to_string(&log).unwrap();
    let _ = std::fs::remove_file(&log);
    assert!(
        output.stdout.ends_with(b"done\n"),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut found = BTreeSet::new();
    let mut frames = Vec::new();
    for line in text.lines() {
        let line = line
            .split_once("== ")
            .map_or("", |(_, line)| line.trim_start());
        if let Some((_, frame)) = line
            .split_once(": ")
            .filter(|(at, _)| at.starts_with("at 0x") || at.starts_with("by 0x"))
        {
            frames.push(frame.to_owned());
        } else if !frames.is_empty() {
            found.insert(std::mem::take(&mut frames));
        }
    }
    let (_, summary) = text.rsplit_once("ERROR SUMMARY: ").unwrap();
    let errors = summary.split_whitespace().next().unwrap();
    Some((found, errors.replace(',', "").parse().unwrap()))
}

/// Checks that a scenario reports verdicts alone, and at most so many: a comparison that ended early would report each byte.
fn check(scenario: &str, most: usize) {
    let Some((found, errors)) = reports(scenario) else {
        return;
    };
    let by_design = |frames: &&Vec<String>| frames.iter().any(|frame| frame.contains(BY_DESIGN));
    let of_verdicts: Vec<_> = found.iter().filter(|frames| !by_design(frames)).collect();
    eprintln!(
        "{scenario}: {} contexts of verdicts, {} by design, {errors} reports",
        of_verdicts.len(),
        found.len() - of_verdicts.len(),
    );
    for frames in of_verdicts {
        // What is inlined stands in front of the function that it is in.
        let near = || frames.iter().take(3);
        let verdict = VERDICTS
            .iter()
            .find(|(name, _)| near().any(|frame| frame.contains(name)));
        let said = frames.join("\n    by ");
        assert!(verdict.is_some(), "depends on a key:\n    at {said}");
    }
    let designed = found.iter().any(|frames| by_design(&frames));
    assert_eq!(designed, scenario == "passphrase");
    assert!(
        designed || errors <= most,
        "{errors} reports, {most} verdicts"
    );
}

#[test]
fn a_leaky_comparison_is_caught() {
    let Some((found, errors)) = reports("leaky") else {
        return;
    };
    eprintln!("leaky: {} contexts, {errors} reports", found.len());
    assert!(
        found
            .iter()
            .any(|frames| frames.iter().any(|frame| frame.contains("leaky")))
    );
    // One for each byte but the last: more than the verdicts of any scenario here may be.
    assert!(errors >= 31, "{errors} reports");
}

#[test]
fn sealing_depends_on_no_key_and_no_plaintext() {
    check("encrypt", 0);
}

#[test]
fn opening_a_record() {
    check("record", 12);
}

#[test]
fn refusing_a_record() {
    check("refused", 24);
}

#[test]
fn opening_a_stream() {
    check("stream", 16);
}

#[test]
fn opening_with_a_passphrase() {
    check("passphrase", 0);
}
