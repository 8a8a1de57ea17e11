//! `superdarn plot-iq`, `superdarn plot-rawacf`, `image resize`.

use std::fs;
use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage};
use rstest::rstest;
use thalweg_core::ErrorClass;
use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write, write_iq};
use thalweg_steps::VerbContext;
use thalweg_steps::image::{ResizeOptions, resize};
use thalweg_steps::superdarn::{
    IqStyle, PlotIqOptions, PlotRawacfOptions, ToDmapOptions, plot_iq, plot_rawacf, to_dmap,
};

use crate::data::sample;

fn options() -> SynthOptions {
    SynthOptions { start: "2024-01-01T12:00:00Z".parse().expect("a time"), records: 12, ..SynthOptions::default() }
}

fn picture(path: &Path) -> RgbImage {
    ImageReader::open(path).expect("a picture").decode().expect("a picture").into_rgb8()
}

/// Compares with a picture that somebody has looked at. Where there is none it is made, to be looked at.
fn is_golden(found: &RgbImage, name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("THALWEG_GOLDEN").is_some() {
        found.save(&path).expect("the golden picture");
    }
    let expected = picture(&path);
    assert_eq!(found.dimensions(), expected.dimensions());
    let off = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b));
    let total: u64 = found.as_raw().iter().zip(expected.as_raw()).map(off).sum();
    // The last digit of a logarithm may differ between processors; a label or a colour that moves is much more.
    assert!(total * 50 < found.as_raw().len() as u64, "{name}: {total} of {}", found.as_raw().len());
}

#[rstest]
#[case::g2(IqStyle::G2, "iq-g2.png", (400, 333))]
#[case::g1(IqStyle::G1, "iq-g1.png", (400, 200))]
fn samples_of_antennas(#[case] style: IqStyle, #[case] golden: &str, #[case] size: (u32, u32)) {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("20240101.1200.00.sas.0.antennas_iq.hdf5.site");
    write_iq(&input, FileKind::AntennasIq, &options(), 100).unwrap();
    let settings = PlotIqOptions {
        antennas: Some("3,18-21".parse().unwrap()),
        power: if style == IqStyle::G2 { (40.0, 90.0) } else { (20.0, 45.0) },
        style,
        width: 400,
        ..PlotIqOptions::default()
    };
    let done = plot_iq(&input, dir.path(), &settings, &VerbContext::default()).unwrap();
    let names: Vec<String> =
        done.pictures.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let name = |antenna: u32| format!("20240101.1200.00.sas.0.antennas_iq.antenna_{antenna}_0_70.jpg");
    assert_eq!(names, [name(3), name(18), name(19)]);
    assert_eq!(done.warnings.len(), 2, "{:?}", done.warnings);
    assert!(done.warnings[0].ends_with("antenna_20 is not in the file"), "{:?}", done.warnings);
    assert_eq!((done.records, done.sequences > 12 * 27), (12, true));
    let found = picture(&done.pictures[0]);
    assert_eq!(found.dimensions(), size);
    is_golden(&found, golden);

    // Once more gives the same bytes; what is there is not replaced unasked.
    let before = fs::read(&done.pictures[0]).unwrap();
    let error = plot_iq(&input, dir.path(), &settings, &VerbContext::default()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Refused);
    let again = PlotIqOptions { force: true, ..settings };
    plot_iq(&input, dir.path(), &again, &VerbContext::default()).unwrap();
    assert!(fs::read(&done.pictures[0]).unwrap() == before);
    let none = PlotIqOptions { antennas: Some("50".parse().unwrap()), ..PlotIqOptions::default() };
    assert_eq!(plot_iq(&input, dir.path(), &none, &VerbContext::default()).unwrap_err().class(), ErrorClass::Data);
}

/// Array files of the other layout draw the same.
#[test]
fn real_layouts_are_drawn() {
    for name in ["20230115.1400.00.sas.0.antennas_iq.hdf5.site", "20250912.0000.00.sas.0.antennas_iq.h5"] {
        let Some(input) = sample(&format!("borealis/{name}")) else { return };
        let dir = tempfile::tempdir().unwrap();
        let done = plot_iq(&input, dir.path(), &PlotIqOptions::default(), &VerbContext::default()).unwrap();
        assert!(!done.pictures.is_empty() && done.warnings.is_empty(), "{done:?}");
        for path in &done.pictures {
            assert_eq!(picture(path).dimensions(), (1000, 833));
        }
    }
}

#[test]
fn lag_0_of_each_beam_from_either_format() {
    let dir = tempfile::tempdir().unwrap();
    let (hdf5, dmap) = (dir.path().join("20240101.1200.00.sas.0.rawacf.h5"), dir.path().join("x.rawacf"));
    let many = SynthOptions { records: 64, ..options() };
    write(&hdf5, SynthLayout::V1, &many).unwrap();
    to_dmap(std::slice::from_ref(&hdf5), &dmap, &ToDmapOptions::default(), &VerbContext::default()).unwrap();
    let settings = PlotRawacfOptions { beams: vec![3, 7], width: 600, ..PlotRawacfOptions::default() };
    let one = plot_rawacf(&hdf5, dir.path(), &settings, &VerbContext::default()).unwrap();
    let other = plot_rawacf(&dmap, dir.path(), &settings, &VerbContext::default()).unwrap();
    assert_eq!((one.records, other.records), (64, 64));
    assert!(one.pictures[1].ends_with("20240101.1200.00.sas.0.beam_7.png"), "{one:?}");
    assert!(other.pictures[0].ends_with("x.beam_3.png"), "{other:?}");
    let (one, other) = (picture(&one.pictures[1]), picture(&other.pictures[1]));
    is_golden(&one, "rawacf.png");
    // Below the title they are the same.
    let below = |picture: &RgbImage| picture.as_raw()[600 * 3 * 30..].to_vec();
    assert!(below(&one) == below(&other));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a file that is no picture")]
fn smaller_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    RgbImage::from_fn(400, 300, |x, y| image::Rgb([x, y, 128].map(|value| value.to_le_bytes()[0])))
        .save(path("a.png"))
        .unwrap();
    let to = |width| ResizeOptions { width, quality: 82, force: false };
    resize(&path("a.png"), &path("b.jpg"), to(160), &VerbContext::default()).unwrap();
    assert_eq!(picture(&path("b.jpg")).dimensions(), (160, 120));
    resize(&path("b.jpg"), &path("c.png"), to(999), &VerbContext::default()).unwrap();
    assert_eq!(picture(&path("c.png")).dimensions(), (160, 120));
    fs::write(path("d.jpg"), b"no picture").unwrap();
    for (input, output, class) in [
        ("d.jpg", "e.jpg", ErrorClass::Data),
        ("a.png", "b.jpg", ErrorClass::Refused),
        ("a.png", "f.tif", ErrorClass::Config),
    ] {
        let error = resize(&path(input), &path(output), to(10), &VerbContext::default()).unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
}
