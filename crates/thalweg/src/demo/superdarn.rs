//! SuperDARN: eight hours of a made-up radar with two slices, in 2-hour sets.

use std::fs::OpenOptions;
use std::path::Path;

use jiff::SignedDuration;
use thalweg_core::{RelPath, Timestamp};
use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write, write_iq};

use super::{Folder, System};
use crate::exit::Exit;
use crate::failure::Failure;

/// The demonstration.
pub(super) const SYSTEM: System = System {
    name: "superdarn",
    about: "a radar's files from the radar computer over its site to the campus server and to those who use them",
    flow: include_str!("../../../../flows/superdarn/flow.toml"),
    make_input,
    damaged: &["20251120.0400.00.sas.1.rawacf.h5"],
    choosing: &["distribute"],
    example: "campus/sas_data/20251120.0000.00.sas.a.rawacf.bz2",
    coverage: "rawacf --from 2025-11-20 --to 2025-11-21",
};

/// Start of the first set, seconds since 1970: 2025-11-20T00:00:00Z.
const FIRST: i64 = 1_763_596_800;
/// Length of a set.
const SET: SignedDuration = SignedDuration::from_hours(2);
/// Records of the file of antennas' samples, and samples of a sequence.
const ANTENNAS_RECORDS: u8 = 12;
const ANTENNAS_SAMPLES: usize = 80;

/// One set of files with the same start.
struct Set {
    /// Which one, from the first.
    number: i32,
    /// The experiment.
    cpid: i16,
    /// Layout of its files.
    layout: SynthLayout,
    /// Records in each file.
    records: usize,
    /// The slice whose file the radar computer did not finish.
    cut: Option<u32>,
}

/// Normalscan; an experiment that is not distributed; the radar's software is renewed, and a crash leaves half a file; the
/// set that is still being written.
const SETS: [Set; 4] = [
    Set { number: 0, cpid: 151, layout: SynthLayout::SiteV06, records: 40, cut: None },
    Set { number: 1, cpid: 3380, layout: SynthLayout::SiteV06, records: 40, cut: None },
    Set { number: 2, cpid: 3503, layout: SynthLayout::V1, records: 12, cut: Some(1) },
    Set { number: 3, cpid: 151, layout: SynthLayout::V1, records: 6, cut: None },
];

fn make_input(folder: &Folder, told: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let radar = folder.station("radar")?;
    for set in &SETS {
        let start = Timestamp::from_second(FIRST).unwrap_or_default() + SET * set.number;
        for slice in [0, 1] {
            let ending = match set.layout {
                SynthLayout::SiteV06 => "hdf5.site",
                SynthLayout::V1 => "h5",
            };
            let name = format!("{}.sas.{slice}.rawacf.{ending}", start.strftime("%Y%m%d.%H%M.%S"));
            let path = RelPath::from_text(start.strftime("%Y%m%d").to_string()).join(&name);
            // Spread over the set, so that few records cover its two hours.
            let period = SET / i32::try_from(set.records).unwrap_or(1).max(1);
            let options = SynthOptions {
                start,
                period,
                station: "sas".to_owned(),
                slice,
                cpid: set.cpid,
                records: set.records,
                seed: 1 + u64::from(slice) + 2 * u64::from(set.number.unsigned_abs()),
                ..SynthOptions::default()
            };
            radar.file(&path, start + SET, |temporary| {
                write(temporary, set.layout, &options).map_err(|error| Failure::of(&error, error.class()))?;
                if set.cut == Some(slice) { halve(temporary) } else { Ok(()) }
            })?;
            told(&format!("radar/{path}"));
        }
        if set.number == 0 {
            let name = format!("{}.sas.0.antennas_iq.hdf5.site", start.strftime("%Y%m%d.%H%M.%S"));
            let path = RelPath::from_text(start.strftime("%Y%m%d").to_string()).join(&name);
            let options = SynthOptions {
                start,
                period: SET / i32::from(ANTENNAS_RECORDS),
                records: ANTENNAS_RECORDS.into(),
                ..SynthOptions::default()
            };
            radar.file(&path, start + SET, |temporary| {
                write_iq(temporary, FileKind::AntennasIq, &options, ANTENNAS_SAMPLES)
                    .map_err(|error| Failure::of(&error, error.class()))
            })?;
            told(&format!("radar/{path}"));
        }
    }
    Ok(())
}

/// Leaves the first part of a file only, as a power cut does.
fn halve(path: &Path) -> Result<(), Failure> {
    let cut = || {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(file.metadata()?.len() * 3 / 5)?;
        file.sync_all()
    };
    cut().map_err(|error: std::io::Error| {
        Failure::new(Exit::Unexpected, format!("failed to write {}: {error}", path.display()))
    })
}
