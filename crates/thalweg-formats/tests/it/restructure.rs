//! Site files as array files and back, against what the reference software made of them.

use std::collections::BTreeMap;
use std::path::Path;

use rstest::rstest;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use thalweg_formats::borealis::{
    BorealisFile, Error, Outcome, RecordValues, RestructureOptions, Restructured, Wanted, bad_records, copy_records,
    restructure,
};
use thalweg_formats::hdf5::{Array, File, FileWriter, Storage};

use crate::data::sample;

fn change(input: &Path, output: &Path) -> Result<Restructured, Error> {
    restructure(input, output, RestructureOptions::default(), &mut |_, _| {})
}

/// Attributes and datasets of the root group.
fn root(path: &Path) -> (BTreeMap<String, Array>, BTreeMap<String, Array>) {
    let file = File::open(path).expect("a file");
    let root = file.root().expect("a root");
    let attributes = file.attributes(&root).expect("attributes").into_iter().map(|one| (one.name, one.value)).collect();
    let datasets = file.links(&root).expect("links").into_iter().map(|link| {
        let dataset = file.dataset(file.open_link(&link).expect("an object")).expect("a dataset");
        (link.name, file.read(&dataset).expect("values"))
    });
    (attributes, datasets.collect())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the reference does otherwise: it loses phase codes, and pads the phases of transmitting antennas to the number of
/// receiving ones.
const OTHERWISE: [&str; 2] = ["pulse_phase_offset", "tx_antenna_phases"];

#[rstest]
#[case::v0_4_rawacf("20200303.2143.00.sas.0.rawacf.hdf5", "", &[])]
#[case::v0_5_rawacf("20211006.2132.00.sas.0.rawacf.hdf5", ".restructured", &[])]
#[case::v0_5_bfiq("20211006.2132.00.sas.0.bfiq.hdf5", ".restructured", &[])]
#[case::v0_6_rawacf("20230115.1400.00.sas.0.rawacf.hdf5", "", &[])]
#[case::v0_6_bfiq("20230115.1400.00.sas.0.bfiq.hdf5", "", &OTHERWISE)]
#[case::v0_6_antennas("20230115.1400.00.sas.0.antennas_iq.hdf5", "", &OTHERWISE)]
#[case::v0_7_rawacf("20240912.1905.41.sas.1.rawacf.hdf5", "", &[])]
#[case::v0_7_bfiq("20240912.1905.41.sas.1.bfiq.hdf5", "", &OTHERWISE)]
#[case::v0_7_antennas("20240912.1905.41.sas.1.antennas_iq.hdf5", "", &OTHERWISE)]
fn site_files_become_the_array_files_of_the_reference(
    #[case] name: &str,
    #[case] more: &str,
    #[case] otherwise: &[&str],
) {
    let (Some(input), Some(expected)) =
        (sample(&format!("borealis/{name}.site")), sample(&format!("expected/{name}{more}.json")))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join(name);
    let done = change(&input, &output).unwrap();
    assert!(done.warnings.is_empty() && done.dropped.is_empty(), "{done:?}");
    let expected: Json = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let (attributes, datasets) = root(&output);
    let names = |value: &Json| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(attributes.keys().cloned().collect::<Vec<_>>(), names(&expected["attributes"]));
    assert_eq!(datasets.keys().cloned().collect::<Vec<_>>(), names(&expected["datasets"]));
    for (field, expected) in expected["attributes"].as_object().unwrap() {
        let found = &attributes[field];
        match expected.as_str() {
            Some(text) => {
                let text = text.trim_start_matches("b'").trim_end_matches('\'');
                assert_eq!(found.fixed_texts().first().map_or("", String::as_str), text, "{field}");
            }
            None => {
                let number = found.to_f64s().map(|numbers| numbers[0]);
                #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
                let number = number.or_else(|| found.to_i64s().map(|numbers| numbers[0] as f64));
                assert_eq!(number, expected.as_f64(), "{field}");
            }
        }
    }
    for (field, expected) in expected["datasets"].as_object().unwrap() {
        if otherwise.contains(&field.as_str()) {
            continue;
        }
        let found = &datasets[field];
        let shape: Vec<usize> = serde_json::from_value(expected["shape"].clone()).unwrap();
        assert_eq!(found.dims(), shape, "{field}");
        if found.dtype.is_text() {
            assert!(expected["dtype"].as_str().unwrap().starts_with("|S"), "{field}");
        } else {
            assert_eq!(found.dtype.to_string(), expected["dtype"].as_str().unwrap(), "{field}");
        }
        assert_eq!(hex(&found.bytes), expected["sha256"].as_str().unwrap(), "{field}");
    }
}

fn records(path: &Path) -> Vec<RecordValues> {
    let mut file = BorealisFile::open(path, Wanted::All, false).expect("a file");
    let mut records = Vec::new();
    while let Some(outcome) = file.next_record().expect("a record") {
        match outcome {
            Outcome::Good(record) => records.push(*record),
            Outcome::Bad(problem) => panic!("{problem}"),
        }
    }
    records
}

#[rstest]
#[case("20200303.2143.00.sas.0.rawacf")]
#[case("20211006.2132.00.sas.0.rawacf")]
#[case("20211006.2132.00.sas.0.bfiq")]
#[case("20230115.1400.00.sas.0.rawacf")]
#[case("20230115.1400.00.sas.0.bfiq")]
#[case("20230115.1400.00.sas.0.antennas_iq")]
#[case("20240912.1905.41.sas.1.rawacf")]
#[case("20240912.1905.41.sas.1.bfiq")]
#[case("20240912.1905.41.sas.1.antennas_iq")]
fn there_and_back_nothing_has_changed(#[case] name: &str) {
    let Some(site) = sample(&format!("borealis/{name}.hdf5.site")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (array, again) = (dir.path().join("x.hdf5"), dir.path().join("x.hdf5.site"));
    change(&site, &array).unwrap();
    change(&array, &again).unwrap();
    let (before, after) = (records(&site), records(&again));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.name, after.name);
        for (field, value) in &before.values {
            let found = &after.values[field];
            if value.dtype.is_text() {
                let texts =
                    |array: &Array| array.fixed_texts().into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>();
                assert_eq!(texts(value), texts(found), "{field}");
            } else {
                assert_eq!(value, found, "{field}");
            }
        }
        assert_eq!(before.values.len(), after.values.len());
    }
}

