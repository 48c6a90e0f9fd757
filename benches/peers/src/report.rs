//! What came out: medians with their spread, ratios of paired rounds, and both as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// The measurements of one cell, in the order of the rounds: nanoseconds, or bytes where the work says so.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) size: usize,
    pub(crate) contestant: String,
    pub(crate) samples: Vec<f64>,
}

/// A ratio that is worth a line: ours ÷ a peer's.
struct Ratio {
    what: String,
    size: usize,
    ours: (&'static str, &'static str),
    theirs: (&'static str, &'static str),
}

impl Row {
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.samples, 0.5)
    }

    fn is(&self, work: &str, size: usize, contestant: &str) -> bool {
        self.work == work && self.size == size && self.contestant == contestant
    }

    fn is_bytes(&self) -> bool {
        self.work.starts_with("memory") || self.work.ends_with("added")
    }

    fn shown(&self, value: f64) -> String {
        if self.is_bytes() {
            return bytes(value);
        }
        time(value)
    }
}

impl Report {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_slice(&text)?)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        // One row a line: a later run of some works changes few lines.
        let mut text = format!(
            "{{\"machine\": {},\n\"rows\": [\n",
            serde_json::to_string(&self.machine)?
        );
        for (at, row) in self.rows.iter().enumerate() {
            let mut row = row.clone();
            row.samples
                .iter_mut()
                .for_each(|s| *s = (*s * 10.0).round() / 10.0);
            let comma = if at + 1 < self.rows.len() { "," } else { "" };
            writeln!(text, "{}{comma}", serde_json::to_string(&row)?)?;
        }
        text.push_str("]}\n");
        Ok(fs::write(path, text)?)
    }

    /// What `path` holds, with these rows in place of its own of the same kind.
    pub(crate) fn merged_into(self, path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(self);
        }
        let mut merged = Self::read(path)?;
        merged.machine = self.machine;
        for row in self.rows {
            let same = |there: &Row| there.is(&row.work, row.size, &row.contestant);
            match merged.rows.iter_mut().find(|there| same(there)) {
                Some(there) => *there = row,
                None => merged.rows.push(row),
            }
        }
        Ok(merged)
    }

    pub(crate) fn find(&self, work: &str, size: usize, contestant: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.is(work, size, contestant))
    }

    /// The size of the long works whose names begin so.
    pub(crate) fn size_of(&self, prefix: &str) -> usize {
        let row = self.rows.iter().find(|row| row.work.starts_with(prefix));
        row.map_or(0, |row| row.size)
    }

    /// Everything, in Markdown.
    pub(crate) fn table(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{}; {}, {} cores, {} GiB; Linux {}; {}\n",
            machine.date,
            machine.processor,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.rustc
        );
        let versions: Vec<_> = (machine.versions.iter())
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        let _ = writeln!(text, "{}\n", versions.join(", "));
        text += "| work | size | who | median | quartiles |\n| --- | --: | --- | --: | --- |\n";
        for row in &self.rows {
            let at = |part| row.shown(quantile(&row.samples, part));
            let rate = if row.work.starts_with("stream")
                || row.work == "file encrypt"
                || row.work == "file decrypt"
            {
                format!(" ({:.2} GB/s)", row.size as f64 / row.median())
            } else {
                String::new()
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {}{rate} | {} to {} |",
                row.work,
                bytes(row.size as f64),
                row.contestant,
                at(0.5),
                at(0.25),
                at(0.75)
            );
        }
        text += "\n| ours ÷ theirs, median of paired rounds | `aes-gcm` | `aws-lc` |\n| --- | --: | --: |\n";
        for ratio in self.ratios() {
            let cells = [self.ratio(&ratio, ""), self.ratio(&ratio, ", aws-lc")];
            if cells.iter().any(Option::is_some) {
                let [default, aws] = cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
                let _ = writeln!(text, "| {} | {default} | {aws} |", ratio.what);
            }
        }
        text
    }

    fn ratio(&self, ratio: &Ratio, backend: &str) -> Option<String> {
        let ours = self.find(
            ratio.ours.0,
            ratio.size,
            &format!("{}{backend}", ratio.ours.1),
        )?;
        // A peer that has both backends is met with the same one, and `phi` with itself.
        let theirs = self
            .find(
                ratio.theirs.0,
                ratio.size,
                &format!("{}{backend}", ratio.theirs.1),
            )
            .or_else(|| self.find(ratio.theirs.0, ratio.size, ratio.theirs.1))?;
        let ratios: Vec<_> = (ours.samples.iter().zip(&theirs.samples))
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let median = quantile(&ratios, 0.5);
        Some(if median < 0.01 {
            format!("{median:.5}")
        } else {
            format!("{median:.2}")
        })
    }

    fn ratios(&self) -> Vec<Ratio> {
        const SEAL: &str = "record encrypt";
        const OPEN: &str = "record decrypt";
        const SEAL_BATCH: &str = "record encrypt, batch";
        let mut ratios = Vec::new();
        let mut add = |what: String, size, ours, theirs| {
            ratios.push(Ratio {
                what,
                size,
                ours,
                theirs,
            });
        };
        for size in [64, 1 << 10, 16 << 10] {
            let record = format!("record {}", bytes(size as f64));
            let mut line = |what: &str, ours, theirs| {
                add(format!("{record} {what}"), size, (ours, "phi"), theirs);
            };
            let shared = "record encrypt, shared key, batch";
            line("encrypt, own data key ÷ tink", SEAL, (SEAL, "tink"));
            line("decrypt, own data key ÷ tink", OPEN, (OPEN, "tink"));
            line(
                "decrypt, data key in the cache ÷ tink",
                "record decrypt, shared key",
                (OPEN, "tink"),
            );
            line(
                "encrypt, batch of 64 on one core, own data keys ÷ tink, 64 one by one",
                SEAL_BATCH,
                (SEAL_BATCH, "tink"),
            );
            line(
                "encrypt, session, batch of 64 on one core ÷ tink, 64 one by one",
                shared,
                (SEAL_BATCH, "tink"),
            );
            line("encrypt ÷ age", SEAL, (SEAL, "age"));
            line("decrypt ÷ age", OPEN, (OPEN, "age"));
            line("encrypt ÷ aws-esdk", SEAL, (SEAL, "aws-esdk"));
            line("decrypt ÷ aws-esdk", OPEN, (OPEN, "aws-esdk"));
        }
        for work in ["stream encrypt", "stream decrypt"] {
            let size = self.size_of("stream");
            for peer in ["fast-floe", "age", "tink"] {
                let beside = if peer == "fast-floe" {
                    " over the same backend"
                } else {
                    ""
                };
                let what = format!("{work}, one thread ÷ {peer}{beside}");
                add(what, size, (work, "phi one thread"), (work, peer));
            }
            let what = format!("{work}, all threads ÷ own one thread");
            add(what, size, (work, "phi"), (work, "phi one thread"));
        }
        for work in ["file encrypt", "file decrypt"] {
            for peer in ["cp", "fast-floe", "age", "tink"] {
                let what = format!("{work} ÷ {peer}");
                add(what, self.size_of("file"), (work, "phi"), (work, peer));
            }
        }
        for work in ["file range", "file new master key"] {
            for peer in ["fast-floe", "age", "tink"] {
                let what = format!("{work} ÷ {peer}");
                add(what, self.size_of("file"), (work, "phi"), (work, peer));
            }
        }
        ratios
    }
}

pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{} µs", digits(n / 1e3)),
        n if n < 1e9 => format!("{} ms", digits(n / 1e6)),
        n => format!("{} s", digits(n / 1e9)),
    }
}

fn digits(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

pub(crate) fn bytes(value: f64) -> String {
    match value {
        v if v < 1024.0 => format!("{v:.0} B"),
        v if v < 1_048_576.0 => format!("{} KiB", digits(v / 1024.0).trim_end_matches(".00")),
        v if v < 1_073_741_824.0 => {
            format!("{} MiB", digits(v / 1_048_576.0).trim_end_matches(".00"))
        }
        v => format!(
            "{} GiB",
            digits(v / 1_073_741_824.0).trim_end_matches(".00")
        ),
    }
}

fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1)) as f64 * part;
    sorted.get(at.round() as usize).copied().unwrap_or(f64::NAN)
}
