//! The chart that the README shows.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Report, Row, bytes, time};

const WIDTH: i32 = 960;
const LEFT: i32 = 250;
const RIGHT: i32 = 120;
const BAR: i32 = 20;
const GAP: i32 = 6;
const PANEL: i32 = 58;
const OURS: RGBColor = RGBColor(0x0b, 0x6e, 0x4f);
const THEIRS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const INK: RGBColor = RGBColor(0x1f, 0x29, 0x33);

/// Bars of one work.
struct Panel {
    title: String,
    bars: Vec<Bar>,
}

struct Bar {
    name: String,
    ours: bool,
    nanos: f64,
    label: String,
}

pub(crate) fn draw(report: &Report, svg: &Path) -> Result<()> {
    let panels: Vec<_> = panels(report)
        .into_iter()
        .filter(|panel| !panel.bars.is_empty())
        .collect();
    let height: i32 = panels.iter().map(Panel::height).sum::<i32>() + 80;
    let size = (u32::try_from(WIDTH)?, u32::try_from(height)?);
    let area = SVGBackend::new(svg, size).into_drawing_area();
    let failed = |error| anyhow!("{error}");
    area.fill(&WHITE).map_err(failed)?;
    let text = |size: i32, color: &RGBColor, anchor: HPos| {
        ("sans-serif", size)
            .into_font()
            .color(color)
            .pos(Pos::new(anchor, VPos::Center))
    };
    let mut y = 10;
    for panel in &panels {
        let title = text(17, &INK, HPos::Left);
        area.draw(&Text::new(panel.title.clone(), (16, y + 22), title))
            .map_err(failed)?;
        y += 40;
        let most = panel.bars.iter().map(|bar| bar.nanos).fold(0.0, f64::max);
        let least = panel.bars.iter().map(|bar| bar.nanos).fold(most, f64::min);
        // Where one takes a hundred times as long as another, only a logarithm shows both.
        let logarithm = most / least > 50.0;
        for bar in &panel.bars {
            let part = if logarithm {
                (bar.nanos / least * 2.0).ln() / (most / least * 2.0).ln()
            } else {
                bar.nanos / most
            };
            let right = LEFT + ((f64::from(WIDTH - LEFT - RIGHT) * part) as i32).max(2);
            let color = if bar.ours { OURS } else { THEIRS };
            let name = text(14, &INK, HPos::Right);
            area.draw(&Text::new(bar.name.clone(), (LEFT - 10, y + BAR / 2), name))
                .map_err(failed)?;
            area.draw(&Rectangle::new(
                [(LEFT, y), (right, y + BAR)],
                color.filled(),
            ))
            .map_err(failed)?;
            let label = text(14, &INK, HPos::Left);
            area.draw(&Text::new(
                bar.label.clone(),
                (right + 8, y + BAR / 2),
                label,
            ))
            .map_err(failed)?;
            y += BAR + GAP;
        }
        if logarithm {
            let note = text(12, &THEIRS, HPos::Right);
            area.draw(&Text::new(
                "logarithmic",
                (WIDTH - 16, y - PANEL / 2 - 1),
                note,
            ))
            .map_err(failed)?;
        }
        y += PANEL - 40;
    }
    let machine = &report.machine;
    let footer = format!(
        "Time, less is better. {}: medians of interleaved rounds on {}, {} cores, {}.",
        machine.date, machine.processor, machine.cores, machine.rustc
    );
    area.draw(&Text::new(footer, (16, y + 22), text(12, &INK, HPos::Left)))
        .map_err(failed)?;
    area.present().map_err(failed)?;
    Ok(())
}

impl Panel {
    fn height(&self) -> i32 {
        let bars = i32::try_from(self.bars.len()).unwrap_or(0);
        PANEL + bars * (BAR + GAP)
    }
}

fn panels(report: &Report) -> Vec<Panel> {
    let (stream, file) = (report.size_of("stream"), report.size_of("file"));
    let panel = |title: String, size, cells: &[(&str, &str, &str)], rate| Panel {
        title,
        bars: (cells.iter())
            .filter_map(|(work, contestant, name)| {
                let row = report.find(work, size, contestant)?;
                Some(bar(row, name, rate))
            })
            .collect(),
    };
    let seal = "record encrypt";
    let open = "record decrypt";
    let shared = "record encrypt, shared key, batch";
    let encrypt = "file encrypt";
    let rotate = "file new master key";
    vec![
        panel(
            "A record of 1 KiB, encrypted under a data key of its own".to_owned(),
            1024,
            &[
                (shared, "phi", "phi-envelope, session, batch"),
                (seal, "phi, aws-lc", "phi-envelope, aws-lc"),
                (seal, "phi", "phi-envelope"),
                (seal, "tink", "tink"),
                (seal, "age", "age"),
                (seal, "aws-esdk", "aws-esdk"),
            ],
            false,
        ),
        panel(
            "The same record decrypted".to_owned(),
            1024,
            &[
                (
                    "record decrypt, shared key",
                    "phi",
                    "phi-envelope, cached key",
                ),
                (open, "phi, aws-lc", "phi-envelope, aws-lc"),
                (open, "phi", "phi-envelope"),
                (open, "tink", "tink"),
                (open, "age", "age"),
                (open, "aws-esdk", "aws-esdk"),
            ],
            false,
        ),
        panel(
            format!("A stream of {} encrypted in memory", bytes(stream as f64)),
            stream,
            &[
                (
                    "stream encrypt",
                    "phi, aws-lc",
                    "phi-envelope, aws-lc, all cores",
                ),
                (
                    "stream encrypt",
                    "phi one thread, aws-lc",
                    "phi-envelope, aws-lc",
                ),
                ("stream encrypt", "phi", "phi-envelope, all cores"),
                ("stream encrypt", "phi one thread", "phi-envelope"),
                ("stream encrypt", "fast-floe, aws-lc", "fast-floe, aws-lc"),
                ("stream encrypt", "fast-floe", "fast-floe"),
                ("stream encrypt", "age", "age"),
                ("stream encrypt", "tink", "tink"),
            ],
            true,
        ),
        panel(
            format!(
                "A file of {} encrypted, memory to memory",
                bytes(file as f64)
            ),
            file,
            &[
                (encrypt, "phi, aws-lc", "phi-envelope, aws-lc"),
                (encrypt, "phi", "phi-envelope"),
                (encrypt, "cp", "cp, no encryption"),
                (encrypt, "fast-floe, aws-lc", "fast-floe, aws-lc"),
                (encrypt, "age", "age"),
                (encrypt, "tink", "tink"),
            ],
            true,
        ),
        panel(
            format!("A file of {} moved to a new key", bytes(file as f64)),
            file,
            &[
                (rotate, "phi", "phi-envelope, rewrap"),
                (rotate, "fast-floe, aws-lc", "fast-floe, aws-lc, anew"),
                (rotate, "age", "age, anew"),
                (rotate, "tink", "tink, anew"),
            ],
            false,
        ),
    ]
}

fn bar(row: &Row, name: &str, rate: bool) -> Bar {
    let nanos = row.median();
    let label = if rate {
        format!("{} ({:.1} GB/s)", time(nanos), row.size as f64 / nanos)
    } else {
        time(nanos)
    };
    Bar {
        name: name.to_owned(),
        ours: row.contestant.starts_with("phi"),
        nanos,
        label,
    }
}
