//! `superdarn to-dmap`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use rstest::rstest;
use thalweg_core::{ErrorClass, ReportLine};
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write};
use thalweg_formats::dmap::{Elements, Reader, Scalar, TextMode};
use thalweg_steps::superdarn::{ToDmapOptions, ToDmapSummary, to_dmap};
use thalweg_steps::{Error, VerbContext};

use crate::data::sample;

fn convert(input: &Path, output: &Path, options: &ToDmapOptions) -> Result<ToDmapSummary, Error> {
    to_dmap(&[input.to_owned()], output, options, &VerbContext::default())
}

#[rstest]
#[case::v0_4("borealis/20200303.2143.00.sas.0.rawacf.hdf5.site", "20200303.2143.00.sas.a.rawacf")]
#[case::v0_5_real("borealis/20211006.2132.00.sas.0.rawacf.hdf5.site", "20211006.2132.00.sas.a.rawacf")]
#[case::v0_5_real_array("borealis/20211006.2132.00.sas.0.rawacf.hdf5", "20211006.2132.00.sas.a.rawacf.from_array")]
#[case::v0_6("borealis/20230115.1400.00.sas.0.rawacf.hdf5.site", "20230115.1400.00.sas.a.rawacf")]
#[case::v0_7("borealis/20240912.1905.41.sas.1.rawacf.hdf5.site", "20240912.1905.41.sas.b.rawacf")]
#[case::v1("borealis/20250912.0000.00.sas.0.rawacf.h5", "20250912.0000.00.sas.a.rawacf")]
fn equals_the_reference_byte_for_byte(#[case] input: &str, #[case] expected: &str) {
    let (Some(input), Some(expected)) = (sample(input), sample(&format!("expected/{expected}"))) else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.rawacf");
    let summary = convert(&input, &output, &ToDmapOptions::default()).unwrap();
    assert!(summary.warnings.is_empty() && summary.dropped.is_empty(), "{summary:?}");
    let (found, expected) = (fs::read(&output).unwrap(), fs::read(expected).unwrap());
    assert_eq!(summary.bytes, found.len() as u64);
    let first = found.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((first, found.len()), (None, expected.len()));
}

/// The array files that the reference made of site files give the same records as the site files, but for the comment.
#[rstest]
#[case::v0_4("20200303.2143.00.sas.0.rawacf.hdf5", "20200303.2143.00.sas.a.rawacf")]
#[case::v0_5("20211006.2132.00.sas.0.rawacf.hdf5.restructured", "20211006.2132.00.sas.a.rawacf")]
#[case::v0_6("20230115.1400.00.sas.0.rawacf.hdf5", "20230115.1400.00.sas.a.rawacf")]
#[case::v0_7("20240912.1905.41.sas.1.rawacf.hdf5", "20240912.1905.41.sas.b.rawacf")]
fn array_files_give_the_same_records(#[case] input: &str, #[case] expected: &str) {
    let (Some(path), Some(expected)) = (sample(&format!("expected/{input}")), sample(&format!("expected/{expected}")))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.rawacf");
    let name = format!("{}.site", input.trim_end_matches(".restructured"));
    let options = ToDmapOptions { source_name: Some(name), ..ToDmapOptions::default() };
    convert(&path, &output, &options).unwrap();
    assert!(fs::read(&output).unwrap() == fs::read(expected).unwrap());
}

#[rstest]
#[case::v0_5_real("borealis/20211006.2132.00.sas.0.bfiq.hdf5.site", "20211006.2132.00.sas.a.iqdat")]
#[case::v0_5_real_array("borealis/20211006.2132.00.sas.0.bfiq.hdf5", "20211006.2132.00.sas.a.iqdat.from_array")]
#[case::v0_6("borealis/20230115.1400.00.sas.0.bfiq.hdf5.site", "20230115.1400.00.sas.a.iqdat")]
#[case::v0_7("borealis/20240912.1905.41.sas.1.bfiq.hdf5.site", "20240912.1905.41.sas.b.iqdat")]
#[case::v1("borealis/20250912.0000.00.sas.0.bfiq.h5", "20250912.0000.00.sas.a.iqdat")]
fn samples_equal_the_reference_with_its_faults(#[case] input: &str, #[case] expected: &str) {
    let (Some(input), Some(expected)) = (sample(input), sample(&format!("expected/{expected}"))) else { return };
    let dir = tempfile::tempdir().unwrap();
    let compat = dir.path().join("compat.iqdat");
    convert(&input, &compat, &ToDmapOptions { compat: true, ..ToDmapOptions::default() }).unwrap();
    let (found, expected) = (fs::read(&compat).unwrap(), fs::read(expected).unwrap());
    let first = found.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((first, found.len()), (None, expected.len()));

    // Without them the times are those of the sequences, and the interferometer is told.
    let true_one = dir.path().join("true.iqdat");
    convert(&input, &true_one, &ToDmapOptions::default()).unwrap();
    let mut reader = Reader::new(fs::File::open(&true_one).unwrap()).unwrap();
    let record = reader.next_raw().unwrap().unwrap().parse(TextMode::Strict).unwrap();
    let Some(Elements::Int(seconds)) = record.vector("tsc").map(|vector| &vector.data) else { panic!("no tsc") };
    let Some(Elements::Int(micros)) = record.vector("tus").map(|vector| &vector.data) else { panic!("no tus") };
    let number = |field: &str| record.scalar(field).and_then(Scalar::as_i64).unwrap();
    assert_eq!((i64::from(seconds[0]) % 60, i64::from(micros[0])), (number("time.sc"), number("time.us")));
    assert_eq!(number("xcf"), number("chnnum") - 1);
}

