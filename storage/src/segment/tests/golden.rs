//! The segment of format version 1 that every later build must read.
//!
//! `build` is never edited: a change of the format adds a version, a directory under `testdata/compat` and a test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rows::{ID, Lcg, PATH, SeriesModel, TableModel, Value, all_types, read, walks, write, write_as};
use crate::encoding::VectorEncoding;
use crate::io::RealIo;
use crate::io::sim::SimIo;
use crate::segment::{ColumnStorage, Segment};
use crate::types::{FieldType, TableId, TableSchema, TableSpec, Tier};

/// The bits of a header's `param` that say that outliers are patched, and that floats are decimals.
const PATCHED: u16 = 1 << 7;
const EXPONENT: u16 = 0b0111_1100;

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/compat/v1/segment.seg")
}

fn warm_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/compat/v1/segment_warm.seg")
}

/// The same tables and one whose columns are coded, as a warm segment.
fn build_warm() -> Vec<TableModel> {
    let mut tables = build();
    tables.push(walks(4, &[("a", 1500), ("b", 10), ("c", 700)]));
    tables
}

/// Three tables: all types with NULLs, extremes and both storages of strings; small series that share vectors; every
/// encoding of numbers.
fn build() -> Vec<TableModel> {
    let mut random = Lcg(1);
    let schema = all_types(1);
    let series = [(None, 300), (Some("host_1"), 1100), (Some("host_2"), 5)].map(|(host, row_count)| {
        let is_irregular = host.is_none();
        let time = |row: i64| 1_700_000_000_000_000_000 + row * 10_000_000_000 + if is_irregular { row % 3 } else { 0 };
        let mut column = |value: &dyn Fn(&mut Lcg, usize) -> Value| {
            (0..row_count).map(|row| (row % 11 != 3).then(|| value(&mut random, row))).collect::<Vec<_>>()
        };
        let fields = vec![
            column(&|random, row| match row % 100 {
                0 => Value::F64(0x7FF0_0000_0000_0002),
                1 => Value::F64(0x8000_0000_0000_0000),
                _ => Value::F64((random.below(1000) as f64 / 10.0).to_bits()),
            }),
            column(&|random, row| match row % 500 {
                0 => Value::I64(i64::MIN),
                1 => Value::I64(i64::MAX),
                _ => Value::I64(random.below(64).cast_signed() - 32 + row as i64),
            }),
            column(&|_, row| Value::U64(u64::MAX - row as u64)),
            column(&|random, _| Value::Bool(random.below(2) == 1)),
            column(&|random, _| Value::String(["", "idle", "naïve ☃", "running"][random.below(4) as usize].to_owned())),
            column(&|random, _| Value::Binary(random.next().to_le_bytes().to_vec())),
        ];
        SeriesModel {
            tags: vec![host.map(str::to_owned), Some("eu\0west".to_owned())],
            times: (0..row_count as i64).map(time).collect(),
            fields,
        }
    });
    let first = TableModel { schema, series: series.to_vec() };

    let spec = TableSpec::new("noise").tag("sensor").field("value", FieldType::F64);
    let schema = TableSchema::from_spec(TableId(2), &spec).unwrap();
    let series = (0..40).map(|sensor| SeriesModel {
        tags: vec![Some(format!("{sensor:02}"))],
        times: (0..60).collect(),
        fields: vec![(0..60).map(|_| Some(Value::F64(random.next() << 11 ^ random.next()))).collect()],
    });
    let series = series.collect();
    vec![first, TableModel { schema, series }, every_encoding(&mut random)]
}

/// A table whose columns are made for one encoding of numbers each, in a whole vector and in a short one.
fn every_encoding(random: &mut Lcg) -> TableModel {
    let integers = ["constant", "regular", "frame", "linear", "delta", "outliers", "jumps", "runs"];
    let floats = ["decimal", "bits", "split"];
    let spec = integers.iter().fold(TableSpec::new("kinds").tag("k"), |spec, name| spec.field(*name, FieldType::I64));
    let spec = floats.iter().fold(spec, |spec, name| spec.field(*name, FieldType::F64));
    let schema = TableSchema::from_spec(TableId(3), &spec).unwrap();
    let series = [("long", 1100), ("short", 40)].map(|(name, row_count)| {
        let mut column = |value: &mut dyn FnMut(&mut Lcg, i64) -> Value| -> Vec<Option<Value>> {
            (0..row_count).map(|row| Some(value(random, row))).collect()
        };
        let (mut level, mut total) = (0, 1i64 << 40);
        let fields = vec![
            column(&mut |_, _| Value::I64(-5)),
            column(&mut |_, row| Value::I64(row * 1_000 - 7)),
            column(&mut |random, _| Value::I64(random.below(100).cast_signed())),
            column(&mut |random, row| Value::I64(row * 1_000_000 + random.below(500).cast_signed())),
            column(&mut |random, _| {
                level += random.below(30).cast_signed() - 14;
                Value::I64(level)
            }),
            column(&mut |random, row| {
                let outlier = if row % 90 == 17 { i64::MIN >> (row % 40) } else { 0 };
                Value::I64(random.below(60).cast_signed() + outlier)
            }),
            column(&mut |random, row| {
                total = if row % 300 == 250 { 0 } else { total + random.below(50).cast_signed() };
                Value::I64(total)
            }),
            column(&mut |_, row| Value::I64(row / 37 * 1_000_003 % 11)),
            column(&mut |random, _| Value::F64((random.below(100_000) as f64 / 100.0).to_bits())),
            column(&mut |random, _| Value::F64(0x4050_0000_0000_0000 | random.below(1 << 30) << 8)),
            column(&mut |random, _| {
                let numerator = (random.next() << 32 ^ random.next()) >> 11;
                Value::F64((numerator as f64 / (1u64 << 53) as f64 - 0.5).to_bits())
            }),
        ];
        SeriesModel { tags: vec![Some(name.to_owned())], times: (0..row_count).map(|row| row * row).collect(), fields }
    });
    TableModel { schema, series: series.to_vec() }
}

