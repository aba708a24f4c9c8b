//! Tables as plain rows, the model that segments are compared with.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray, UInt64Array};

use crate::encoding::VECTOR_LEN;
use crate::error::Result;
use crate::io::Io;
use crate::io::sim::SimIo;
use crate::manifest::SegmentMeta;
use crate::segment::{ColumnStorage, Section, SectionColumn, Segment, SegmentOrigin, SegmentWriter};
use crate::types::{ColumnId, FieldType, SegmentId, SeriesKey, TableId, TableSchema, TableSpec, Tier};

pub(super) const PATH: &str = "db/segments/0000000000000007.seg";
pub(super) const ID: SegmentId = SegmentId(7);

/// A value with equality by bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    F64(u64),
    I64(i64),
    U64(u64),
    Bool(bool),
    String(String),
    Binary(Vec<u8>),
}

/// A series as rows: `fields[f][row]` belongs to field `f` of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeriesModel {
    pub(super) tags: Vec<Option<String>>,
    pub(super) times: Vec<i64>,
    pub(super) fields: Vec<Vec<Option<Value>>>,
}

/// A table as rows, its series in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableModel {
    pub(super) schema: TableSchema,
    pub(super) series: Vec<SeriesModel>,
}

/// A table with two tags and a field of each type.
pub(super) fn all_types(id: u64) -> TableSchema {
    let spec = TableSpec::new(format!("table {id}")).tag("host").tag("région");
    let spec = spec.field("f", FieldType::F64).field("i", FieldType::I64).field("u", FieldType::U64);
    let spec = spec.field("b", FieldType::Bool).field("s", FieldType::String).field("x", FieldType::Binary);
    TableSchema::from_spec(TableId(id), &spec).unwrap()
}

/// A small generator whose numbers never change, unlike those of a crate.
pub(super) struct Lcg(pub(super) u64);

impl Lcg {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = self.0 ^ (self.0 >> 33);
        mixed.wrapping_mul(0xFF51_AFD7_ED55_8CCD) >> 11
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A value of the kind that breaks encoders: extremes among ordinary ones.
fn value(random: &mut Lcg, field_type: FieldType) -> Value {
    const FLOATS: [u64; 7] = [
        0x7FF0_0000_0000_0002,
        0xFFF8_0000_0000_0001,
        0x8000_0000_0000_0000,
        0x7FF0_0000_0000_0000,
        0xFFF0_0000_0000_0000,
        1,
        0x7FEF_FFFF_FFFF_FFFF,
    ];
    let is_extreme = random.below(20) == 0;
    let number = random.next();
    match field_type {
        FieldType::F64 if is_extreme => Value::F64(FLOATS[number as usize % FLOATS.len()]),
        FieldType::F64 => Value::F64((number as f64 % 1000.0 / 8.0).to_bits()),
        FieldType::I64 if is_extreme => Value::I64([i64::MIN, -1, i64::MAX][number as usize % 3]),
        FieldType::I64 => Value::I64((number % 1000).cast_signed() - 500),
        FieldType::U64 if is_extreme => Value::U64([0, 1 << 63, u64::MAX][number as usize % 3]),
        FieldType::U64 => Value::U64(number % 1000),
        FieldType::Bool => Value::Bool(number.is_multiple_of(3)),
        FieldType::String if is_extreme => Value::String(["", "\0", "naïve ☃"][number as usize % 3].to_owned()),
        FieldType::String => Value::String(format!("state {}", number % 7)),
        FieldType::Binary if is_extreme => Value::Binary([&b""[..], b"\0", b"\xFF\xFE"][number as usize % 3].to_vec()),
        // Nearly unique, so that it is stored plain.
        FieldType::Binary => Value::Binary(number.to_le_bytes().to_vec()),
    }
}

/// How the rows of a generated series look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    Regular,
    Irregular,
}

