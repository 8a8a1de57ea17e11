//! The flow of a SuperDARN radar, with files of real radars.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tempfile::TempDir;
use thalweg_core::Timestamp;
use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions};

use crate::flows::{run, write};

const FLOW: &str = include_str!("../../../../flows/superdarn/flow.toml");

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/superdarn")
}

fn project() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), "flow.toml", FLOW);
    folder
}

/// Puts a file on the radar's disk, written at that time.
fn on_radar(folder: &Path, name: &str, content: &[u8], closed: Timestamp) {
    use std::io::Write as _;
    let path = folder.join("radar").join(name.get(..8).expect("a date")).join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
    let mut file = std::fs::File::create(&path).expect("it is made");
    file.write_all(content).expect("it is written");
    file.set_modified(closed.into()).expect("its time is set");
}

/// The first file of a set that is newer than all others.
fn newer_set(folder: &Path, start: &str) {
    let start: Timestamp = start.parse().expect("a time");
    let made = folder.join("made");
    let options = SynthOptions { start, records: 2, ranges: 10, ..SynthOptions::default() };
    thalweg_formats::borealis::synth::write(&made, SynthLayout::SiteV06, &options).expect("it is made");
    let content = std::fs::read(&made).expect("it is there");
    on_radar(folder, &format!("{}.sas.0.rawacf.hdf5.site", start.strftime("%Y%m%d.%H%M.%S")), &content, start);
    std::fs::remove_file(made).expect("it is removed");
}

fn files(folder: &Path) -> Vec<String> {
    crate::demo::tree(folder).into_keys().collect()
}

#[test]
fn real_files_go_from_radar_to_campus_once_a_newer_set_has_come() {
    let name = "20211006.2132.00.sas.0.rawacf.hdf5.site";
    let (Ok(real), Ok(expected)) = (
        std::fs::read(shared().join("borealis").join(name)),
        std::fs::read(shared().join("expected/20211006.2132.00.sas.a.rawacf")),
    ) else {
        eprintln!("skipped: {} is not present", shared().join("borealis").join(name).display());
        return;
    };
    let folder = project();
    let at = folder.path();
    on_radar(at, name, &real, "2021-10-06T23:32:00Z".parse().expect("a time"));
    run(at, &["run", "--once"], 0);
    assert!(!at.join("site/daily").exists(), "the newest set is left alone");
    newer_set(at, "2021-10-07T00:00:00Z");
    run(at, &["run", "--once"], 0);
    for place in
        ["campus/sas_data", "outgoing/usask/sas", "outgoing/mirror/2021/10", "long-term/sas_rawacf_dmap/2021/10"]
    {
        let packed = at.join(place).join("20211006.2132.00.sas.a.rawacf.bz2");
        let mut plain = Vec::new();
        let packed_bytes = std::fs::File::open(&packed).expect("it has arrived");
        bzip2::read::MultiBzDecoder::new(packed_bytes).read_to_end(&mut plain).expect("it unpacks");
        assert!(plain == expected, "{}", packed.display());
    }
    assert_eq!(std::fs::read(at.join("site/backup").join(name)).expect("a backup"), real);
    assert_eq!(
        files(&at.join("radar")),
        [format!("20211006/{name}"), "20211007/20211007.0000.00.sas.0.rawacf.hdf5.site".to_owned()]
    );
    let before = crate::demo::tree(at);
    run(at, &["run", "--once"], 0);
    assert_eq!(before, crate::demo::tree(at), "twice is once");
}

