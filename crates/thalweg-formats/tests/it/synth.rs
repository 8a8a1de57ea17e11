//! Made-up files are as good as real ones.

use rstest::rstest;
use thalweg_core::Value;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write};
use thalweg_formats::borealis::{Outcome, Rawacf, RawacfFile, probe};

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