/// Rows of one series with `null_percent` of NULLs.
pub(super) fn series(
    random: &mut Lcg,
    schema: &TableSchema,
    tags: [Option<&str>; 2],
    row_count: usize,
    times: Times,
    null_percent: u64,
) -> SeriesModel {
    let start = 1_700_000_000_000_000_000 + random.below(1000).cast_signed();
    let mut time = start;
    let times = (0..row_count)
        .map(|_| {
            let now = time;
            time += match times {
                Times::Regular => 10_000_000_000,
                Times::Irregular => random.below(5).cast_signed(),
            };
            now
        })
        .collect();
    let mut column = |field_type| {
        (0..row_count).map(|_| (random.below(100) >= null_percent).then(|| value(random, field_type))).collect()
    };
    let fields = schema.fields.iter().map(|field| column(field.field_type)).collect();
    SeriesModel { tags: tags.map(|tag| tag.map(str::to_owned)).to_vec(), times, fields }
}

/// A table of true doubles every 10 s, of which some are NULL: large enough beside its rollups to have them.
pub(super) fn doubles_with_nulls(id: u64, sizes: &[(&str, usize)]) -> TableModel {
    let spec = TableSpec::new(format!("doubles {id}")).tag("host").field("f", FieldType::F64);
    let (schema, mut random) = (TableSchema::from_spec(TableId(id), &spec).unwrap(), Lcg(id));
    let rows = |&(host, size): &(&str, usize)| SeriesModel {
        tags: vec![Some(host.to_owned())],
        times: (0..size as i64).map(|row| row * 10_000_000_000 - 86_400_000_000_000).collect(),
        fields: vec![
            (0..size).map(|row| (row % 50 > 2).then(|| Value::F64((random.next() as f64 / 7.0).to_bits()))).collect(),
        ],
    };
    TableModel { series: sizes.iter().map(rows).collect(), schema }
}

/// A table of random walks with NULLs and jumps, integers and floats of two decimals, which are coded in warm segments.
pub(super) fn walks(id: u64, sizes: &[(&str, usize)]) -> TableModel {
    let spec = TableSpec::new(format!("walks {id}")).tag("host").field("i", FieldType::I64).field("f", FieldType::F64);
    let (schema, mut random) = (TableSchema::from_spec(TableId(id), &spec).unwrap(), Lcg(id));
    let rows = |&(host, size): &(&str, usize)| {
        let mut column = |value: &dyn Fn(i64) -> Value| -> Vec<Option<Value>> {
            let mut level = 0;
            (0..size)
                .map(|row| {
                    level += (0..5).map(|_| random.below(40).cast_signed() - 19).sum::<i64>();
                    level += if row % 400 == 300 { 1 << 30 } else { 0 };
                    (row % 500 != 77).then(|| value(level))
                })
                .collect()
        };
        let fields = vec![column(&Value::I64), column(&|level| Value::F64((level as f64 / 100.0).to_bits()))];
        let times = (0..size as i64).map(|row| row * 10_000_000_000).collect();
        SeriesModel { tags: vec![Some(host.to_owned())], times, fields }
    };
    TableModel { series: sizes.iter().map(rows).collect(), schema }
}

impl SeriesModel {
    pub(super) fn key(&self) -> SeriesKey {
        SeriesKey::from_tags(self.tags.iter().map(|tag| tag.as_deref().map(str::as_bytes)))
    }

    /// The fields as arrays; columns without any value are left out, as a caller may.
    pub(super) fn arrays(&self, schema: &TableSchema) -> Vec<(ColumnId, ArrayRef)> {
        let columns = schema.fields.iter().zip(&self.fields);
        columns
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .map(|(field, values)| (field.id, array(field.field_type, values)))
            .collect()
    }
}

macro_rules! collect {
    ($array:ty, $values:expr, $variant:ident, $map:expr) => {
        Arc::new(<$array>::from_iter($values.iter().map(|value| match value {
            Some(Value::$variant(value)) => Some($map(value)),
            _ => None,
        })))
    };
}

