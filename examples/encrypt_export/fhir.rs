//! A synthetic FHIR R4 bulk export: five NDJSON files, one resource a line, as a server's `$export` writes them.
//!
//! Everyone in it is invented: medical record numbers under HL7's example root, social security numbers of a range that
//! is never issued, telephone numbers reserved for fiction, places that do not exist. The codes and their displays are
//! real (LOINC, SNOMED CT, RxNorm, UCUM), every reference leads to a resource of the same export, and a condition moves
//! the values that it moves in life. The same seed writes the same bytes; most of them are observations.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Writes `Patient.ndjson`, `Encounter.ndjson`, `Observation.ndjson`, `Condition.ndjson` and `MedicationRequest.ndjson`
/// into `folder`, which is created where it is missing, and returns their paths in this order.
///
/// Together they hold at least `total_bytes`, and more than that by less than one patient's first visit (some 30 kB).
///
/// # Errors
///
/// What creating the folder, or creating and writing the files, reports.
pub(crate) fn write_export(folder: &Path, total_bytes: u64, seed: u64) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    #[rustfmt::skip]
    let mut export = Export { random: Random(seed), files: Vec::new(), line: String::new(), bytes: 0 };
    for resource in RESOURCES {
        let path = folder.join(format!("{resource}.ndjson"));
        let file = BufWriter::with_capacity(1 << 18, File::create(&path)?);
        export.files.push((resource, path, file));
    }
    let mut number = 0;
    while export.bytes < total_bytes {
        number += 1;
        export.chart(number, total_bytes)?;
    }
    export.finish()
}

const HL7: &str = "http://terminology.hl7.org/CodeSystem/";
const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
const EXPORTED: Instant = Instant(1_768_446_000); // 2026-01-15

/// A code and its display.
type Code = (&'static str, &'static str);

/// SNOMED CT condition, the LOINC codes that it raises, RxNorm medication, how to take it, how often a day, unit of a dose.
#[rustfmt::skip]
struct Illness(Code, &'static [&'static str], Code, &'static str, u8, &'static str);

/// LOINC code, UCUM unit and how it is written, the normal range, decimals.
struct Measure(Code, Code, f64, f64, u8);

