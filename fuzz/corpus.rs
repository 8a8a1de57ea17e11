//! Makes the small starting corpus: `cargo run --example corpus`.

use std::error::Error;
use std::path::Path;

use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write, write_iq};
use thalweg_formats::dmap::{Elements, Field, Record, Scalar, Vector, Writer};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["dmap", "hdf5", "borealis"] {
        std::fs::create_dir_all(corpus.join(target))?;
    }
    let vector = Vector { shape: vec![3, 2], data: Elements::Float(vec![1.0; 6]) };
    let fields = vec![
        ("cp".to_owned(), Field::Scalar(Scalar::Short(151))),
        ("combf".to_owned(), Field::Scalar(Scalar::Text("a comment".to_owned()))),
        ("acfd".to_owned(), Field::Vector(vector)),
    ];
    let record = Record { fields, ..Record::default() };
    for (name, compress) in [("plain", false), ("bzip2", true)] {
        let mut writer = Writer::new(Vec::new(), compress);
        writer.write(&record)?;
        writer.write(&record)?;
        std::fs::write(corpus.join("dmap").join(name), writer.finish()?)?;
    }
    let options = SynthOptions { records: 1, ranges: 3, lags: 3, ..SynthOptions::default() };
    for (name, layout) in [("site", SynthLayout::SiteV06), ("v1", SynthLayout::V1)] {
        for target in ["hdf5", "borealis"] {
            write(&corpus.join(target).join(name), layout, &options)?;
        }
    }
    for (name, kind) in [("bfiq", FileKind::Bfiq), ("antennas", FileKind::AntennasIq)] {
        write_iq(&corpus.join("borealis").join(name), kind, &options, 3)?;
    }
    Ok(())
}