fn array(field_type: FieldType, values: &[Option<Value>]) -> ArrayRef {
    match field_type {
        FieldType::F64 => collect!(Float64Array, values, F64, |bits: &u64| f64::from_bits(*bits)),
        FieldType::I64 => collect!(Int64Array, values, I64, |value: &i64| *value),
        FieldType::U64 => collect!(UInt64Array, values, U64, |value: &u64| *value),
        FieldType::Bool => collect!(BooleanArray, values, Bool, |value: &bool| *value),
        FieldType::String => collect!(StringArray, values, String, String::clone),
        FieldType::Binary => collect!(BinaryArray, values, Binary, Vec::clone),
    }
}

fn values(field_type: FieldType, array: &ArrayRef) -> Vec<Option<Value>> {
    assert_eq!(*array.data_type(), field_type.arrow_type());
    let value = |row| match field_type {
        FieldType::F64 => Value::F64(array.as_primitive::<Float64Type>().value(row).to_bits()),
        FieldType::I64 => Value::I64(array.as_primitive::<Int64Type>().value(row)),
        FieldType::U64 => Value::U64(array.as_primitive::<UInt64Type>().value(row)),
        FieldType::Bool => Value::Bool(array.as_boolean().value(row)),
        FieldType::String => Value::String(array.as_string::<i32>().value(row).to_owned()),
        FieldType::Binary => Value::Binary(array.as_binary::<i32>().value(row).to_vec()),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| value(row))).collect()
}

impl TableModel {
    /// Adds the rows of a later partition.
    fn append(&mut self, later: Self) {
        for series in later.series {
            match self.series.iter_mut().find(|known| known.tags == series.tags) {
                Some(known) => {
                    known.times.extend(series.times);
                    known.fields.iter_mut().zip(series.fields).for_each(|(known, more)| known.extend(more));
                }
                None => self.series.push(series),
            }
        }
        self.series.sort_by_key(SeriesModel::key);
    }
}

/// The tiers whose segments hold their vectors.
pub(super) const TIERS: [Tier; 2] = [Tier::Hot, Tier::Warm];

/// Writes tables as one segment of the hot tier.
pub(super) fn write(io: &SimIo, tables: &[TableModel]) -> Result<SegmentMeta> {
    write_as(io, tables, Tier::Hot)
}

/// Writes tables as one segment.
pub(super) fn write_as(io: &SimIo, tables: &[TableModel], tier: Tier) -> Result<SegmentMeta> {
    let path = Path::new(PATH);
    io.create_dir_all(path.parent().unwrap())?;
    let origin = SegmentOrigin::of_flush(ID);
    let mut writer = SegmentWriter::create_with_origin(Arc::new(io.clone()), path, ID, origin, tier)?;
    for table in tables {
        writer.begin_table(&table.schema)?;
        for series in &table.series {
            writer.push_series(&series.key(), &series.times, &series.arrays(&table.schema))?;
        }
        writer.end_table()?;
    }
    writer.finish()
}

/// Opens the segment at its present length.
pub(super) fn open(io: &SimIo) -> Result<Segment> {
    let len = io.content(Path::new(PATH)).expect("the segment was written").len();
    Segment::open(Arc::new(io.clone()), Path::new(PATH), ID, len as u64)
}

/// Writes and opens tables.
pub(super) fn write_and_open(tables: &[TableModel]) -> Segment {
    write_and_open_as(tables, Tier::Hot)
}

/// Writes and opens tables of a tier.
pub(super) fn write_and_open_as(tables: &[TableModel], tier: Tier) -> Segment {
    let io = SimIo::new();
    write_as(&io, tables, tier).unwrap();
    let segment = open(&io).unwrap();
    assert_eq!((segment.tier(), segment.sections()[0].tier()), (tier, tier));
    segment
}

/// Reads all rows of a segment; the partitions of a table are put together.
pub(super) fn read(segment: &Segment) -> Result<Vec<TableModel>> {
    let mut tables: Vec<TableModel> = Vec::new();
    for section in segment.sections() {
        let table = read_section(section)?;
        match tables.last_mut().filter(|last| last.schema.id == table.schema.id) {
            Some(last) => last.append(table),
            None => tables.push(table),
        }
    }
    Ok(tables)
}

