//! DMAP samples of other programs, and records of our own.

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;
use thalweg_formats::dmap::{
    Elements, Field, Format, Mode, Reader, Record, Scalar, TextMode, Vector, Writer, check, dump, encode, summarise,
};

use crate::data::sample;

fn read_all(bytes: &[u8]) -> Vec<Record> {
    let mut reader = Reader::new(bytes).expect("a stream with records");
    let mut records = Vec::new();
    while let Some(raw) = reader.next_raw().expect("a good stream") {
        records.push(raw.parse(TextMode::Strict).expect("a good record"));
    }
    records
}

#[rstest]
#[case("rawacf", Some(Format::Rawacf))]
#[case("iqdat", Some(Format::Iqdat))]
#[case("fitacf", Some(Format::Fitacf))]
#[case("grid", Some(Format::Grid))]
#[case("map", Some(Format::Map))]
#[case("snd", Some(Format::Snd))]
fn samples_are_good_and_come_back_byte_for_byte(#[case] name: &str, #[case] format: Option<Format>) {
    let Some(path) = sample(&format!("dmap/test.{name}")) else { return };
    let bytes = fs::read(path).unwrap();
    for mode in [Mode::Strict, Mode::Lax, Mode::Salvage] {
        let report = check(&bytes[..], None, mode).unwrap();
        assert_eq!((report.records, report.format, report.bad_records), (2, format, 0), "{:?}", report.problems);
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }
    let mut again = Vec::new();
    for record in read_all(&bytes) {
        encode(&record, &mut again).unwrap();
    }
    assert!(again == bytes);
}

#[rstest]
#[case("rawacf", Format::Rawacf)]
#[case("grid", Format::Grid)]
#[case("snd", Format::Snd)]
fn table_order_is_the_order_of_the_usual_writer(#[case] name: &str, #[case] format: Format) {
    let Some(path) = sample(&format!("dmap/test.{name}")) else { return };
    for record in read_all(&fs::read(path).unwrap()) {
        let ordered: Vec<&str> =
            format.writing_order().map(|entry| entry.name).filter(|name| record.get(name).is_some()).collect();
        let found: Vec<&str> = record.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, ordered);
    }
}

/// Compares a value of our dump with one of the reference's, which gives arrays by shape and first values.
fn same(name: &str, ours: &Value, theirs: &Value) {
    let Some(shape) = theirs.get("shape") else {
        assert_eq!(ours.as_f64(), theirs.as_f64(), "{name}");
        assert_eq!(ours.as_str(), theirs.as_str(), "{name}");
        return;
    };
    let mut found = Vec::new();
    let mut level = ours;
    while let Some(list) = level.as_array() {
        found.push(list.len());
        level = &list[0];
    }
    assert_eq!(&serde_json::json!(found), shape, "{name}");
    let mut flat = Vec::new();
    flatten(ours, &mut flat);
    for (ours, theirs) in flat.iter().zip(theirs["first"].as_array().expect("a list")) {
        assert_eq!(ours.as_f64(), theirs.as_f64(), "{name}");
    }
}

fn flatten<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flatten(value, out)),
        other => out.push(other),
    }
}

#[rstest]
#[case("dmap/test.rawacf")]
#[case("dmap/test.rawacf.bz2")]
#[case("dmap/test.fitacf.bz2")]
#[case("dmap/test.iqdat.bz2")]
#[case("dmap/test.grid")]
#[case("dmap/test.map")]
#[case("dmap/test.snd")]
#[case("expected/20211006.2132.00.sas.a.rawacf")]
#[case("expected/20211006.2132.00.sas.a.iqdat")]
fn dumps_have_the_expected_values(#[case] name: &str) {
    let base = name.rsplit('/').next().unwrap().trim_end_matches(".bz2");
    let (Some(path), Some(expected)) = (sample(name), sample(&format!("expected/{base}.json"))) else { return };
    let expected: Value = serde_json::from_slice(&fs::read(expected).unwrap()).unwrap();
    let mut out = Vec::new();
    let count = dump(fs::File::open(path).unwrap(), &mut out).unwrap();
    assert_eq!(Some(count), expected["records"].as_u64());
    let lines: Vec<Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (ours, theirs) in [(&lines[0], "first_record"), (lines.last().unwrap(), "last_record")] {
        let theirs = expected[theirs].as_object().unwrap();
        assert_eq!(ours.as_object().unwrap().len(), theirs.len());
        for (name, value) in theirs {
            same(name, &ours[name], value);
        }
    }
}