#[rustfmt::skip]
const RESOURCES: [&str; 5] = ["Patient", "Encounter", "Observation", "Condition", "MedicationRequest"];
#[rustfmt::skip]
const ILLNESSES: [Illness; 5] = [
    Illness(("44054006", "Diabetes mellitus type 2 (disorder)"), &["2339-0", "4548-4", "29463-7"], ("860975", "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet"),
        "Take 1 tablet by mouth twice daily with meals.", 2, "tablet"),
    Illness(("38341003", "Hypertensive disorder, systemic arterial (disorder)"), &["8480-6", "8462-4"], ("314076", "lisinopril 10 MG Oral Tablet"),
        "Take 1 tablet by mouth once daily.", 1, "tablet"),
    Illness(("195967001", "Asthma (disorder)"), &["9279-1", "8867-4"], ("745679", "200 ACTUAT albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"),
        "Inhale 1 puff every 6 hours as needed.", 4, "puff"),
    Illness(("55822004", "Hyperlipidemia (disorder)"), &["2093-3"], ("314231", "simvastatin 10 MG Oral Tablet"),
        "Take 1 tablet by mouth every evening.", 1, "tablet"),
    Illness(("69896004", "Rheumatoid arthritis (disorder)"), &["1988-5"], ("310965", "ibuprofen 200 MG Oral Tablet"),
        "Take 1 tablet by mouth three times daily with food.", 3, "tablet"),
];
#[rustfmt::skip]
const VITALS: [Measure; 6] = [
    Measure(("8480-6", "Systolic blood pressure"), ("mm[Hg]", "mmHg"), 95.0, 130.0, 0),
    Measure(("8462-4", "Diastolic blood pressure"), ("mm[Hg]", "mmHg"), 60.0, 85.0, 0),
    Measure(("29463-7", "Body weight"), ("kg", "kg"), 52.0, 96.0, 1),
    Measure(("8867-4", "Heart rate"), ("/min", "beats/min"), 56.0, 98.0, 0),
    Measure(("9279-1", "Respiratory rate"), ("/min", "breaths/min"), 12.0, 18.0, 0),
    Measure(("8310-5", "Body temperature"), ("Cel", "Cel"), 36.2, 37.4, 1),
];
#[rustfmt::skip]
const LABS: [Measure; 6] = [
    Measure(("2339-0", "Glucose [Mass/volume] in Blood"), ("mg/dL", "mg/dL"), 70.0, 110.0, 0),
    Measure(("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"), ("%", "%"), 4.3, 5.7, 1),
    Measure(("718-7", "Hemoglobin [Mass/volume] in Blood"), ("g/dL", "g/dL"), 12.0, 17.0, 1),
    Measure(("2823-3", "Potassium [Moles/volume] in Serum or Plasma"), ("mmol/L", "mmol/L"), 3.5, 5.1, 1),
    Measure(("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma"), ("mg/dL", "mg/dL"), 140.0, 200.0, 0),
    Measure(("1988-5", "C reactive protein [Mass/volume] in Serum or Plasma"), ("mg/L", "mg/L"), 0.3, 8.0, 1),
];
#[rustfmt::skip]
const GIVEN: [Code; 6] = [("female", "Ada"), ("male", "Bruno"), ("female", "Chidinma"), ("male", "Hiroshi"), ("female", "Grażyna"), ("male", "Joaquín")];
#[rustfmt::skip]
const FAMILIES: [&str; 6] = ["Testperson", "Samplewood", "Mockridge", "Example-Jones", "Imaginado", "O’Synthetic"];
#[rustfmt::skip]
const STREETS: [Code; 3] = [("Nowhere Lane", "Exampleville"), ("Invented Avenue", "Port Mockup"), ("Lorem Court", "Saint Placeholder")];
#[rustfmt::skip]
const CLINICIANS: [&str; 4] = ["Dr. Vera Madeup", "Dr. Paul Sampleton", "Dr. Noor Fictive", "Dr. Liam Stub"];
#[rustfmt::skip]
const VISITS: [(Code, Code); 3] = [
    (("AMB", "ambulatory"), ("185349003", "Encounter for check up (procedure)")),
    (("AMB", "ambulatory"), ("390906007", "Follow-up encounter (procedure)")),
    (("EMER", "emergency"), ("50849002", "Emergency room admission (procedure)")),
];

/// What the resources of one visit share: patient, encounter, start, the patient's illnesses.
struct Visit<'a>(&'a Uuid, Uuid, Instant, &'a [&'a Illness]);

struct Export {
    random: Random,
    files: Vec<(&'static str, PathBuf, BufWriter<File>)>,
    line: String,
    bytes: u64,
}

#[rustfmt::skip] // templates, one resource a line
impl Export {
    /// One patient with all that refers to them; ends early where the export is as long as it shall be.
    fn chart(&mut self, number: u64, total_bytes: u64) -> io::Result<()> {
        let patient = &self.random.uuid();
        self.patient(number, patient)?;
        let ill = &ILLNESSES.iter().filter(|_| self.random.below(3) == 0).collect::<Vec<_>>();
        let mut time = Instant(1_546_300_800 + self.random.below(365 * 86_400)); // in 2019
        for number in 0..4 + self.random.below(10) {
            let encounter = self.random.uuid();
            let visit = &Visit(patient, encounter, time, ill);
            self.encounter(visit)?;
            if number == 0 { self.illnesses(visit)?; }
            VITALS.iter().try_for_each(|vital| self.observation(visit, ("vital-signs", "Vital Signs"), vital))?;
            if number % 2 == 0 {
                LABS.iter().try_for_each(|lab| self.observation(visit, ("laboratory", "Laboratory"), lab))?;
            }
            if self.bytes >= total_bytes { break; }
            time.0 += 86_400 * (20 + self.random.below(150)) + 60 * self.random.below(480);
        }
        Ok(())
    }