#[test]
fn damaged_files_are_put_aside_with_a_report_and_their_neighbours_go_on() {
    let damaged = shared().join("borealis/damaged");
    let Ok(entries) = std::fs::read_dir(&damaged) else {
        eprintln!("skipped: {} is not present", damaged.display());
        return;
    };
    let folder = project();
    let at = folder.path();
    let closed: Timestamp = "2020-03-03T23:43:00Z".parse().expect("a time");
    let mut number = 0;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        on_radar(at, &name, &std::fs::read(entry.path()).expect("it is read"), closed);
        number += 1;
    }
    let good = "20200303.2143.00.sas.0.rawacf.hdf5.site";
    on_radar(at, good, &std::fs::read(shared().join("borealis").join(good)).expect("it is read"), closed);
    // Written with a clock that was wrong by days.
    on_radar(at, "20200301.0000.00.sas.0.rawacf.hdf5.site", b"whatever", closed);
    newer_set(at, "2020-03-04T00:00:00Z");
    run(at, &["run", "--once"], 4);
    assert_eq!(
        files(&at.join("radar/quarantine")),
        [
            "20200301/20200301.0000.00.sas.0.rawacf.hdf5.site",
            "20200301/20200301.0000.00.sas.0.rawacf.hdf5.site.report.json"
        ]
    );
    let aside = files(&at.join("site/conversion_failure"));
    let reports: Vec<&String> = aside.iter().filter(|name| name.ends_with(".report.json")).collect();
    let mut through = files(&at.join("campus/sas_data"));
    // Each comes as an array file and as DMAP.
    let arrays = through.iter().filter(|name| name.ends_with(".hdf5")).count();
    through.retain(|name| name.ends_with(".bz2"));
    assert_eq!(arrays, through.len());
    assert!(through.contains(&"20200303.2143.00.sas.a.rawacf.bz2".to_owned()), "{through:?}");
    assert_eq!(reports.len() + through.len(), number + 1, "{aside:?} {through:?}");
    assert!(reports.len() * 2 == aside.len() && !reports.is_empty(), "{aside:?}");
    for report in reports {
        let text = std::fs::read_to_string(at.join("site/conversion_failure").join(report)).expect("it is read");
        let json: Json = serde_json::from_str(&text).expect("an object");
        assert_eq!((&json["class"], &json["step"]), (&"data".into(), &"convert".into()), "{text}");
        assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
    }
    // Known as bad: not tried again, and still told.
    let before = crate::demo::tree(at);
    run(at, &["run", "--once"], 0);
    assert_eq!(before, crate::demo::tree(at));
}

#[test]
fn the_shipped_flow_is_valid_and_says_what_is_not_carried_out() {
    let folder = project();
    let (out, _) = run(folder.path(), &["check", "--json"], 0);
    let json: Json = serde_json::from_str(&out).expect("one document");
    assert_eq!((&json["errors"], &json["warnings"]), (&0.into(), &0.into()), "{out}");
}

/// The commands for DMAP files, as somebody at a terminal has them.
#[test]
fn records_are_listed_cut_and_salvaged() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let start: Timestamp = "2024-01-01T12:00:00Z".parse().expect("a time");
    let options = SynthOptions { start, records: 20, ranges: 10, ..SynthOptions::default() };
    thalweg_formats::borealis::synth::write(&at.join("a.0.h5"), SynthLayout::V1, &options).expect("it is made");
    run(at, &["superdarn", "to-dmap", "a.0.h5", "-o", "a.rawacf.bz2"], 0);
    let (out, _) = run(at, &["dmap", "ls", "a.rawacf.bz2"], 0);
    assert_eq!(out.lines().count(), 21, "{out}");
    assert!(out.contains("2024-01-01T12:00:00.110350Z"), "{out}");
    let (out, _) = run(at, &["dmap", "ls", "--summary", "a.rawacf.bz2"], 0);
    assert!(out.contains("RAWACF, 20 records, 2024-01-01T12:00:00Z to 2024-01-01T12:01:06Z, cp 151, stid 5"), "{out}");
    let (out, _) = run(at, &["dmap", "cut", "a.rawacf.bz2", "-o", "b.rawacf", "--records", "-3..-1"], 0);
    assert!(out.contains("3 of 20 records"), "{out}");
    let (out, _) = run(at, &["dmap", "ls", "--json", "b.rawacf"], 0);
    let first: Json = serde_json::from_str(out.lines().next().expect("a line")).expect("an object");
    assert_eq!((&first["record"], &first["bmnum"], &first["stid"]), (&0.into(), &1.into(), &5.into()));
    let (_, err) = run(at, &["dmap", "cut", "a.rawacf.bz2", "-o", "c.rawacf", "--from", "2024-01-02T00:00"], 4);
    assert!(err.contains("none of 20 records is chosen"), "{err}");
    run(at, &["dmap", "cat", "b.rawacf", "a.rawacf.bz2", "-o", "c.rawacf.bz2"], 0);
    let (_, err) = run(at, &["dmap", "cat", "b.rawacf", "-o", "c.rawacf.bz2"], 5);
    assert!(err.contains("it exists") && err.contains("--force"), "{err}");

    let mut bytes = std::fs::read(at.join("b.rawacf")).expect("records");
    let size = bytes.len() / 3;
    bytes[size + 4] ^= 0x55;
    std::fs::File::create(at.join("bad.rawacf"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes))
        .expect("it is written");
    let (out, _) = run(at, &["dmap", "check", "--salvage", "bad.rawacf"], 4);
    assert!(out.contains(&format!("lost: bytes {size} to {}", 2 * size)), "{out}");
    let (out, _) = run(at, &["dmap", "salvage", "bad.rawacf", "-o", "good.rawacf"], 0);
    assert!(out.contains("good.rawacf: 2 records"), "{out}");
    run(at, &["dmap", "check", "good.rawacf"], 0);
}

