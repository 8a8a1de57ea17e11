//! Writes a made-up Borealis file in site layout: `borealis rawacf|bfiq|antennas_iq FILE RECORDS`.

use std::path::PathBuf;

use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write, write_iq};

/// Samples of a sequence, as a radar has them.
const SAMPLES: usize = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(kind), Some(file), Some(records)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: borealis rawacf|bfiq|antennas_iq FILE RECORDS".into());
    };
    let file = PathBuf::from(file);
    let records = records.to_str().ok_or("RECORDS is a number")?.parse()?;
    let options = SynthOptions { start: "2024-09-12T18:00:00Z".parse()?, records, ..SynthOptions::default() };
    match kind.to_str() {
        Some("rawacf") => write(&file, SynthLayout::SiteV06, &options)?,
        Some("bfiq") => write_iq(&file, FileKind::Bfiq, &options, SAMPLES)?,
        Some("antennas_iq") => write_iq(&file, FileKind::AntennasIq, &options, SAMPLES)?,
        _ => return Err("KIND is rawacf, bfiq or antennas_iq".into()),
    }
    Ok(())
}