#[test]
fn several_inputs_follow_each_other_and_bz2_is_compressed() {
    let names = ["borealis/20211006.2132.00.sas.0.rawacf.hdf5.site", "borealis/20250912.0000.00.sas.0.rawacf.h5"];
    let Some(inputs) = names.into_iter().map(sample).collect::<Option<Vec<PathBuf>>>() else { return };
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("out.rawacf");
    let packed = dir.path().join("out.rawacf.bz2");
    let report = dir.path().join("report");
    let context = VerbContext::new(Some(report.clone())).unwrap();
    let summary = to_dmap(&inputs, &plain, &ToDmapOptions::default(), &context).unwrap();
    assert_eq!((summary.records_read, summary.records_written), (7, 7));
    to_dmap(&inputs, &packed, &ToDmapOptions::default(), &context).unwrap();
    let mut expected = fs::read(sample("expected/20211006.2132.00.sas.a.rawacf").unwrap()).unwrap();
    expected.extend(fs::read(sample("expected/20250912.0000.00.sas.a.rawacf").unwrap()).unwrap());
    assert!(fs::read(&plain).unwrap() == expected);
    let mut unpacked = Vec::new();
    let file = fs::File::open(&packed).unwrap();
    bzip2::read::BzDecoder::new(file).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == expected);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "no temporary file is left");
    let lines = fs::read_to_string(report).unwrap();
    let lines: Vec<ReportLine> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.contains(&ReportLine::Count { name: "records_written".to_owned(), value: 7 }), "{lines:?}");
}

