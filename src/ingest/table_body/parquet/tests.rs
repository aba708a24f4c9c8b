use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int16Array, Int64Array, RecordBatch,
    StringArray, StringViewArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use lynxstore_storage::types::{FieldType, TableId, TableSchema, TableSpec};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};

use super::read;
use crate::ingest::rows::{RowLimits, RowsError};

fn table() -> Arc<TableSchema> {
    let fields = ["n", "u", "f", "g", "i", "w", "d", "b", "s", "v", "x"];
    let spec = fields.iter().fold(TableSpec::new("t").tag("host"), |spec, name| spec.field(*name, FieldType::F64));
    Arc::new(TableSchema::from_spec(TableId(1), &spec).unwrap())
}

fn rows(body: &[u8], limits: &RowLimits) -> Result<Option<RecordBatch>, RowsError> {
    read(&table(), body, limits, &mut |_| true)
}

fn file(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn one_column(column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([("s", column)]).unwrap()
}

/// Rows of every type that a table takes, with NULLs, in texts that repeat and texts that do not.
fn sample(rows: i64) -> RecordBatch {
    let some = |row: i64| row % 3 != 0;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampNanosecondArray::from_iter_values((0..rows).map(|row| row * 1_000_000_007)))),
        ("host", Arc::new(StringArray::from_iter((0..rows).map(|row| some(row).then(|| format!("host-{}", row % 7)))))),
        ("n", Arc::new(Int64Array::from_iter((0..rows).map(|row| some(row).then_some(row * row - 5))))),
        ("u", Arc::new(UInt64Array::from_iter_values((0..rows).map(|row| u64::MAX - row as u64)))),
        ("f", Arc::new(Float64Array::from_iter((0..rows).map(|row| some(row + 1).then_some(row as f64 / 3.0))))),
        ("g", Arc::new(Float32Array::from_iter_values((0..rows).map(|row| row as f32)))),
        ("i", Arc::new(Int16Array::from_iter_values((0..rows).map(|row| -(row % 99) as i16)))),
        ("w", Arc::new(UInt32Array::from_iter_values((0..rows).map(|row| u32::MAX - row as u32)))),
        ("d", Arc::new(Date32Array::from_iter_values((0..rows).map(|row| row as i32)))),
        ("b", Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0))))),
        (
            "s",
            Arc::new(StringViewArray::from_iter((0..rows).map(|row| some(row + 2).then(|| format!("text ü {row}"))))),
        ),
        ("v", Arc::new(BinaryArray::from_iter((0..rows).map(|row| some(row).then(|| vec![0xff, row as u8]))))),
        ("x", Arc::new(TimestampMicrosecondArray::from_iter_values(0..rows).with_timezone("+02:00"))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn files_of_every_compression_version_and_size_of_pages_are_read() {
    let expected = sample(1_000);
    let base = || WriterProperties::builder().set_max_row_group_row_count(Some(300)).set_data_page_row_count_limit(70);
    let plain = |builder: WriterPropertiesBuilder| builder.set_dictionary_enabled(false).set_encoding(Encoding::PLAIN);
    let (gzip, zstd) = (Compression::GZIP(Default::default()), Compression::ZSTD(Default::default()));
    for (name, properties) in [
        ("plain", plain(base())),
        ("dictionaries", base()),
        ("one page", WriterProperties::builder().set_compression(Compression::SNAPPY)),
        ("snappy", base().set_compression(Compression::SNAPPY)),
        ("gzip", base().set_compression(gzip)),
        ("zstd", base().set_compression(zstd)),
        ("second version", base().set_writer_version(WriterVersion::PARQUET_2_0).set_compression(zstd)),
        ("second version, plain", plain(base().set_writer_version(WriterVersion::PARQUET_2_0)).set_compression(gzip)),
        (
            "split streams",
            base()
                .set_column_dictionary_enabled("f".into(), false)
                .set_column_encoding("f".into(), Encoding::BYTE_STREAM_SPLIT),
        ),
        (
            "deltas",
            base()
                .set_column_dictionary_enabled("n".into(), false)
                .set_column_encoding("n".into(), Encoding::DELTA_BINARY_PACKED),
        ),
    ] {
        let found = rows(&file(&expected, properties), &RowLimits::default()).unwrap().unwrap();
        assert_eq!(found.num_rows(), expected.num_rows(), "{name}");
        for (column, (found, expected)) in found.columns().iter().zip(expected.columns()).enumerate() {
            let expected = match expected.data_type() {
                DataType::Timestamp(unit, _) => cast(expected, &DataType::Timestamp(*unit, None)).unwrap(),
                DataType::Utf8 => cast(expected, &DataType::Utf8View).unwrap(),
                DataType::Binary => cast(expected, &DataType::BinaryView).unwrap(),
                _ => Arc::clone(expected),
            };
            assert_eq!(found.to_data(), expected.to_data(), "{name}, column {column}");
        }
    }
    let empty = file(&expected.slice(0, 0), WriterProperties::builder());
    assert!(rows(&empty, &RowLimits::default()).unwrap().is_none());
}

#[test]
fn rows_cells_pages_values_and_texts_are_bounded() {
    let body = file(&sample(100), WriterProperties::builder());
    let limits = RowLimits::default;
    let what = |limits: RowLimits| match rows(&body, &limits) {
        Ok(_) => "",
        Err(RowsError::TooLarge { what, .. }) => what,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(what(RowLimits { rows_max: 99, ..limits() }), "rows");
    assert_eq!(what(RowLimits { rows_max: 100, ..limits() }), "");
    assert_eq!(what(RowLimits { cells_max: 1_299, ..limits() }), "cells (rows times columns)");
    assert_eq!(what(RowLimits { cells_max: 1_300, ..limits() }), "");
    assert_eq!(what(RowLimits { decoded_bytes_max: 2_000, ..limits() }), "bytes of pages after decompression");
    // A value that is the same in all rows takes no pages.
    let flat = file(&one_column(Arc::new(Int64Array::from(vec![1; 10_000]))), WriterProperties::builder());
    let limit = |decoded_bytes_max| rows(&flat, &RowLimits { decoded_bytes_max, ..limits() });
    assert!(matches!(limit(79_999), Err(RowsError::TooLarge { what: "bytes of values", .. })));
    assert!(limit(80_000).is_ok());
    let long = one_column(Arc::new(StringArray::from(vec!["x".repeat(100_000); 300])));
    let body = file(&long, WriterProperties::builder());
    assert!(body.len() < 250_000, "the text is there once");
    let limit = |decoded_bytes_max| rows(&body, &RowLimits { decoded_bytes_max, ..limits() });
    assert!(matches!(limit(30_000_000 - 1), Err(RowsError::TooLarge { what: "bytes of text", .. })));
    assert_eq!(limit(30_000_000).unwrap().unwrap().num_rows(), 300);
    let narrow = TableSchema::from_spec(TableId(1), &TableSpec::new("t").field("n", FieldType::I64)).unwrap();
    let refused = read(&narrow, &file(&sample(1), WriterProperties::builder()), &limits(), &mut |_| true);
    assert!(matches!(refused, Err(RowsError::TooLarge { what: "columns", limit: 2 })), "{refused:?}");
}

#[test]
fn memory_is_asked_for_before_pages_are_unpacked() {
    let body = file(&one_column(Arc::new(Int64Array::from(vec![7; 1_000]))), WriterProperties::builder());
    let mut asked = 0;
    let refused = read(&table(), &body, &RowLimits::default(), &mut |bytes| {
        asked = bytes;
        false
    });
    assert!(matches!(refused, Err(RowsError::NoRoom)), "{refused:?}");
    assert!((8_000..9_000).contains(&asked), "{asked}");
}

#[test]
fn what_no_column_of_a_table_can_be_is_refused_by_its_name() {
    let list = arrow::array::ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>([Some([Some(1)])]);
    let fixed = arrow::array::FixedSizeBinaryArray::try_from_iter([[1, 2, 3]].into_iter()).unwrap();
    let repeating = Arc::new(StringArray::from(vec!["aaaa", "aaab"]));
    let deltas = |encoding| WriterProperties::builder().set_dictionary_enabled(false).set_encoding(encoding);
    for (column, properties, expected) in [
        (Arc::new(list) as ArrayRef, WriterProperties::builder(), "nested columns"),
        (Arc::new(fixed), WriterProperties::builder(), "fixed length"),
        (repeating.clone(), deltas(Encoding::DELTA_BYTE_ARRAY), "delta encoded"),
        (repeating.clone(), deltas(Encoding::DELTA_LENGTH_BYTE_ARRAY), "delta encoded"),
        (repeating, WriterProperties::builder().set_compression(Compression::LZ4_RAW), "snappy, gzip or zstd"),
    ] {
        let refused = rows(&file(&one_column(column), properties), &RowLimits::default()).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

#[test]
fn damaged_files_are_refused_or_read_within_their_bounds() {
    let limits = RowLimits { rows_max: 100, decoded_bytes_max: 1 << 20, ..RowLimits::default() };
    for properties in [
        WriterProperties::builder().set_compression(Compression::SNAPPY),
        WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0),
    ] {
        let body = file(&sample(40), properties);
        for end in (0..body.len()).step_by(7) {
            assert!(rows(&body[..end], &limits).is_err(), "{end}");
        }
        for place in 0..body.len() {
            let mut changed = body.clone();
            changed[place] ^= [0x01, 0x41, 0x80, 0xff][place % 4];
            if let Ok(Some(batch)) = rows(&changed, &limits) {
                assert!(batch.num_rows() <= 100, "{place}");
            }
        }
    }
}

/// A file of one column that may say of itself what it wants.
#[derive(Clone)]
struct Claims {
    root_children: i64,
    children: i64,
    physical: i64,
    repetition: i64,
    groups: usize,
    group_count: u64,
    rows: i64,
    values: i64,
    codec: i64,
    unpacked_bytes: i64,
    packed_bytes: Option<i64>,
    data_offset: i64,
    /// The kind of a page, its values, its encoding, its bytes when unpacked, and those that it has.
    pages: Vec<(i64, i64, i64, i64, Vec<u8>)>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            root_children: 1,
            children: 0,
            physical: 2,
            repetition: 0,
            groups: 1,
            group_count: 1,
            rows: 2,
            values: 2,
            codec: 0,
            unpacked_bytes: 200,
            packed_bytes: None,
            data_offset: 4,
            pages: vec![(0, 2, 0, 16, vec![0; 16])],
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn integer(id: u8, value: i64) -> Vec<u8> {
    [vec![0x06, id << 1], varint(((value << 1) ^ (value >> 63)).cast_unsigned())].concat()
}

fn structure(id: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    [vec![0x0c, id << 1], fields.concat(), vec![0]].concat()
}

fn list(id: u8, count: u64, elements: &[Vec<u8>]) -> Vec<u8> {
    let elements: Vec<_> = elements.iter().map(|element| [&element[..], &[0]].concat()).collect();
    [vec![0x09, id << 1, 0xfc], varint(count), elements.concat()].concat()
}

impl Claims {
    fn file(&self) -> Vec<u8> {
        let mut file = b"PAR1".to_vec();
        for (kind, values, encoding, unpacked, bytes) in &self.pages {
            let of_values = [integer(1, *values), integer(2, *encoding), integer(3, 3), integer(4, 3)];
            let head = match kind {
                2 => structure(7, &of_values[..2]),
                _ => structure(5, &of_values),
            };
            let sizes = [integer(1, *kind), integer(2, *unpacked), integer(3, bytes.len() as i64)];
            file.extend([sizes.concat(), head, vec![0]].concat());
            file.extend(bytes);
        }
        let packed_bytes = self.packed_bytes.unwrap_or(file.len() as i64 - 4);
        let name = |name: &str| [vec![0x08, 4 << 1, name.len() as u8], name.as_bytes().to_vec()].concat();
        let root = [name("r"), integer(5, self.root_children)].concat();
        let mut column = [integer(1, self.physical), integer(3, self.repetition), name("n")].concat();
        if self.children != 0 {
            column.extend(integer(5, self.children));
        }
        let chunk = structure(
            3,
            &[
                integer(1, self.physical),
                integer(4, self.codec),
                integer(5, self.values),
                integer(6, self.unpacked_bytes),
                integer(7, packed_bytes),
                integer(9, self.data_offset),
            ],
        );
        let group = [list(1, 1, &[chunk]), integer(3, self.rows)].concat();
        let groups = vec![group; self.groups];
        let footer = [list(2, 2, &[root, column]), list(4, self.group_count, &groups), vec![0]].concat();
        file.extend(&footer);
        file.extend((footer.len() as u32).to_le_bytes());
        file.extend(b"PAR1");
        file
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn claims_are_not_believed() {
    let bomb = vec![0; 8 << 20];
    let page = |unpacked: i64, bytes: Vec<u8>| vec![(0, 2, 0, unpacked, bytes)];
    let sound = Claims::default;
    assert_eq!(rows(&sound().file(), &RowLimits::default()).unwrap().unwrap().num_rows(), 2);
    let two_pages = Claims { pages: vec![(0, 1, 0, 8, vec![1; 8]); 2], ..sound() };
    assert_eq!(rows(&two_pages.file(), &RowLimits::default()).unwrap().unwrap().num_rows(), 2);
    let huge = i64::from(i32::MAX);
    for (expected, claims) in [
        ("nested columns", Claims { root_children: huge, ..sound() }),
        ("is nested", Claims { children: huge, ..sound() }),
        ("is a list", Claims { repetition: 2, ..sound() }),
        ("old type INT96", Claims { physical: 3, ..sound() }),
        ("it is cut", Claims { group_count: 1 << 31, ..sound() }),
        ("too many row groups", Claims { groups: 40_000, group_count: 40_000, ..sound() }),
        ("lie over each other", Claims { groups: 2, group_count: 2, ..sound() }),
        ("more than 500000 rows", Claims { rows: 1 << 40, values: 1 << 40, ..sound() }),
        ("a size is negative", Claims { rows: -1, ..sound() }),
        ("contradicts the schema", Claims { values: 3, ..sound() }),
        ("bytes of pages after decompression", Claims { unpacked_bytes: huge, ..sound() }),
        ("lies outside", Claims { packed_bytes: Some(huge), ..sound() }),
        ("lies outside", Claims { data_offset: i64::MAX, ..sound() }),
        ("lies outside", Claims { data_offset: 0, ..sound() }),
        ("larger than the footer says", Claims { pages: page(huge, vec![0; 16]), ..sound() }),
        ("larger than the footer says", Claims { unpacked_bytes: 30, ..sound() }),
        ("a size is negative", Claims { pages: page(-1, vec![0; 16]), ..sound() }),
        ("not compressed as it says", Claims { pages: page(17, vec![0; 16]), ..sound() }),
        ("not compressed as it says", Claims { codec: 1, ..sound() }),
        ("not compressed as it says", Claims { codec: 6, ..sound() }),
        ("not compressed as it says", Claims { codec: 2, pages: page(16, gzip(&bomb)), ..sound() }),
        (
            "not compressed as it says",
            Claims { codec: 6, pages: page(16, zstd::bulk::compress(&bomb, 1).unwrap()), ..sound() },
        ),
        (
            "not compressed as it says",
            Claims { codec: 1, pages: page(16, snap::raw::Encoder::new().compress_vec(&bomb).unwrap()), ..sound() },
        ),
        ("more values than its row group", Claims { pages: vec![(0, huge, 0, 16, vec![0; 16])], ..sound() }),
        ("fewer values than its row group", Claims { pages: vec![(0, 1, 0, 8, vec![0; 8])], ..sound() }),
        ("fewer values than its row group", Claims { packed_bytes: Some(0), ..sound() }),
        ("fewer bytes than its values", Claims { pages: vec![(2, huge, 0, 16, vec![0; 16])], ..sound() }),
        ("does not come first", Claims { pages: vec![(0, 1, 0, 8, vec![0; 8]), (2, 1, 0, 8, vec![0; 8])], ..sound() }),
        ("does not fit its type", Claims { pages: vec![(0, 2, 3, 16, vec![0; 16])], ..sound() }),
        ("a kind that does not exist", Claims { pages: vec![(9, 2, 0, 16, vec![0; 16])], ..sound() }),
        // Pages that say how many values they have and have not so many.
        ("", Claims { pages: page(8, vec![0; 8]), ..sound() }),
        ("", Claims { pages: vec![(0, 2, 8, 16, vec![0; 16])], ..sound() }),
        ("", Claims { pages: vec![(0, 2, 5, 16, vec![0xff; 16])], ..sound() }),
        ("", Claims { physical: 6, pages: page(16, vec![0xff; 16]), ..sound() }),
    ] {
        let refused = rows(&claims.file(), &RowLimits::default());
        let refused = refused.expect_err(if expected.is_empty() { "a page is too short" } else { expected });
        assert!(refused.to_string().contains(expected), "'{refused}' does not say '{expected}'");
    }
    let mut encrypted = sound().file();
    encrypted.truncate(encrypted.len() - 4);
    encrypted.extend(b"PARE");
    assert!(rows(&encrypted, &RowLimits::default()).unwrap_err().to_string().contains("encrypted"));
}