/// Copies a site file; `edit` may change or leave out the fields of each record, which is named by its number.
fn edited(input: &Path, output: &Path, edit: impl Fn(usize, &str, Array) -> Option<Array>) {
    let file = File::open(input).expect("a file");
    let writer = FileWriter::create(output).expect("a new file");
    for (n, link) in file.links(&file.root().expect("a root")).expect("records").into_iter().enumerate() {
        let group = file.open_link(&link).expect("a record");
        let copy = writer.group(&link.name).expect("a new record");
        for attribute in file.attributes(&group).expect("attributes") {
            if let Some(value) = edit(n, &attribute.name, file.fixed(attribute.value).expect("a value")) {
                copy.attribute(&attribute.name, &value).expect("an attribute");
            }
        }
        for member in file.links(&group).expect("members") {
            let dataset = file.dataset(file.open_link(&member).expect("a member")).expect("a dataset");
            let notes = file.attributes(dataset.object()).expect("notes");
            let notes: Vec<(&str, Array)> =
                notes.iter().map(|one| (one.name.as_str(), file.fixed(one.value.clone()).expect("a note"))).collect();
            if let Some(value) = edit(n, &member.name, file.read(&dataset).expect("values")) {
                copy.dataset(&member.name, &value, &Storage::Contiguous, &notes).expect("a new dataset");
            }
        }
    }
    writer.close().expect("the end");
}

fn twice(value: &Array) -> Array {
    let shape = value.shape.as_ref().map(|shape| vec![shape[0] * 2]);
    Array { shape, bytes: value.bytes.repeat(2), ..value.clone() }
}

