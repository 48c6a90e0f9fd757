//! Looks for windows of secrets in the memory of another process.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a window.
pub const WINDOW: usize = 8;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// Bits by which a window is passed over without a look into the table.
const FILTER_BITS: u32 = 27;

/// All windows of all secrets.
#[derive(Default)]
pub struct Windows {
    names: Vec<String>,
    /// Where a window stands: the secret's number and the place in it.
    places: HashMap<u64, (u32, u32)>,
    filter: Vec<u64>,
}

/// Windows of one secret that were found one after the other.
#[derive(Debug)]
pub struct Finding {
    pub secret: String,
    /// Where in the secret the first window stands.
    pub at: u32,
    /// Bytes.
    pub len: usize,
    pub address: u64,
    /// What the process has there.
    pub region: String,
}

/// What a look at a process found.
#[derive(Debug, Default)]
pub struct Scan {
    pub bytes: u64,
    pub findings: Vec<Finding>,
}

impl Windows {
    pub fn add(&mut self, name: impl Into<String>, secret: &[u8]) {
        if self.filter.is_empty() {
            self.filter = vec![0; 1 << (FILTER_BITS - 6)];
        }
        let number = u32::try_from(self.names.len()).unwrap();
        self.names.push(name.into());
        for (at, window) in secret.windows(WINDOW).enumerate() {
            let window = u64::from_ne_bytes(window.try_into().unwrap());
            // No part of a secret, but what memory is full of.
            let first = window as u8;
            if window == u64::from_ne_bytes([first; 8]) {
                continue;
            }
            let at = u32::try_from(at).unwrap();
            self.places.entry(window).or_insert((number, at));
            let (word, bit) = Self::slot(window);
            self.filter[word] |= bit;
        }
    }

    pub fn secrets(&self) -> usize {
        self.names.len()
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    fn slot(window: u64) -> (usize, u64) {
        let hash = window.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS);
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    /// Looks at all memory that the process may write.
    pub fn look_at(&self, process: u32) -> io::Result<Scan> {
        let memory = File::open(format!("/proc/{process}/mem"))?;
        let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
        let threads = threads(process)?;
        let mut scan = Scan::default();
        for map in maps.lines() {
            let mut fields = map.split_whitespace();
            let (Some(range), Some(rights)) = (fields.next(), fields.next()) else {
                continue;
            };
            if !rights.starts_with("rw") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let (start, end) = (number(start), number(end));
            let on = |(pointer, _): &&(u64, String)| (start..end).contains(pointer);
            let region = match threads.iter().find(on) {
                Some((_, name)) => format!("stack of {name}"),
                None => fields.nth(3).unwrap_or("anonymous").to_owned(),
            };
            self.look_at_region(&memory, (start, end), &region, &mut scan)?;
        }
        Ok(scan)
    }

    fn look_at_region(
        &self,
        memory: &File,
        (start, end): (u64, u64),
        region: &str,
        scan: &mut Scan,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE + WINDOW - 1];
        let mut at = start;
        while at < end {
            let most = usize::try_from(end - at).unwrap().min(piece.len());
            memory.read_exact_at(&mut piece[..most], at)?;
            self.look_at_piece(&piece[..most], at, region, scan);
            at += PIECE as u64;
        }
        scan.bytes += end - start;
        Ok(())
    }

    fn look_at_piece(&self, piece: &[u8], address: u64, region: &str, scan: &mut Scan) {
        for (offset, window) in piece.windows(WINDOW).enumerate() {
            let window = u64::from_ne_bytes(window.try_into().unwrap());
            let (word, bit) = Self::slot(window);
            if self.filter[word] & bit == 0 {
                continue;
            }
            if let Some(&(number, at)) = self.places.get(&window) {
                self.note(number, at, address + offset as u64, region, scan);
            }
        }
    }

    fn note(&self, number: u32, at: u32, address: u64, region: &str, scan: &mut Scan) {
        let secret = &self.names[number as usize];
        if let Some(last) = scan.findings.last_mut() {
            let next = (last.len - WINDOW + 1) as u64;
            if last.secret == *secret
                && last.address + next == address
                && u64::from(last.at) + next == u64::from(at)
            {
                last.len += 1;
                return;
            }
        }
        scan.findings.push(Finding {
            secret: secret.clone(),
            at,
            len: WINDOW,
            address,
            region: region.to_owned(),
        });
    }
}

/// The stack pointers and names of a process's threads, which wait in the kernel.
fn threads(process: u32) -> io::Result<Vec<(u64, String)>> {
    let mut threads = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let folder = thread?.path();
        let call = fs::read_to_string(folder.join("syscall"))?;
        let name = fs::read_to_string(folder.join("comm"))?;
        if let Some(pointer) = call.split_whitespace().rev().nth(1) {
            let pointer = pointer.trim_start_matches("0x");
            threads.push((number(pointer), name.trim().to_owned()));
        }
    }
    Ok(threads)
}

fn number(hex: &str) -> u64 {
    u64::from_str_radix(hex, 16).unwrap_or_default()
}

impl Scan {
    /// Windows of secrets whose names begin so.
    pub fn windows_of(&self, secret: &str) -> usize {
        let of = |finding: &&Finding| finding.secret.starts_with(secret);
        let windows = |finding: &Finding| finding.len - WINDOW + 1;
        self.findings.iter().filter(of).map(windows).sum()
    }
}