#[rstest]
#[case::truncated("50", "119313 bytes are there, it should have 198856")]
#[case::no_signature("51", "not HDF5")]
#[case::sequences("53", "record 1583271783610: sqn_timestamps has a length of 6, num_sequences says 7")]
#[case::missing("54", "record 1583271780110: main_acfs is missing")]
#[case::extra("55", "record 1583271787110: surprise is not a field")]
#[case::wrong_type("56", "record 1583271783610: beam_nums is int64 instead of uint32")]
#[case::untagged("57", "determine the version")]
#[case::station("58", "station code")]
fn damaged_files_fail_with_the_reason(#[case] number: &str, #[case] reason: &str) {
    let name = format!("20200303.2143.{number}.sas.0.rawacf.hdf5.site");
    let Some(input) = sample(&format!("borealis/damaged/{name}")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.rawacf.bz2");
    let report = dir.path().join("report");
    let context = VerbContext::new(Some(report.clone())).unwrap();
    let error = to_dmap(std::slice::from_ref(&input), &output, &ToDmapOptions::default(), &context).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Data);
    let message = error.with_causes();
    assert!(message.contains(reason) && message.contains(&name), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the report is left");
    let line: ReportLine = serde_json::from_str(fs::read_to_string(report).unwrap().lines().last().unwrap()).unwrap();
    let file = Some(input.display().to_string());
    assert_eq!(line, ReportLine::Error { class: ErrorClass::Data, message, file });
}

#[test]
fn bytes_after_the_end_are_harmless() {
    let Some(input) = sample("borealis/damaged/20200303.2143.52.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let summary = convert(&input, &dir.path().join("out"), &ToDmapOptions::default()).unwrap();
    assert_eq!((summary.records_read, summary.records_written), (4, 4));
}

#[rstest]
#[case::sequences("53", "1583271783610")]
#[case::missing("54", "1583271780110")]
#[case::extra("55", "1583271787110")]
#[case::wrong_type("56", "1583271783610")]
fn bad_records_can_be_dropped(#[case] number: &str, #[case] record: &str) {
    let name = format!("borealis/damaged/20200303.2143.{number}.sas.0.rawacf.hdf5.site");
    let Some(input) = sample(&name) else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = ToDmapOptions { drop_bad_records: true, ..ToDmapOptions::default() };
    let summary = convert(&input, &dir.path().join("out"), &options).unwrap();
    assert_eq!((summary.records_read, summary.records_written), (4, 3));
    assert!(summary.dropped[0].contains(record), "{summary:?}");
}

#[test]
fn wider_types_are_accepted_if_asked_for() {
    let Some(input) = sample("borealis/damaged/20200303.2143.56.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let options = ToDmapOptions { lenient: true, ..ToDmapOptions::default() };
    let summary = convert(&input, &dir.path().join("out"), &options).unwrap();
    assert_eq!(summary.records_written, 4);
    assert!(summary.warnings[0].contains("beam_nums accepted as int64 instead of uint32"), "{summary:?}");
}

#[test]
fn stations_can_be_added() {
    let Some(input) = sample("borealis/damaged/20200303.2143.58.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let error = convert(&input, &dir.path().join("out"), &ToDmapOptions::default()).unwrap_err();
    let Error::UnknownStation { station, .. } = error else { panic!("{error}") };
    let options = ToDmapOptions { stations: [(station, 300)].into(), ..ToDmapOptions::default() };
    convert(&input, &dir.path().join("out"), &options).unwrap();
}

#[rstest]
#[case("borealis/20230115.1400.00.sas.0.antennas_iq.hdf5.site")]
#[case("borealis/20250912.0000.00.sas.0.antennas_iq.h5")]
fn other_kinds_are_named(#[case] input: &str) {
    let Some(input) = sample(input) else { return };
    let dir = tempfile::tempdir().unwrap();
    let error = convert(&input, &dir.path().join("out"), &ToDmapOptions::default()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Data);
    assert!(error.with_causes().contains("the file holds antennas_iq, not rawacf"), "{}", error.with_causes());
}

#[test]
fn kinds_are_not_mixed() {
    let names = ["borealis/20211006.2132.00.sas.0.rawacf.hdf5", "borealis/20211006.2132.00.sas.0.bfiq.hdf5"];
    let Some(inputs) = names.into_iter().map(sample).collect::<Option<Vec<PathBuf>>>() else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let error = to_dmap(&inputs, &output, &ToDmapOptions::default(), &VerbContext::default()).unwrap_err();
    assert!(matches!(error, Error::MixedKinds { .. }) && !output.exists(), "{error}");
}

#[test]
fn neither_the_source_nor_a_finished_output_is_overwritten() {
    let Some(input) = sample("borealis/20211006.2132.00.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("in.hdf5.site");
    fs::copy(&input, &copy).unwrap();
    let force = ToDmapOptions { force: true, ..ToDmapOptions::default() };
    let error = convert(&copy, &copy, &force).unwrap_err();
    assert!(matches!(error, Error::SourceIsTarget { .. }), "{error}");
    let output = dir.path().join("out");
    convert(&copy, &output, &ToDmapOptions::default()).unwrap();
    let error = convert(&copy, &output, &ToDmapOptions::default()).unwrap_err();
    assert!(matches!(error, Error::TargetExists { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Refused);
    convert(&copy, &output, &force).unwrap();
}

#[test]
fn a_half_written_last_record_of_v1_is_one_bad_record() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.h5");
    let options = SynthOptions { records: 3, ranges: 5, incomplete_last: true, ..SynthOptions::default() };
    write(&input, SynthLayout::V1, &options).unwrap();
    let summary = convert(&input, &dir.path().join("v1"), &ToDmapOptions::default()).unwrap();
    assert_eq!((summary.records_read, summary.records_written), (3, 2));
    assert!(summary.dropped[0].contains("main_acfs is missing"), "{summary:?}");
    let probed = thalweg_steps::probe("borealis", &input).unwrap();
    assert_eq!(probed.fields["records"].to_string(), "3");

    write(&input, SynthLayout::SiteV06, &options).unwrap();
    let error = convert(&input, &dir.path().join("v0"), &ToDmapOptions::default()).unwrap_err();
    assert!(matches!(error, Error::BadRecords { .. }), "{error}");
}

#[test]
fn made_up_files_convert_to_good_dmap() {
    let dir = tempfile::tempdir().unwrap();
    for layout in [SynthLayout::SiteV06, SynthLayout::V1] {
        let input = dir.path().join(format!("20240301.0000.00.sas.0.{layout:?}.h5"));
        let output = dir.path().join(format!("{layout:?}.rawacf.bz2"));
        write(&input, layout, &SynthOptions { records: 5, ..SynthOptions::default() }).unwrap();
        convert(&input, &output, &ToDmapOptions::default()).unwrap();
        let report = thalweg_steps::dmap::dmap_check(&output, thalweg_steps::dmap::Mode::Strict).unwrap();
        assert!(report.is_good() && report.records == 5 && report.warnings.is_empty(), "{report:?}");
    }
}
