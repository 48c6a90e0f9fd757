//! A line for each step: what was done, to how much, how fast. A progress bar while it lasts, on a terminal alone.

use std::time::Instant;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};

use super::files::Item;

/// Names the columns.
pub(crate) fn head() {
    println!(
        "  {:<39}{:>6}{:>11}{:>11}{:>9}",
        "", "files", "MB", "seconds", "MB/s"
    );
}

/// Runs a step over these files, which counts its bytes on the bar, and prints its line.
pub(crate) fn step<T>(
    what: &str,
    items: &[Item],
    run: impl FnOnce(&ProgressBar) -> Result<T>,
) -> Result<T> {
    let bytes = items.iter().map(|item| item.bytes).sum();
    let style = "{msg:42} {bar:30} {binary_bytes_per_sec}";
    let bar = ProgressBar::new(bytes).with_message(what.to_owned());
    bar.set_style(ProgressStyle::with_template(style)?);
    let started = Instant::now();
    let out = run(&bar).with_context(|| format!("failed to {what}"));
    let seconds = started.elapsed().as_secs_f64();
    let done = bar.position() as f64 / 1e6;
    bar.finish_and_clear();
    let out = out?;
    let or_blank = |is: bool, text: String| if is { text } else { String::new() };
    println!(
        "  {what:<39}{:>6}{:>11}{seconds:>11.4}{:>9}",
        or_blank(!items.is_empty(), items.len().to_string()),
        or_blank(done > 0.0, format!("{done:.1}")),
        or_blank(done > 0.0, format!("{:.0}", done / seconds)),
    );
    Ok(out)
}

/// Prints what there is to learn from the step above.
pub(crate) fn note(text: impl std::fmt::Display) {
    println!("      {text}");
}