    fn patient(&mut self, number: u64, id: &Uuid) -> io::Result<()> {
        let random = &mut self.random;
        let ((gender, given), family) = (random.pick(&GIVEN), random.pick(&FAMILIES));
        let born = Instant(random.below(35 * 365 * 86_400)).date(); // 1970 to 2004
        let ssn = format!("{}-{}-{:04}", 900 + random.below(100), 10 + random.below(60), 1 + random.below(9_999));
        let (phone, house) = (random.below(100), 1 + random.below(400));
        let (street, city) = random.pick(&STREETS);
        self.write("Patient", id, &EXPORTED, format_args!(
            r#""identifier":[{{"use":"usual","type":{},"system":"urn:oid:2.16.840.1.113883.19.5","value":"MRN-{number:08}"}},{{"use":"official","system":"http://hl7.org/fhir/sid/us-ssn","value":"{ssn}"}}],"active":true,"name":[{{"use":"official","family":"{family}","given":["{given}"]}}],"telecom":[{{"system":"phone","value":"+1-202-555-01{phone:02}","use":"home"}}],"gender":"{gender}","birthDate":"{born}","address":[{{"use":"home","type":"physical","line":["{house} {street}"],"city":"{city}","state":"ZZ","postalCode":"00000","country":"US"}}]"#,
            Concept(HL7, "v2-0203", ("MR", "Medical record number")),
        ))
    }

    fn encounter(&mut self, Visit(patient, id, time, _): &Visit<'_>) -> io::Result<()> {
        let ((class, class_display), code) = *self.random.pick(&VISITS);
        let clinician = self.random.pick(&CLINICIANS);
        let end = Instant(time.0 + 900 + 60 * self.random.below(90));
        self.write("Encounter", id, &end, format_args!(
            r#""status":"finished","class":{{"system":"{HL7}v3-ActCode","code":"{class}","display":"{class_display}"}},"type":[{}],"subject":{{"reference":"Patient/{patient}"}},"participant":[{{"individual":{{"display":"{clinician}"}}}}],"period":{{"start":"{time}","end":"{end}"}},"serviceProvider":{{"display":"Exampleville Community Clinic"}}"#,
            Concept(SNOMED, "", code),
        ))
    }

    fn observation(&mut self, visit: &Visit<'_>, category: Code, measure: &Measure) -> io::Result<()> {
        let Visit(patient, encounter, time, ill) = visit;
        let Measure(code, unit, low, high, decimals) = *measure;
        let raised = ill.iter().any(|illness| illness.1.contains(&code.0));
        let (id, value) = (self.random.uuid(), self.random.value(measure, raised));
        let flag = if value > high { ("H", "High") } else { ("N", "Normal") };
        self.write("Observation", &id, time, format_args!(
            r#""status":"final","category":[{}],"code":{},"subject":{{"reference":"Patient/{patient}"}},"encounter":{{"reference":"Encounter/{encounter}"}},"effectiveDateTime":"{time}","issued":"{time}","valueQuantity":{},"interpretation":[{}],"referenceRange":[{{"low":{},"high":{}}}]"#,
            Concept(HL7, "observation-category", category), Concept(LOINC, "", code), Quantity(value, decimals, unit),
            Concept(HL7, "v3-ObservationInterpretation", flag), Quantity(low, decimals, unit), Quantity(high, decimals, unit),
        ))
    }

    fn illnesses(&mut self, Visit(patient, encounter, time, ill): &Visit<'_>) -> io::Result<()> {
        for Illness(code, _, drug, taken, daily, dose) in *ill {
            let (condition, order) = (self.random.uuid(), self.random.uuid());
            let onset = Instant(time.0 - 86_400 * self.random.below(2_000)).date();
            let (clinician, repeats) = (self.random.pick(&CLINICIANS), self.random.below(4));
            self.write("Condition", &condition, time, format_args!(
                r#""clinicalStatus":{},"verificationStatus":{},"category":[{}],"code":{},"subject":{{"reference":"Patient/{patient}"}},"encounter":{{"reference":"Encounter/{encounter}"}},"onsetDateTime":"{onset}","recordedDate":"{time}","asserter":{{"display":"{clinician}"}}"#,
                Concept(HL7, "condition-clinical", ("active", "Active")), Concept(HL7, "condition-ver-status", ("confirmed", "Confirmed")),
                Concept(HL7, "condition-category", ("problem-list-item", "Problem List Item")), Concept(SNOMED, "", *code),
            ))?;
            self.write("MedicationRequest", &order, time, format_args!(
                r#""status":"active","intent":"order","medicationCodeableConcept":{},"subject":{{"reference":"Patient/{patient}"}},"encounter":{{"reference":"Encounter/{encounter}"}},"authoredOn":"{time}","requester":{{"display":"{clinician}"}},"reasonReference":[{{"reference":"Condition/{condition}"}}],"dosageInstruction":[{{"sequence":1,"text":"{taken}","timing":{{"repeat":{{"frequency":{daily},"period":1,"periodUnit":"d"}}}},"doseAndRate":[{{"doseQuantity":{{"value":1,"unit":"{dose}"}}}}]}}],"dispenseRequest":{{"numberOfRepeatsAllowed":{repeats},"expectedSupplyDuration":{}}}"#,
                Concept(RXNORM, "", *drug), Quantity(90.0, 0, ("d", "days")),
            ))?;
        }
        Ok(())
    }

