//! `dmap check`, `dmap dump` and probing.

use thalweg_core::{ErrorClass, Value};
use thalweg_steps::dmap::{Mode, dmap_check, dmap_dump};
use thalweg_steps::{FORMATS, ProbeOutput, VerbContext, probe};

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
