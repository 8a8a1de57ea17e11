//! Writes a made-up rawacf file in site layout: `rawacf FILE RECORDS`.

use std::path::PathBuf;

use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(file), Some(records)) = (args.next(), args.next()) else {
        return Err("usage: rawacf FILE RECORDS".into());
    };
    let records = records.to_str().ok_or("RECORDS is a number")?.parse()?;
    let options = SynthOptions { start: "2024-09-12T18:00:00Z".parse()?, records, ..SynthOptions::default() };
    write(&PathBuf::from(file), SynthLayout::SiteV06, &options)?;
    Ok(())
}
