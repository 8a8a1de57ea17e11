//! The verbs on DMAP files, and probing.

use std::fs;
use std::path::{Path, PathBuf};

use thalweg_core::{ErrorClass, Value};
use thalweg_steps::dmap::{
    CopyOptions, CopySummary, Head, Mode, Selection, dmap_check, dmap_copy, dmap_dump, dmap_list, dmap_salvage,
    dmap_summary,
};
use thalweg_steps::{Error, FORMATS, ProbeOutput, VerbContext, probe};

use crate::data::sample;

#[test]
fn check_and_dump_of_a_sample() {
    let Some(path) = sample("dmap/test.rawacf.bz2") else { return };
    let report = dmap_check(&path, Mode::Strict).unwrap();
    assert!(report.is_good() && report.records == 2 && report.compressed);
    let mut out = Vec::new();
    assert_eq!(dmap_dump(&path, &mut out, &VerbContext::default()).unwrap(), 2);
    let lines: Vec<serde_json::Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["stid"], 66);
    assert_eq!(lines[1]["acfd"].as_array().unwrap().len(), 100);
}

#[test]
fn probes_say_what_files_hold() {
    assert_eq!(FORMATS, ["borealis", "dmap"]);
    let int = |n: i64| Some(&Value::Int(n)).cloned();
    let cases = [
        ("borealis", "borealis/20211006.2132.00.sas.0.rawacf.hdf5.site", 3, "2021-10-06T21:32:00.11035Z"),
        ("borealis", "borealis/20211006.2132.00.sas.0.rawacf.hdf5", 3, "2021-10-06T21:32:00.11035Z"),
        ("borealis", "borealis/20250912.0000.00.sas.0.rawacf.h5", 4, "2025-09-12T00:00:00.11035Z"),
        ("borealis", "borealis/20250912.0000.00.sas.0.antennas_iq.h5", 4, "2025-09-12T00:00:00.11035Z"),
        ("dmap", "expected/20211006.2132.00.sas.a.rawacf", 3, "2021-10-06T21:32:00.11035Z"),
        ("dmap", "dmap/test.grid", 2, "2015-03-01T20:02:00Z"),
    ];
    for (format, name, records, start) in cases {
        let Some(path) = sample(name) else { return };
        let found = probe(format, &path).unwrap();
        assert_eq!(found.fields.get("records").cloned(), int(records), "{name}");
        let output = ProbeOutput::from(found.clone());
        assert_eq!(output.start.to_string(), start, "{name}");
        assert!(output.end > output.start);
        if format == "borealis" {
            assert_eq!(output.fields["site"], "sas");
            assert_eq!(output.fields["cpid"], 151);
        }
        assert_eq!(serde_json::from_str::<ProbeOutput>(&serde_json::to_string(&output).unwrap()).unwrap(), output);
    }
    let error = probe("netcdf", std::path::Path::new("x")).unwrap_err();
    assert_eq!((error.class(), error.to_string().contains("borealis, dmap")), (ErrorClass::Config, true));
}

fn heads(path: &Path) -> Vec<Head> {
    let mut heads = Vec::new();
    dmap_list::<Error>(path, |head| {
        heads.push(head.clone());
        Ok(())
    })
    .expect("a list");
    heads
}

fn cut(inputs: &[PathBuf], output: &Path, selection: Selection) -> Result<CopySummary, Error> {
    let options = CopyOptions { selection, ..CopyOptions::default() };
    dmap_copy(inputs, output, &options, &VerbContext::default())
}

/// Streams put behind each other are equal to the plain bytes put behind each other, whoever wrote them.
#[test]
fn cat_keeps_every_byte_of_every_record() {
    let dir = tempfile::tempdir().unwrap();
    for (plain, packed) in [("test.rawacf", "test.rawacf.bz2"), ("test.fitacf", "test.fitacf.bz2")] {
        let names = [format!("dmap/{plain}"), format!("dmap/{packed}")];
        let Some(inputs) = names.iter().map(|name| sample(name)).collect::<Option<Vec<PathBuf>>>() else { return };
        let (output, small) = (dir.path().join(plain), dir.path().join(packed));
        let done = cut(&inputs, &output, Selection::default()).unwrap();
        assert_eq!((done.records_read, done.records_written), (4, 4));
        let expected = fs::read(&inputs[0]).unwrap().repeat(2);
        assert!(fs::read(&output).unwrap() == expected);
        cut(std::slice::from_ref(&output), &small, Selection::default()).unwrap();
        assert_eq!(&fs::read(&small).unwrap()[..3], b"BZh");
        assert_eq!(heads(&small).len(), 4);
        let again = cut(&inputs, &output, Selection::default()).unwrap_err();
        assert_eq!(again.class(), ErrorClass::Refused);
    }
}

