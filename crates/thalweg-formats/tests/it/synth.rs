//! Made-up files are as good as real ones.

use rstest::rstest;
use thalweg_core::Value;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write, write_iq};
use thalweg_formats::borealis::{
    AntennasFile, BorealisFile, FileKind, Outcome, Rawacf, RawacfFile, RestructureOptions, Wanted, probe, restructure,
};

use crate::data::sample;

fn records(path: &std::path::Path) -> Vec<Rawacf> {
    let mut file = RawacfFile::open(path, false).expect("a file just written");
    let mut records = Vec::new();
    while let Some(outcome) = file.next_record().expect("a file just written") {
        match outcome {
            Outcome::Good(record) => records.push(*record),
            Outcome::Bad(problem) => panic!("{problem}"),
        }
    }
    assert_eq!((file.widened().count(), file.unknown().count()), (0, 0));
    records
}

#[rstest]
#[case(SynthLayout::SiteV06)]
#[case(SynthLayout::V1)]
fn made_up_files_are_read_back(#[case] layout: SynthLayout) {
    let dir = tempfile::tempdir().unwrap();
    let start = "2024-03-01T22:00:00Z".parse().unwrap();
    let options = SynthOptions { start, records: 20, ranges: 30, slice: 2, ..SynthOptions::default() };
    let paths = [dir.path().join("a"), dir.path().join("b"), dir.path().join("c")];
    write(&paths[0], layout, &options).unwrap();
    write(&paths[1], layout, &options).unwrap();
    write(&paths[2], layout, &SynthOptions { seed: 2, ..options.clone() }).unwrap();
    let [first, again, other] = paths.each_ref().map(|path| records(path));
    assert_eq!(first.len(), 20);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
    assert_eq!(first[17].dims, [1, 30, 23]);
    assert_eq!(first[17].header.beam_nums, [1]);
    let probe = probe(&paths[0]).unwrap();
    assert_eq!(probe.coverage.start.to_string(), "2024-03-01T22:00:00.11035Z");
    assert_eq!(probe.fields["slice"], Value::Int(2));
    assert_eq!(probe.fields["records"], Value::Int(20));
}

#[rstest]
#[case::bfiq(FileKind::Bfiq)]
#[case::antennas(FileKind::AntennasIq)]
fn samples_pass_the_check_of_their_version(#[case] kind: FileKind) {
    let dir = tempfile::tempdir().unwrap();
    let (site, array) = (dir.path().join("a.site"), dir.path().join("a.hdf5"));
    let options = SynthOptions { records: 3, ..SynthOptions::default() };
    write_iq(&site, kind, &options, 120).unwrap();
    let mut count = 0;
    let mut file = BorealisFile::open(&site, Wanted::All, false).unwrap();
    assert_eq!(file.kind(), kind);
    while let Some(outcome) = file.next_record().unwrap() {
        assert!(matches!(outcome, Outcome::Good(_)), "{outcome:?}");
        count += 1;
    }
    assert_eq!(count, 3);
    restructure(&site, &array, RestructureOptions::default(), &mut |_, _| {}).unwrap();
    assert_eq!(BorealisFile::open(&array, Wanted::All, false).unwrap().kind(), kind);
}

/// In both layouts, and only the one antenna.
#[test]
fn antennas_are_read_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let (site, array) = (dir.path().join("a.site"), dir.path().join("a.hdf5"));
    let options = SynthOptions { records: 2, ..SynthOptions::default() };
    write_iq(&site, FileKind::AntennasIq, &options, 120).unwrap();
    restructure(&site, &array, RestructureOptions::default(), &mut |_, _| {}).unwrap();
    let mut whole = BorealisFile::open(&site, Wanted::All, false).unwrap();
    let (mut one, mut other) = (AntennasFile::open(&site).unwrap(), AntennasFile::open(&array).unwrap());
    for _ in 0..2 {
        let Some(Outcome::Good(all)) = whole.next_record().unwrap() else { panic!("no record") };
        let all = all.values["data"].to_complexes().unwrap();
        for file in [&mut one, &mut other] {
            let Some(Outcome::Good(record)) = file.next_record().unwrap() else { panic!("no record") };
            assert_eq!((record.antennas.len(), record.samples), (20, 120));
            let size = record.times.len() * 120;
            for places in [vec![7], vec![0, 19]] {
                let samples = file.samples(&record, &places).unwrap();
                for (place, samples) in places.iter().zip(samples) {
                    assert_eq!(samples, all[place * size..(place + 1) * size]);
                }
            }
        }
    }
}

/// 20 log10 of the magnitude of the first samples, as computed by others.
#[rstest]
#[case("20230115.1400.00.sas.0.antennas_iq", "hdf5.site", "antenna_1")]
#[case("20250912.0000.00.sas.0.antennas_iq", "h5", "antenna_3")]
fn powers_are_those_of_others(#[case] name: &str, #[case] layout: &str, #[case] antenna: &str) {
    let (Some(input), Some(expected)) =
        (sample(&format!("borealis/{name}.{layout}")), sample(&format!("expected/{name}.{antenna}.power.csv")))
    else {
        return;
    };
    let mut powers: Vec<Vec<f64>> = Vec::new();
    let mut file = AntennasFile::open(&input).unwrap();
    while let Some(Outcome::Good(record)) = file.next_record().unwrap() {
        let place = record.antennas.iter().position(|name| name == antenna).unwrap();
        for samples in file.samples(&record, &[place]).unwrap()[0].chunks(record.samples) {
            let power = |[re, im]: &[f32; 2]| 20.0 * f64::from(*re).hypot(f64::from(*im)).log10();
            powers.push(samples.iter().take(12).map(power).collect());
        }
    }
    let text = std::fs::read_to_string(expected).unwrap();
    let rows: Vec<Vec<f64>> =
        text.lines().skip(1).map(|line| line.split(',').skip(3).map(|cell| cell.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), powers.len());
    for (row, powers) in rows.iter().zip(&powers) {
        for (expected, found) in row.iter().zip(powers) {
            assert!((expected - found).abs() < 1e-3, "{row:?} {powers:?}");
        }
    }
}