#[test]
fn the_golden_segment_of_version_1_still_reads() {
    let len = std::fs::metadata(golden_path()).unwrap().len();
    let segment = Segment::open(Arc::new(RealIo), &golden_path(), ID, len).unwrap();
    segment.verify_all().unwrap();
    assert_eq!(read(&segment).unwrap(), build());
    let storages: Vec<_> = segment.sections()[0].columns().iter().map(|column| column.storage()).collect();
    let numbers = ColumnStorage::Numbers;
    let expected = [numbers, numbers, numbers, numbers, ColumnStorage::Dictionary, ColumnStorage::PlainStrings];
    assert_eq!(storages, expected);
    assert!(segment.sections().iter().any(|section| section.rollups().is_some()));
}

#[test]
fn the_golden_segment_holds_every_encoding() {
    let len = std::fs::metadata(golden_path()).unwrap().len();
    let segment = Segment::open(Arc::new(RealIo), &golden_path(), ID, len).unwrap();
    let mut found = std::collections::HashSet::new();
    for section in segment.sections() {
        for column in section.columns() {
            for vector in 0..section.vector_count() {
                let header = column.encoded(vector).unwrap().header;
                found.insert((header.encoding, header.param & PATCHED != 0, header.param & EXPONENT != 0));
            }
        }
    }
    use VectorEncoding::*;
    let integers = [Constant, Regular, FrameOfReference, Linear, Delta, Runs].map(|encoding| (encoding, false, false));
    let patched = [(FrameOfReference, true, false), (Delta, true, false)];
    let floats = [(FrameOfReference, false, true), (Plain, false, false), (Split, false, false)];
    for expected in integers.into_iter().chain(patched).chain(floats).chain([(Strings, false, false)]) {
        assert!(found.contains(&expected), "{expected:?} is not among {found:?}");
    }
}

/// Encoders may come to choose other encodings; then this test goes, and the one above stays.
#[test]
fn the_writer_still_writes_the_golden_segment() {
    let io = SimIo::new();
    write(&io, &build()).unwrap();
    let written = io.content(Path::new(PATH)).unwrap();
    assert!(written == std::fs::read(golden_path()).unwrap(), "the bytes of a segment have changed");
}

#[test]
#[ignore = "writes the golden file of a new format version; an existing one is never replaced"]
fn write_the_golden_segment() {
    let io = SimIo::new();
    write(&io, &build()).unwrap();
    std::fs::create_dir_all(golden_path().parent().unwrap()).unwrap();
    assert!(!golden_path().exists(), "a golden file is never replaced");
    std::fs::write(golden_path(), io.content(Path::new(PATH)).unwrap()).unwrap();
}

#[test]
fn the_golden_warm_segment_still_reads() {
    let len = std::fs::metadata(warm_path()).unwrap().len();
    let segment = Segment::open(Arc::new(RealIo), &warm_path(), ID, len).unwrap();
    assert_eq!(segment.tier(), Tier::Warm);
    segment.verify_all().unwrap();
    assert_eq!(read(&segment).unwrap(), build_warm());
    let mut found = std::collections::HashSet::new();
    for section in segment.sections() {
        for column in section.columns() {
            for vector in 0..section.vector_count() {
                let header = column.encoded(vector).unwrap().header;
                found.insert((header.encoding, header.param & PATCHED != 0));
            }
        }
    }
    use VectorEncoding::*;
    for expected in [(CodedDelta, false), (CodedDelta, true), (CodedFrame, false), (Strings, false), (Plain, false)] {
        assert!(found.contains(&expected), "{expected:?} is not among {found:?}");
    }
}

/// As for the hot one.
#[test]
fn the_writer_still_writes_the_golden_warm_segment() {
    let io = SimIo::new();
    write_as(&io, &build_warm(), Tier::Warm).unwrap();
    let written = io.content(Path::new(PATH)).unwrap();
    assert!(written == std::fs::read(warm_path()).unwrap(), "the bytes of a warm segment have changed");
}

#[test]
#[ignore = "writes the golden file of a new format version; an existing one is never replaced"]
fn write_the_golden_warm_segment() {
    let io = SimIo::new();
    write_as(&io, &build_warm(), Tier::Warm).unwrap();
    assert!(!warm_path().exists(), "a golden file is never replaced");
    std::fs::write(warm_path(), io.content(Path::new(PATH)).unwrap()).unwrap();
}