fn read_section(section: &Section) -> Result<TableModel> {
    let schema = section.written_schema()?;
    let tag_count = section.tags().len();
    let mut rows = (0..section.series_count())
        .map(|series| {
            let tags = section.series_key(series).decode(tag_count);
            SeriesModel {
                tags: tags.into_iter().map(|tag| tag.map(|text| String::from_utf8(text).unwrap())).collect(),
                times: Vec::new(),
                fields: vec![Vec::new(); schema.fields.len()],
            }
        })
        .collect::<Vec<_>>();
    let mut times = [0; VECTOR_LEN];
    for vector in 0..section.vector_count() {
        let range = section.vector_rows(vector);
        assert_eq!(section.decode_times(vector, &mut times)?, range.len());
        let series = section.series_of_row(range.start)..=section.series_of_row(range.end - 1);
        for (series, rows) in series.clone().zip(&mut rows[series]) {
            let entry = section.series(series);
            let start = entry.row_start.max(range.start) - range.start;
            let end = (entry.row_start + entry.row_count).min(range.end) - range.start;
            let in_vector = start as usize..end as usize;
            rows.times.extend_from_slice(&times[in_vector.clone()]);
            for (field, column) in schema.fields.iter().zip(&mut rows.fields) {
                column.extend(match section.column(field.id) {
                    Some(stored) => values(field.field_type, &stored.decode_array(vector, in_vector.clone())?),
                    None => vec![None; in_vector.len()],
                });
            }
        }
        section.columns().iter().try_for_each(|column| check_other_ways_to_read(column, vector))?;
    }
    Ok(TableModel { schema, series: rows })
}

/// Whatever decodes a vector agrees with its array.
fn check_other_ways_to_read(column: &SectionColumn, vector: usize) -> Result<()> {
    let len = column.encoded(vector)?.len;
    let array = column.decode_array(vector, 0..len)?;
    let valid = (0..len).filter(|&row| array.is_valid(row));
    match (column.storage(), column.field_type()) {
        (ColumnStorage::Dictionary, _) => {
            let mut codes = [0; VECTOR_LEN];
            column.decode_codes(vector, &mut codes)?;
            let dictionary = column.dictionary()?;
            for row in valid {
                let value = dictionary.value(codes[row]);
                assert_eq!(dictionary.code_of(value), Some(codes[row]));
                let expected = array.as_string_opt::<i32>().map(|texts| texts.value(row).as_bytes());
                assert_eq!(value, expected.unwrap_or_else(|| array.as_binary::<i32>().value(row)));
            }
        }
        (ColumnStorage::PlainStrings, _) => assert_eq!(&column.decode_strings(vector)?, &array),
        (ColumnStorage::Numbers, FieldType::F64) => {
            let mut numbers = [0.0; VECTOR_LEN];
            column.decode_f64(vector, &mut numbers)?;
            let values = array.as_primitive::<Float64Type>().values();
            assert!(valid.clone().all(|row| numbers[row].to_bits() == values[row].to_bits()));
            let zone = column.zone(vector);
            assert!(valid.filter(|&row| !values[row].is_nan()).all(|row| zone.min_f64() <= Some(values[row])));
        }
        (ColumnStorage::Numbers, FieldType::I64) => {
            let mut numbers = [0; VECTOR_LEN];
            column.decode_i64(vector, &mut numbers)?;
            let values = array.as_primitive::<Int64Type>().values();
            assert!(valid.clone().all(|row| numbers[row] == values[row]));
            assert_eq!(column.zone(vector).max_i64(), valid.map(|row| values[row]).max());
        }
        (ColumnStorage::Numbers, _) => {}
    }
    assert_eq!(column.zone(vector).null_count(), array.null_count());
    Ok(())
}
