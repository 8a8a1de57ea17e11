//! What the facade writes, the facade reads.

use thalweg_formats::hdf5::{Array, Dtype, File, FileWriter, Storage};

#[test]
fn written_values_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.h5");
    let values = [
        ("i64", Array::i64s(&[3], &[-1, 2, i64::MAX])),
        ("i16", Array::i16s(&[], &[-3])),
        ("u32", Array::u32s(&[2, 2], &[1, 2, 3, u32::MAX])),
        ("u8", Array::u8s(&[4], &[0, 1, 254, 255])),
        ("f32", Array::f32s(&[2], &[0.5, -1.25])),
        ("f64", Array::f64s(&[], &[1e-300])),
        ("bool", Array::bools(&[2], &[true, false])),
        ("complex", Array::complexes(&[1, 2], &[[1.0, 2.0], [3.0, -4.0]])),
        ("text", Array::text("normalscan")),
        ("empty text", Array::text("")),
        ("texts", Array::texts(&["lat", "lon", "x"])),
    ];
    let writer = FileWriter::create(&path).unwrap();
    let group = writer.group("metadata").unwrap();
    for (name, value) in &values {
        let chunk = value.dims().to_vec();
        group.dataset(name, value, &Storage::Contiguous, &[("units", Array::text("km"))]).unwrap();
        let packed = Storage::Deflate { level: 9, chunk };
        group.dataset(&format!("{name} packed"), value, &packed, &[]).unwrap();
        if value.dims().is_empty() {
            group.attribute(name, value).unwrap();
        }
    }
    let second = writer.group("second").unwrap();
    second.link("i64", "metadata/i64").unwrap();
    writer.close().unwrap();

    let file = File::open(&path).unwrap();
    let root = file.root().unwrap();
    let links = file.links(&root).unwrap();
    assert_eq!(links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["metadata", "second"]);
    let group = file.open_link(&links[0]).unwrap();
    let members = file.links(&group).unwrap();
    for (name, value) in &values {
        for name in [(*name).to_owned(), format!("{name} packed")] {
            let link = members.iter().find(|link| link.name == name).unwrap();
            let dataset = file.dataset(file.open_link(link).unwrap()).unwrap();
            assert_eq!(&file.read(&dataset).unwrap(), value, "{name}");
        }
    }
    let attributes = file.attributes(&group).unwrap();
    assert_eq!(attributes.len(), 4);
    for attribute in attributes {
        let (_, value) = values.iter().find(|(name, _)| *name == attribute.name).unwrap();
        assert_eq!(&attribute.value, value);
    }
    let linked = file.links(&file.open_link(&links[1]).unwrap()).unwrap();
    assert_eq!(linked[0].address, members.iter().find(|link| link.name == "i64").unwrap().address);
}

#[test]
fn rows_of_chunks_that_do_not_divide_the_extent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.h5");
    let values: Vec<u32> = (0..7 * 3 * 5).collect();
    let array = Array::u32s(&[7, 3, 5], &values);
    let writer = FileWriter::create(&path).unwrap();
    writer.root().dataset("a", &array, &Storage::Deflate { level: 4, chunk: vec![2, 2, 3] }, &[]).unwrap();
    writer.close().unwrap();
    let file = File::open(&path).unwrap();
    let links = file.links(&file.root().unwrap()).unwrap();
    let dataset = file.dataset(file.open_link(&links[0]).unwrap()).unwrap();
    assert_eq!(dataset.dtype(), &Dtype::U32);
    assert_eq!(file.read(&dataset).unwrap(), array);
    for start in 0..7 {
        for count in 0..=7 - start {
            let rows = file.read_rows(&dataset, start, count).unwrap();
            assert_eq!(rows, array.bytes[start * 60..(start + count) * 60], "{start} {count}");
        }
    }
    assert!(file.read_rows(&dataset, 5, 3).is_err());
}
