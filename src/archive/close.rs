//! What a scan for evidence finds at its end, when it has seen all: links, names, pairs, and what is not there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::class::FindingClass;
use super::evidence_scan::EvidenceScan;
use super::ledger::Part;
use super::links::more_links;

impl EvidenceScan {
    /// What is found only once all was seen.
    pub(super) fn close(&mut self) -> Part {
        let mut found = Vec::new();
        self.links_out(&mut found);
        self.more_links(&mut found);
        self.pairs(&mut found);
        self.empty(&mut found);
        if let Some(previous) = &self.previous {
            previous.compare(&self.places, &mut found);
        }
        let mut part = Part::default();
        for (class, path, rule) in found {
            part.find(class, &path, &rule, &mut self.budget);
        }
        part
    }

    /// Links that lead out of the places. What a link into them leads to is seen where it is.
    fn links_out(&self, found: &mut Vec<(FindingClass, PathBuf, String)>) {
        let roots: HashSet<&Path> = self.roots.iter().map(PathBuf::as_path).collect();
        let parts = self.places.iter().flat_map(|place| place.parts.values());
        for (path, target) in parts.flat_map(|part| &part.links) {
            let rule = match target {
                Ok(target) if target.ancestors().any(|above| roots.contains(above)) => continue,
                Ok(target) => format!(
                    "a link to {}, which is in none of the places",
                    target.display()
                ),
                Err(error) => format!("a link that cannot be followed: {error}"),
            };
            found.push((FindingClass::LinkOut, path.clone(), rule));
        }
    }

    fn more_links(&self, found: &mut Vec<(FindingClass, PathBuf, String)>) {
        let parts = self.places.iter().flat_map(|place| place.parts.values());
        let mut missing: BTreeMap<PathBuf, (u64, u64)> =
            more_links(parts.flat_map(|part| &part.names));
        for before in &self.names_before {
            missing.extend(before.missing());
        }
        for (path, (links, seen)) in missing {
            let rule = format!("the file has, or had, {links} names, and {seen} were seen");
            found.push((FindingClass::MoreLinks, path, rule));
        }
    }

    // FORMAT §2: an inventory pairs by the id (one header is enough for several copies); evidence counts a pair only where FLOE's header
    // tag verifies under that header's payload key.
    fn pairs(&self, found: &mut Vec<(FindingClass, PathBuf, String)>) {
        let parts = || self.places.iter().flat_map(|place| place.parts.values());
        let mut headers: HashMap<[u8; 16], Vec<_>> = HashMap::new();
        for (path, proof) in parts().flat_map(|part| &part.headers) {
            let of_id = headers.entry(proof.message_id).or_default();
            of_id.push((path, proof, false));
        }
        for (path, payload) in parts().flat_map(|part| &part.payloads) {
            let mut is_paired = false;
            for (_, proof, has_payload) in
                headers.get_mut(&payload.message_id).into_iter().flatten()
            {
                if proof.is_of(payload) {
                    is_paired = true;
                    *has_payload = true;
                }
            }
            if !is_paired {
                let rule = "the payload of a header that was not opened in any of the places";
                found.push((FindingClass::PayloadAlone, path.clone(), rule.to_owned()));
            }
        }
        for (path, _, has_payload) in headers.into_values().flatten() {
            if !has_payload {
                let rule = "the header of a payload that is in none of the places";
                found.push((FindingClass::HeaderAlone, path.clone(), rule.to_owned()));
            }
        }
    }

    fn empty(&self, found: &mut Vec<(FindingClass, PathBuf, String)>) {
        for place in &self.places {
            if place.parts.is_empty() {
                let rule = "nothing was found here".to_owned();
                found.push((FindingClass::EmptyFolder, place.name.clone(), rule));
            }
            for (path, part) in &place.parts {
                if part.entries == 0 {
                    let path = if path.as_os_str().is_empty() {
                        &place.name
                    } else {
                        path
                    };
                    let rule = "nothing is in it: is a volume not mounted?".to_owned();
                    found.push((FindingClass::EmptyFolder, path.clone(), rule));
                }
            }
        }
    }
}