    /// Writes one line to the resource's file.
    fn write(&mut self, resource: &str, id: &Uuid, updated: &Instant, rest: fmt::Arguments<'_>) -> io::Result<()> {
        self.line.clear();
        writeln!(self.line, r#"{{"resourceType":"{resource}","id":"{id}","meta":{{"lastUpdated":"{updated}"}},{rest}}}"#)
            .map_err(io::Error::other)?;
        self.bytes += self.line.len() as u64;
        for (_, _, file) in self.files.iter_mut().filter(|file| file.0 == resource) {
            file.write_all(self.line.as_bytes())?;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<Vec<PathBuf>> {
        self.files.into_iter().map(|(_, path, mut file)| file.flush().map(|()| path)).collect()
    }
}

/// A family of code systems, one of it, a code with its display: a `CodeableConcept`.
struct Concept<'a>(&'a str, &'a str, Code);

impl fmt::Display for Concept<'_> {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(family, system, (code, display)) = self;
        write!(f, r#"{{"coding":[{{"system":"{family}{system}","code":"{code}","display":"{display}"}}],"text":"{display}"}}"#)
    }
}

/// A value, its decimals, its UCUM unit: a `Quantity`.
struct Quantity(f64, u8, Code);

impl fmt::Display for Quantity {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self(value, _, (code, unit)), decimals) = (self, usize::from(self.1));
        write!(f, r#"{{"value":{value:.decimals$},"unit":"{unit}","system":"http://unitsofmeasure.org","code":"{code}"}}"#)
    }
}

/// SplitMix64: small, fast, the same on every machine, and of no use for keys.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        #[allow(clippy::cast_possible_truncation, clippy::indexing_slicing)] // below the length
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// A value most often near the middle of the normal range, or above it where an illness raises it.
    fn value(&mut self, Measure(_, _, low, high, decimals): &Measure, raised: bool) -> f64 {
        let place = (self.below(1_001) + self.below(1_001)) as f64 / 2_000.0;
        let value = low + (high - low) * if raised { 0.6 + place } else { place };
        let scale = 10_f64.powi(i32::from(*decimals));
        (value * scale).round() / scale
    }

    fn uuid(&mut self) -> Uuid {
        Uuid(self.next(), self.next())
    }
}

/// Shown as a UUID of version 4.
struct Uuid(u64, u64);

impl fmt::Display for Uuid {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(high, low) = self;
        let (version, variant) = (0x4000 | (high & 0xFFF), 0x8000 | ((low >> 48) & 0x3FFF));
        write!(f, "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}", high >> 32, (high >> 16) & 0xFFFF, low & 0xFFFF_FFFF_FFFF)
    }
}

/// Seconds since 1970, shown as a FHIR instant in UTC.
#[derive(Clone, Copy)]
struct Instant(u64);

impl Instant {
    /// Year, month and day, counted in years that begin with March, so that a leap day comes last.
    fn date(self) -> String {
        let days = self.0 / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = (era * 400 + year + month / 10, (month + 2) % 12 + 1);
        format!("{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Instant {
    #[rustfmt::skip]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 % 86_400;
        write!(f, "{}T{:02}:{:02}:{:02}Z", self.date(), seconds / 3_600, seconds / 60 % 60, seconds % 60)
    }
}
