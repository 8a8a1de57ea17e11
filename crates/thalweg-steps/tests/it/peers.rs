//! What the verbs write, read by the programs of others.

use std::path::PathBuf;
use std::process::Command;

use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write, write_iq};
use thalweg_steps::VerbContext;
use thalweg_steps::superdarn::{RestructureOptions, ToDmapOptions, restructure, to_dmap};

/// Returns the Python into which `bench/peers` has installed them.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    let python = cache.join("thalweg/peers/python/bin/python");
    let usable = || Command::new(&python).args(["-c", "import h5py, pydarnio, dmap"]).output();
    (python.exists() && usable().is_ok_and(|done| done.status.success())).then_some(python)
}

#[test]
fn h5py_pydarnio_and_darn_dmap_read_the_same() {
    let Some(python) = python() else {
        eprintln!("skipped: h5py and pyDARNio are not installed (bench/peers --python)");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = |name: String| dir.path().join(name);
    let context = VerbContext::default();
    let options =
        SynthOptions { start: "2024-01-01T12:00:00Z".parse().unwrap(), records: 5, ..SynthOptions::default() };
    for kind in [FileKind::Rawacf, FileKind::Bfiq, FileKind::AntennasIq] {
        let site = at(format!("{kind}.site"));
        match kind {
            FileKind::Rawacf => write(&site, SynthLayout::SiteV06, &options).unwrap(),
            _ => write_iq(&site, kind, &options, 100).unwrap(),
        }
        let (array, again) = (at(format!("{kind}.hdf5")), at(format!("{kind}.again.site")));
        restructure(&site, &array, RestructureOptions::default(), false, &context).unwrap();
        restructure(&array, &again, RestructureOptions::default(), false, &context).unwrap();
        if kind != FileKind::AntennasIq {
            let compat = ToDmapOptions { compat: true, ..ToDmapOptions::default() };
            to_dmap(&[site], &at(format!("{kind}.dmap")), &compat, &context).unwrap();
        }
    }
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers.py");
    let done = Command::new(python).arg(script).arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.ends_with("equal\n"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}
