//! Small files of our own, changed at random and read again: nothing panics, hangs or asks for much memory.
//!
//! The fuzz targets call the same functions.

use std::time::{Duration, Instant};

use thalweg_formats::borealis::FileKind;
use thalweg_formats::borealis::synth::{SynthLayout, SynthOptions, write, write_iq};
use thalweg_formats::dmap::{Elements, Field, Record, Scalar, Vector, Writer};
use thalweg_formats::{borealis, dmap, hdf5};

/// Time for each reader; a part of a second is enough for some thousands of files.
const TIME: Duration = Duration::from_millis(1500);

fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 16).unwrap_or(0)
}

/// Changes a few bytes, writes extreme numbers, cuts, doubles or removes a part.
fn mutate(seed: &[u8], state: &mut u64) -> Vec<u8> {
    const NUMBERS: [u64; 8] = [0, 1, 0xff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 0x8000_0000_0000_0000, 1 << 40];
    let mut bytes = seed.to_vec();
    for _ in 0..1 + next(state) % 4 {
        let length = bytes.len().max(1);
        let at = next(state) % length;
        match next(state) % 6 {
            0 => bytes.truncate(at),
            1 => {
                let part = bytes[at.min(bytes.len())..].iter().take(64).copied().collect::<Vec<_>>();
                let to = next(state) % length;
                bytes.splice(to.min(bytes.len())..to.min(bytes.len()), part);
            }
            2 => {
                let number = NUMBERS[next(state) % NUMBERS.len()].to_le_bytes();
                let width = 1 << (next(state) % 4);
                bytes.iter_mut().skip(at).zip(&number[..width]).for_each(|(byte, new)| *byte = *new);
            }
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (next(state) % 8)),
        }
    }
    bytes
}

fn replay(seeds: &[Vec<u8>], read: impl Fn(&[u8]) -> u64) {
    let mut state = 0x1234_5678_9abc_def1;
    for seed in seeds {
        assert!(read(seed) > 0, "a seed is good");
    }
    let start = Instant::now();
    let mut runs = 0;
    while start.elapsed() < TIME {
        let bytes = mutate(&seeds[runs % seeds.len()], &mut state);
        read(&bytes);
        runs += 1;
    }
    assert!(runs > 10, "{runs} runs are too few to mean anything");
}

fn dmap_seeds() -> Vec<Vec<u8>> {
    let vector = Vector { shape: vec![3, 2], data: Elements::Float(vec![1.0; 6]) };
    let fields = vec![
        ("cp".to_owned(), Field::Scalar(Scalar::Short(151))),
        ("combf".to_owned(), Field::Scalar(Scalar::Text("a comment".to_owned()))),
        ("acfd".to_owned(), Field::Vector(vector)),
    ];
    let record = Record { fields, ..Record::default() };
    [false, true]
        .into_iter()
        .map(|compress| {
            let mut writer = Writer::new(Vec::new(), compress);
            for _ in 0..3 {
                writer.write(&record).expect("memory takes all");
            }
            writer.finish().expect("memory takes all")
        })
        .collect()
}

fn borealis_seeds() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = SynthOptions { records: 2, ranges: 4, lags: 4, ..SynthOptions::default() };
    let path = dir.path().join("seed");
    let mut seeds = Vec::new();
    for layout in [SynthLayout::SiteV06, SynthLayout::V1] {
        write(&path, layout, &options).expect("a file can be made");
        seeds.push(std::fs::read(&path).expect("a file just made"));
    }
    for kind in [FileKind::Bfiq, FileKind::AntennasIq] {
        write_iq(&path, kind, &options, 3).expect("a file can be made");
        seeds.push(std::fs::read(&path).expect("a file just made"));
    }
    seeds
}

#[test]
fn changed_dmap_files_never_panic() {
    replay(&dmap_seeds(), dmap::read_all_for_check);
}

#[test]
fn changed_hdf5_files_never_panic() {
    replay(&borealis_seeds(), |bytes| hdf5::read_all_for_check(bytes) as u64);
}

#[test]
fn changed_borealis_files_never_panic() {
    replay(&borealis_seeds(), |bytes| borealis::read_all_for_check(bytes) as u64);
}

/// Both ways, and the good records copied: bad input gives an error, and never more memory than the input justifies.
#[test]
#[expect(clippy::disallowed_methods, reason = "files are damaged on purpose")]
fn changed_files_are_restructured_or_refused() {
    use thalweg_formats::borealis::{RestructureOptions, bad_records, copy_records, restructure};
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [input, output, array] = ["in", "out", "array"].map(|name| dir.path().join(name));
    let options = RestructureOptions { lenient: true, drop_bad_records: true, accept_differing: true };
    let mut seeds = borealis_seeds();
    // Not that of v1, which has one layout only; the array file of another.
    seeds.remove(1);
    std::fs::write(&input, &seeds[0]).expect("it is written");
    restructure(&input, &array, options, &mut |_, _| {}).expect("a seed is good");
    seeds.push(std::fs::read(&array).expect("a file just made"));
    replay(&seeds, |bytes| {
        std::fs::write(&input, bytes).expect("it is written");
        let records = restructure(&input, &output, options, &mut |_, _| {}).map_or(0, |done| done.records);
        if let Ok((bad, _)) = bad_records(&input, true) {
            let _ = copy_records(&input, &output, &bad.into_iter().map(|problem| problem.record).collect());
        }
        records
    });
}