#[test]
fn cut_takes_records_by_number_time_and_beam() {
    let Some(input) = sample("expected/20250912.0000.00.sas.a.rawacf") else { return };
    let dir = tempfile::tempdir().unwrap();
    let all = heads(&input);
    assert_eq!(all.len(), 4);
    assert!(all.windows(2).all(|pair| pair[0].offset + pair[0].size == pair[1].offset), "{all:?}");
    let bytes = fs::read(&input).unwrap();
    let of = |head: &Head| {
        let start = usize::try_from(head.offset).unwrap();
        bytes[start..start + usize::try_from(head.size).unwrap()].to_vec()
    };
    let number = |text: &str| text.parse().unwrap();
    let time = |n: usize| all[n].times.map(|(start, _)| start);
    let beams = |n: usize| all[n].beam.into_iter().collect();
    let cases = [
        (Selection { records: number("1..2"), ..Selection::default() }, vec![1, 2]),
        (Selection { records: number("0,-1"), ..Selection::default() }, vec![0, 3]),
        (Selection { records: number("-2.."), ..Selection::default() }, vec![2, 3]),
        (Selection { records: number("2.."), ..Selection::default() }, vec![2, 3]),
        (Selection { drop: number("-3..-1"), ..Selection::default() }, vec![0]),
        (Selection { from: time(1), to: time(3), ..Selection::default() }, vec![1, 2]),
        (Selection { from: time(2), ..Selection::default() }, vec![2, 3]),
        (Selection { beams: beams(3), ..Selection::default() }, vec![3]),
        (Selection { channels: [0].into(), drop: number("0"), ..Selection::default() }, vec![1, 2, 3]),
    ];
    for (n, (selection, kept)) in cases.into_iter().enumerate() {
        let output = dir.path().join(format!("{n}.rawacf"));
        let done = cut(std::slice::from_ref(&input), &output, selection.clone()).unwrap();
        assert_eq!(done.records_written, kept.len() as u64, "{selection:?}");
        let expected: Vec<u8> = kept.iter().flat_map(|n| of(&all[*n])).collect();
        assert!(fs::read(&output).unwrap() == expected, "{selection:?}");
    }
    let none = Selection { channels: [9].into(), ..Selection::default() };
    let output = dir.path().join("none");
    let error = cut(std::slice::from_ref(&input), &output, none).unwrap_err();
    assert!(error.to_string().contains("none of 4 records") && !output.exists(), "{error}");
    assert!("1-2".parse::<thalweg_steps::dmap::Numbers>().is_err());
}

#[test]
fn a_field_can_be_left_out() {
    let Some(input) = sample("dmap/test.rawacf") else { return };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("x.rawacf");
    let options = CopyOptions { drop_fields: vec!["xcfd".to_owned()], ..CopyOptions::default() };
    dmap_copy(&[input], &output, &options, &VerbContext::default()).unwrap();
    let report = dmap_check(&output, Mode::Strict).unwrap();
    assert!(report.is_good() && report.records == 2);
    let mut out = Vec::new();
    dmap_dump(&output, &mut out, &VerbContext::default()).unwrap();
    assert!(!String::from_utf8(out).unwrap().contains("\"xcfd\""));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "files are damaged on purpose")]
fn salvage_keeps_what_is_good_and_tells_what_is_lost() {
    let Some(input) = sample("expected/20250912.0000.00.sas.a.rawacf") else { return };
    let dir = tempfile::tempdir().unwrap();
    let all = heads(&input);
    let mut bytes = fs::read(&input).unwrap();
    let second = usize::try_from(all[1].offset).unwrap();
    bytes[second + 4..second + 8].copy_from_slice(&(-1_i32).to_le_bytes());
    let (bad, good) = (dir.path().join("bad.rawacf"), dir.path().join("good.rawacf"));
    fs::write(&bad, &bytes).unwrap();
    let (report, size) = dmap_salvage(&bad, &good, false, &VerbContext::default()).unwrap();
    assert_eq!((report.records, report.gaps.len()), (3, 1));
    assert_eq!((report.gaps[0].offset, report.gaps[0].length), (all[1].offset, all[1].size));
    assert_eq!(size, bytes.len() as u64 - all[1].size);
    assert!(dmap_check(&good, Mode::Strict).unwrap().is_good());
    let error = cut(&[bad], &dir.path().join("copy"), Selection::default()).unwrap_err();
    assert!(error.with_causes().contains("record 1"), "{}", error.with_causes());
    fs::write(dir.path().join("none"), b"nothing of the sort").unwrap();
    let none = dmap_salvage(&dir.path().join("none"), &dir.path().join("x"), false, &VerbContext::default());
    assert!(none.is_err() && !dir.path().join("x").exists());
}

#[test]
fn a_summary_tells_programs_beams_and_times() {
    let Some(input) = sample("expected/20250912.0000.00.sas.a.rawacf") else { return };
    let summary = dmap_summary(&input).unwrap();
    assert_eq!((summary.records, summary.first_program, summary.ranges.len()), (4, Some(151), 1));
    assert!(summary.times.0 < summary.times.1 && summary.beams.len() == 4);
}