#[test]
fn summary_of_a_sample() {
    let Some(path) = sample("expected/20211006.2132.00.sas.a.rawacf") else { return };
    let summary = summarise(fs::File::open(path).unwrap()).unwrap();
    assert_eq!(summary.records, 3);
    assert_eq!(summary.times.0.to_string(), "2021-10-06T21:32:00.11035Z");
    assert_eq!(summary.times.1.to_string(), "2021-10-06T21:32:07.209874Z");
    assert_eq!(summary.beams.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((summary.first_program, summary.stations.first().copied()), (Some(151), Some(5)));
}

#[test]
fn unwritable_records_leave_nothing_behind() {
    let vector = |shape: Vec<usize>| Field::Vector(Vector { shape, data: Elements::Short(vec![1, 2]) });
    let scalar = |text: &str| Field::Scalar(Scalar::Text(text.to_owned()));
    for (a, b) in [(scalar("a\0b"), vector(vec![2])), (scalar("a"), vector(vec![3])), (scalar("a"), vector(vec![]))] {
        let record = Record { fields: vec![("a".to_owned(), a), ("b".to_owned(), b)], ..Record::default() };
        let mut out = vec![7];
        encode(&record, &mut out).unwrap_err();
        assert_eq!(out, [7]);
    }
    encode(&Record::default(), &mut Vec::new()).unwrap_err();
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        any::<i8>().prop_map(Scalar::Char),
        any::<i16>().prop_map(Scalar::Short),
        any::<i32>().prop_map(Scalar::Int),
        (-1e30_f32..1e30).prop_map(Scalar::Float),
        (-1e300_f64..1e300).prop_map(Scalar::Double),
        "[^\0]{0,20}".prop_map(Scalar::Text),
        any::<i64>().prop_map(Scalar::Long),
        any::<u8>().prop_map(Scalar::UChar),
        any::<u16>().prop_map(Scalar::UShort),
        any::<u32>().prop_map(Scalar::UInt),
        any::<u64>().prop_map(Scalar::ULong),
    ]
}

fn vector() -> impl Strategy<Value = Vector> {
    vec(1_usize..4, 1..4).prop_flat_map(|shape| {
        let count: usize = shape.iter().product();
        let data = prop_oneof![
            vec(any::<i8>(), count).prop_map(Elements::Char),
            vec(any::<i16>(), count).prop_map(Elements::Short),
            vec(any::<i32>(), count).prop_map(Elements::Int),
            vec(-1e30_f32..1e30, count).prop_map(Elements::Float),
            vec(-1e300_f64..1e300, count).prop_map(Elements::Double),
            vec(any::<i64>(), count).prop_map(Elements::Long),
            vec(any::<u8>(), count).prop_map(Elements::UChar),
            vec(any::<u16>(), count).prop_map(Elements::UShort),
            vec(any::<u32>(), count).prop_map(Elements::UInt),
            vec(any::<u64>(), count).prop_map(Elements::ULong),
        ];
        data.prop_map(move |data| Vector { shape: shape.clone(), data })
    })
}

prop_compose! {
    fn record()(code: i32, scalars in vec(scalar(), 1..8), vectors in vec(vector(), 1..6)) -> Record {
        let scalars = scalars.into_iter().map(Field::Scalar);
        let fields = scalars.chain(vectors.into_iter().map(Field::Vector));
        Record { code, fields: fields.enumerate().map(|(n, field)| (format!("field.{n}"), field)).collect() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn decoding_gives_what_was_encoded(records in vec(record(), 1..4), compress: bool) {
        let mut writer = Writer::new(Vec::new(), compress);
        for record in &records {
            writer.write(record).unwrap();
        }
        let bytes = writer.finish().unwrap();
        prop_assert_eq!(bytes.starts_with(b"BZh"), compress);
        prop_assert_eq!(read_all(&bytes), records);
    }
}