#[test]
fn layouts_are_changed_and_pictures_drawn() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let start: Timestamp = "2024-01-01T12:00:00Z".parse().expect("a time");
    let options = SynthOptions { start, records: 4, ranges: 10, ..SynthOptions::default() };
    let name = "20240101.1200.00.sas.0.antennas_iq.hdf5";
    let site = at.join(format!("{name}.site"));
    thalweg_formats::borealis::synth::write_iq(&site, FileKind::AntennasIq, &options, 80).expect("it is made");
    let site = site.to_string_lossy().into_owned();
    let (out, _) = run(at, &["superdarn", "restructure", &site, "-o", name], 0);
    assert!(out.contains("4 records"), "{out}");
    let (out, _) = run(at, &["superdarn", "clean", "--dry-run", &site], 0);
    assert!(out.contains("4 records, none bad"), "{out}");
    let (out, err) = run(at, &["superdarn", "plot-iq", name, "-o", ".", "--antennas", "2,44", "--width", "300"], 0);
    assert!(out.contains("antenna_2_0_70.jpg") && err.contains("antenna_44 is not in the file"), "{out}{err}");
    let picture = "20240101.1200.00.sas.0.antennas_iq.antenna_2_0_70.jpg";
    run(at, &["image", "resize", picture, "-o", "thumbnail.jpg", "--width", "160"], 0);
    let (_, err) = run(at, &["superdarn", "plot-iq", name, "-o", ".", "--antennas", "9-2"], 2);
    assert!(err.contains("says no numbers of antennas"), "{err}");
    let (_, err) = run(at, &["superdarn", "plot-rawacf", name, "-o", "."], 4);
    assert!(err.contains("the file holds antennas_iq"), "{err}");
}

/// Since v1.0 the radar may write DMAP itself.
#[test]
fn what_the_radar_writes_as_dmap_is_packed_and_goes_the_same_way() {
    let folder = project();
    let at = folder.path();
    let mut made = Vec::new();
    for hour in ["00", "02"] {
        let start: Timestamp = format!("2025-05-05T{hour}:00:00Z").parse().expect("a time");
        let options = SynthOptions { start, records: 3, ranges: 10, ..SynthOptions::default() };
        thalweg_formats::borealis::synth::write(&at.join("x.h5"), SynthLayout::V1, &options).expect("it is made");
        run(at, &["superdarn", "to-dmap", "--force", "x.h5", "-o", "x.rawacf"], 0);
        made.push(std::fs::read(at.join("x.rawacf")).expect("records"));
        on_radar(at, &format!("20250505.{hour}00.00.sas.a.rawacf"), made.last().expect("one"), start);
    }
    // One that was cut off inside a record is put aside, and its backup is there too.
    let cut = &made[0][..made[0].len() - 100];
    on_radar(at, "20250505.0000.00.sas.b.rawacf", cut, "2025-05-05T02:00:00Z".parse().expect("a time"));
    run(at, &["run", "--once"], 4);
    let mut plain = Vec::new();
    let packed = at.join("outgoing/mirror/2025/05/20250505.0000.00.sas.a.rawacf.bz2");
    bzip2::read::MultiBzDecoder::new(std::fs::File::open(packed).expect("it has arrived"))
        .read_to_end(&mut plain)
        .expect("it unpacks");
    assert!(plain == made[0], "every byte of every record");
    let found = files(&at.join("site"));
    for name in [
        "backup/20250505.0000.00.sas.a.rawacf",
        "backup/20250505.0000.00.sas.b.rawacf",
        "conversion_failure/rawacf_direct/20250505.0000.00.sas.b.rawacf",
        "rawacf_dmap/20250505.0000.00.sas.a.rawacf.bz2",
    ] {
        assert!(found.iter().any(|file| file == name), "{name} in {found:?}");
    }
    assert!(!found.iter().any(|file| file.contains("20250505.0200")), "the newest set is left alone: {found:?}");
}
