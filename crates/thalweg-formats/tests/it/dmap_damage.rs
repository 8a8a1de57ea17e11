//! Damaged DMAP streams: what is good comes out, what is bad is told with its place.

use std::fs;

use rstest::rstest;
use serde_json::Value;
use thalweg_formats::dmap::{Mode, Report, Writer, check};

use crate::data::sample;

fn checked(bytes: &[u8], mode: Mode) -> Report {
    check(bytes, None, mode).expect("memory can be read")
}

#[rstest]
#[case("cly")]
#[case("inv")]
fn damaged_files_give_what_is_expected(#[case] radar: &str) {
    let Some(table) = sample(&format!("expected/damaged-{radar}.json")) else { return };
    let table: Value = serde_json::from_slice(&fs::read(table).unwrap()).unwrap();
    for (name, expected) in table.as_object().unwrap() {
        let Some(path) = sample(&format!("dmap/damaged/{name}")) else { return };
        let bytes = fs::read(path).unwrap();
        let strict = checked(&bytes, Mode::Strict);
        let outcome = if strict.is_good() { "ok" } else { "error" };
        assert_eq!(Some(outcome), expected["strict"].as_str(), "{name}: {:?}", strict.problems);
        let lax = checked(&bytes, Mode::Lax);
        assert_eq!(Some(lax.records), expected["lax_records"].as_u64(), "{name}: {lax:?}");
        assert_eq!(lax.bad_offset, expected["lax_bad_offset"].as_u64(), "{name}: {lax:?}");
    }
}

fn rawacf() -> Option<Vec<u8>> {
    sample("dmap/test.rawacf").map(|path| fs::read(path).expect("a sample"))
}

/// Name, bytes, good in strict, records in lax, offset in lax.
type Case = (&'static str, Vec<u8>, bool, u64, Option<u64>);

#[test]
fn odd_input_of_the_table() {
    let Some(good) = rawacf() else { return };
    let size = good.len() / 2;
    let mut cases: Vec<Case> = vec![
        ("empty", Vec::new(), false, 0, None),
        ("two bytes", b"ab".to_vec(), false, 0, Some(0)),
        ("8 bytes", good[..8].to_vec(), false, 0, Some(0)),
        ("cut inside record 2", good[..size + 1000].to_vec(), false, 1, Some(size as u64)),
        ("cut between", good[..size].to_vec(), true, 1, None),
    ];
    for extra in [4, 8, 16] {
        let mut bytes = good.clone();
        bytes.resize(good.len() + extra, 0);
        cases.push(("zeros behind", bytes, false, 2, Some(good.len() as u64)));
    }
    let mut put = |name, at: usize, value: i32, strict, lax, offset| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        cases.push((name, bytes, strict, lax, offset));
    };
    let second = Some(size as u64);
    put("other code", 0, 7, true, 2, None);
    put("negative size", size + 4, -1, false, 1, second);
    put("size of nothing", size + 4, 0, false, 1, second);
    put("size too big", size + 4, i32::MAX, false, 1, second);
    put("size of both records", 4, i32::try_from(good.len()).unwrap(), false, 0, Some(0));
    put("a scalar too few", size + 8, 46, false, 1, second);
    put("no scalars", size + 8, 0, false, 1, second);
    put("vectors beyond count", size + 12, i32::MAX, false, 1, second);
    for (name, bytes, strict, lax, offset) in cases {
        let report = checked(&bytes, Mode::Strict);
        assert_eq!(report.is_good(), strict, "{name}: {report:?}");
        let report = checked(&bytes, Mode::Lax);
        assert_eq!((report.records, report.bad_offset), (lax, offset), "{name}: {report:?}");
    }
}

#[test]
fn text_that_is_not_utf8_is_bad_only_in_strict() {
    let Some(mut bytes) = rawacf() else { return };
    let at = bytes.windows(8).position(|window| window == b"Borealis").unwrap();
    bytes[at] = 0xe9;
    let strict = checked(&bytes, Mode::Strict);
    assert_eq!((strict.records, strict.bad_records), (1, 1));
    let lax = checked(&bytes, Mode::Lax);
    assert_eq!((lax.records, lax.warnings.len()), (2, 1), "{lax:?}");
}

#[test]
fn salvage_goes_on_behind_the_damage() {
    let Some(good) = rawacf() else { return };
    let size = good.len() / 2;
    let mut bytes = good.clone();
    bytes.extend_from_slice(&good);
    // The second of four records loses its header.
    bytes[size..size + 16].fill(0xff);
    let report = checked(&bytes, Mode::Salvage);
    assert_eq!((report.records, report.bad_records), (3, 1), "{:?}", report.problems);
    assert_eq!(report.gaps.len(), 1);
    assert_eq!((report.gaps[0].offset, report.gaps[0].length), (size as u64, size as u64));
}

#[test]
fn messages_name_record_byte_and_field() {
    let Some(mut bytes) = rawacf() else { return };
    let size = bytes.len() / 2;
    let at = size + bytes[size..].windows(6).position(|window| window == b"bmnum\0").unwrap();
    bytes[at + 6] = 99;
    let report = checked(&bytes, Mode::Strict);
    assert_eq!(
        report.problems[0].message,
        "read dmap record 1 at byte 36764: scalar \"bmnum\" has type code 99; known codes are 1-4, 8-10, 16-19"
    );
}

/// Several streams and blocks: everything up to the damaged block comes out, nothing of it.
#[test]
fn intact_blocks_before_a_damaged_one_come_out() {
    let Some(good) = rawacf() else { return };
    let size = good.len() as u64 / 2;
    let mut writer = Writer::new(Vec::new(), true);
    for _ in 0..20 {
        writer.write_bytes(&good).unwrap();
    }
    let mut packed = writer.finish().unwrap();
    let one_stream = packed.len();
    assert_eq!(checked(&packed, Mode::Strict).records, 40);
    packed.extend_from_slice(&packed.clone());
    assert_eq!(checked(&packed, Mode::Strict).records, 80);

    let mut damaged = packed.clone();
    damaged[one_stream - 1000] ^= 0x10;
    let report = checked(&damaged, Mode::Lax);
    // A block holds 900,000 bytes less a little.
    let expected = 899_900 / size;
    assert_eq!((report.records, report.is_good()), (expected, false), "{report:?}");
    assert!(checked(&packed[..one_stream + 10], Mode::Strict).problems[0].message.contains("ends early"));
    let mut garbage = packed[..one_stream].to_vec();
    garbage.extend_from_slice(b"garbage");
    let report = checked(&garbage, Mode::Strict);
    let place = format!("follow the last stream at compressed byte {one_stream}");
    assert!(report.records == 40 && report.problems[0].message.contains(&place), "{report:?}");
}