#[test]
fn beams_may_grow_after_the_first_record() {
    let Some(input) = sample("borealis/20211006.2132.00.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let [site, array, again] = ["a.site", "a.hdf5", "b.site"].map(|name| dir.path().join(name));
    edited(&input, &site, |record, field, value| {
        Some(match (record, field) {
            (1, "beam_nums" | "beam_azms" | "main_acfs" | "intf_acfs" | "xcfs") => twice(&value),
            (1, "correlation_dimensions") => Array::u32s(&[3], &[2, 75, 23]),
            _ => value,
        })
    });
    change(&site, &array).unwrap();
    let (_, datasets) = root(&array);
    assert_eq!(datasets["main_acfs"].dims(), [3, 2, 75, 23]);
    assert_eq!(datasets["num_beams"].to_i64s().unwrap(), [1, 2, 1]);
    let beams = datasets["beam_azms"].to_f64s().unwrap();
    assert!(beams[1].is_nan() && beams[2] == beams[3] && beams[5].is_nan(), "{beams:?}");
    change(&array, &again).unwrap();
    let (before, after) = (records(&site), records(&again));
    for (before, after) in before.iter().zip(&after) {
        for field in ["main_acfs", "xcfs", "beam_nums", "correlation_dimensions"] {
            assert_eq!(before.values[field], after.values[field], "{field}");
        }
    }
}

#[rstest]
#[case::tau("tau_spacing", Array::u32s(&[], &[1500]), "tau_spacing is [1500]")]
#[case::pulses("pulses", Array::u32s(&[7], &[0, 9, 12, 20, 22, 26, 28]), "pulses is [0, 9, 12, 20, 22, 26, 28]")]
#[case::name("experiment_name", Array::text("Othermode"), "experiment_name is \"Othermode\"")]
fn what_records_share_must_be_equal(#[case] field: &str, #[case] other: Array, #[case] said: &str) {
    let Some(input) = sample("borealis/20211006.2132.00.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (site, array) = (dir.path().join("a.site"), dir.path().join("a.hdf5"));
    edited(&input, &site, |n, name, value| Some(if n == 2 && name == field { other.clone() } else { value }));
    let error = change(&site, &array).unwrap_err().to_string();
    assert!(error.starts_with("record 16335559") && error.contains(said), "{error}");
    let accepting = RestructureOptions { accept_differing: true, ..RestructureOptions::default() };
    let done = restructure(&site, &array, accepting, &mut |_, _| {}).unwrap();
    assert!(done.records == 3 && done.warnings.len() == 1 && done.warnings[0].contains(said), "{done:?}");
}

#[test]
fn bad_records_fail_it_or_are_left_out() {
    let Some(input) = sample("borealis/20230115.1400.00.sas.0.antennas_iq.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (site, array) = (dir.path().join("a.site"), dir.path().join("a.hdf5"));
    edited(&input, &site, |n, name, value| match (n, name) {
        (1, "num_sequences") => Some(Array::i64s(&[], &[77])),
        (2, "freq") => None,
        _ => Some(value),
    });
    let error = change(&site, &array).unwrap_err().to_string();
    assert!(error.starts_with("2 of 4 records are bad") && error.contains("num_sequences says 77"), "{error}");
    assert!(error.contains("freq is missing"), "{error}");
    let dropping = RestructureOptions { drop_bad_records: true, ..RestructureOptions::default() };
    let done = restructure(&site, &array, dropping, &mut |_, _| {}).unwrap();
    assert_eq!((done.records, done.dropped.len()), (2, 2));
    assert_eq!(records(&array).len(), 2);

    // Taken out of the site file itself: first what the radar software gets wrong, then all that is wrong.
    let cleaned = dir.path().join("b.site");
    for (fields, bad) in [(false, 1), (true, 2)] {
        let (found, count) = bad_records(&site, fields).unwrap();
        assert_eq!((found.len(), count), (bad, 4));
        copy_records(&site, &cleaned, &found.into_iter().map(|problem| problem.record).collect()).unwrap();
        assert_eq!(bad_records(&cleaned, true).unwrap().0.len(), 2 - bad);
    }
    let (kept, before) = (records(&cleaned), records(&input));
    assert_eq!(kept.len(), 2);
    for (kept, before) in kept.iter().zip([&before[0], &before[3]]) {
        assert_eq!(kept.name, before.name);
        assert_eq!(kept.values["data"], before.values["data"]);
        assert_eq!(kept.values.len(), before.values.len());
    }
}

#[test]
fn numbers_of_ranges_may_not_differ() {
    let Some(input) = sample("borealis/20211006.2132.00.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("a.site");
    edited(&input, &site, |n, name, value| {
        let fewer = |value: &Array| {
            let mut value = value.clone();
            value.cut(0, 74 * 23);
            value
        };
        Some(match (n, name) {
            (1, "main_acfs" | "intf_acfs" | "xcfs") => fewer(&value),
            (1, "correlation_dimensions") => Array::u32s(&[3], &[1, 74, 23]),
            _ => value,
        })
    });
    let error = change(&site, &dir.path().join("x")).unwrap_err();
    assert!(matches!(&error, Error::Differs { field, .. } if field == "intf_acfs"), "{error}");
}

#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(v1) = sample("borealis/20250912.0000.00.sas.0.rawacf.h5") else { return };
    assert!(matches!(change(&v1, &dir.path().join("x")).unwrap_err(), Error::NoOtherLayout { .. }));
    assert!(matches!(bad_records(&v1, true).unwrap_err(), Error::NoSiteFile));
}

/// Samples that cannot be read make their record bad too, in the first look as in the second.
#[test]
#[expect(clippy::disallowed_methods, reason = "a file is damaged on purpose")]
fn samples_that_disagree_with_their_size_are_left_out() {
    let Some(input) = sample("borealis/20230115.1400.00.sas.0.antennas_iq.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (site, array) = (dir.path().join("a.site"), dir.path().join("a.hdf5"));
    edited(&input, &site, |n, name, mut value| {
        if (n, name) == (1, "data") {
            value.cut(0, 100);
        }
        Some(value)
    });
    let error = change(&site, &array).unwrap_err().to_string();
    assert!(error.starts_with("1 of 4 records are bad") && error.contains("data has a length of 100"), "{error}");
    let dropping = RestructureOptions { drop_bad_records: true, ..RestructureOptions::default() };
    let done = restructure(&site, &array, dropping, &mut |_, _| {}).unwrap();
    assert_eq!((done.records, done.dropped.len(), records(&array).len()), (3, 1, 3));

    // Cut off inside the samples of the last record: nothing is there that could be read.
    let bytes = std::fs::read(&input).unwrap();
    std::fs::write(&site, &bytes[..bytes.len() - 2000]).unwrap();
    assert!(restructure(&site, &array, dropping, &mut |_, _| {}).is_err());
}

#[test]
fn phase_codes_may_be_empty() {
    let Some(input) = sample("borealis/20230115.1400.00.sas.0.bfiq.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let [site, array, again] = ["a.site", "a.hdf5", "b.site"].map(|name| dir.path().join(name));
    edited(&input, &site, |_, name, value| {
        Some(if name == "pulse_phase_offset" { Array::f32s(&[0], &[]) } else { value })
    });
    change(&site, &array).unwrap();
    change(&array, &again).unwrap();
    assert!(records(&again).iter().all(|record| record.values["pulse_phase_offset"].is_empty()));
}

#[test]
fn a_text_that_is_cut_is_told() {
    let Some(input) = sample("borealis/20230115.1400.00.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (site, array) = (dir.path().join("a.site"), dir.path().join("a.hdf5"));
    let long = "x".repeat(300);
    edited(&input, &site, |n, name, value| {
        Some(if (n, name) == (2, "slice_interfacing") { Array::text(&long) } else { value })
    });
    let done = change(&site, &array).unwrap();
    assert!(done.warnings.len() == 1 && done.warnings[0].contains("slice_interfacing is cut to 256"), "{done:?}");
    assert_eq!(records(&array)[2].values["slice_interfacing"].fixed_texts(), ["x".repeat(256)]);
}
