//! `superdarn restructure` and `superdarn clean` on whole files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use thalweg_core::ErrorClass;
use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthOptions, write_iq};
use thalweg_steps::VerbContext;
use thalweg_steps::superdarn::{RestructureOptions, clean, restructure};

use crate::data::sample;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn an_output_is_whole_or_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (site, array) = (dir.path().join("a.site"), dir.path().join("a.hdf5"));
    write_iq(&site, FileKind::Bfiq, &SynthOptions::default(), 20).unwrap();
    let context = VerbContext::default();
    let options = RestructureOptions::default();
    let done = restructure(&site, &array, options, false, &context).unwrap();
    assert_eq!((done.records, done.bytes), (4, fs::metadata(&array).unwrap().len()));
    for (output, class) in [(&array, ErrorClass::Refused), (&site, ErrorClass::Refused)] {
        let error = restructure(&site, output, options, false, &context).unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
    let nowhere = restructure(&site, &dir.path().join("x/y"), options, false, &context).unwrap_err();
    assert_eq!(nowhere.class(), ErrorClass::Config);
    fs::OpenOptions::new().write(true).open(&site).unwrap().set_len(5000).unwrap();
    let error = restructure(&site, &dir.path().join("b"), options, false, &context).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Data);
    assert_eq!(names(dir.path()), ["a.hdf5", "a.site"]);
}

/// What makes a file what it is, but for the bad records, stays: name, link, mode, time.
#[test]
fn a_cleaned_file_stands_as_before() {
    let Some(input) = sample("borealis/damaged/20200303.2143.53.sas.0.rawacf.hdf5.site") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::copy(&input, &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o664)).unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_583_271_999);
    fs::OpenOptions::new().write(true).open(&real).unwrap().set_modified(written).unwrap();
    symlink(&real, &link).unwrap();
    let context = VerbContext::default();
    let before = fs::read(&real).unwrap();
    let would = clean(&link, false, true, &context).unwrap();
    assert_eq!((would.records, would.dropped.len()), (4, 1));
    assert!(would.dropped[0].contains("1583271783610"), "{would:?}");
    assert!(fs::read(&real).unwrap() == before);
    assert_eq!(clean(&link, false, false, &context).unwrap(), would);
    let found = fs::metadata(&real).unwrap();
    assert_eq!((found.modified().unwrap(), found.permissions().mode() & 0o777), (written, 0o664));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let again = clean(&real, true, false, &context).unwrap();
    assert_eq!((again.records, again.dropped.len()), (3, 0));
    assert_eq!(names(dir.path()), ["link", "real"]);
}
