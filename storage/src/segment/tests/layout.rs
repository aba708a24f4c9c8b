//! Where vectors are cut, what costs no bytes, and what is not copied.

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;

use super::rows::{Lcg, SeriesModel, TableModel, Times, Value, all_types, series, write_and_open};
use crate::encoding::{VECTOR_LEN, VectorEncoding};
use crate::segment::{Section, SeriesEntry};
use crate::types::{FieldType, TableId, TableSchema, TableSpec};
use std::sync::Arc;

fn section_of_sizes(sizes: &[usize]) -> Arc<Section> {
    let (mut schema, mut random) = (all_types(1), Lcg(1));
    schema.options.partition_ns = i64::MAX;
    let mut table = TableModel { series: Vec::new(), schema: schema.clone() };
    for (index, &size) in sizes.iter().enumerate() {
        let host = format!("{index:05}");
        table.series.push(series(&mut random, &schema, [Some(&host), None], size, Times::Regular, 0));
    }
    write_and_open(&[table]).sections()[0].clone()
}

fn vector_lengths(sizes: &[usize]) -> Vec<usize> {
    let section = section_of_sizes(sizes);
    (0..section.vector_count()).map(|vector| section.vector_rows(vector).len()).collect()
}

#[test]
fn a_large_series_shares_no_vector() {
    assert_eq!(vector_lengths(&[10, 256, 10]), [10, 256, 10]);
    assert_eq!(vector_lengths(&[1500, 1500]), [1024, 476, 1024, 476]);
    assert_eq!(vector_lengths(&[2048, 1]), [1024, 1024, 1]);
}

#[test]
fn small_series_share_vectors_and_none_is_split() {
    assert_eq!(vector_lengths(&[255, 255, 255, 255, 255]), [1020, 255]);
    assert_eq!(vector_lengths(&[1; 1025]), [1024, 1]);
    assert_eq!(vector_lengths(&[200, 200]), [400]);
}

#[test]
fn rows_are_found_in_their_series_and_vectors() {
    let section = section_of_sizes(&[10, 1500, 7]);
    for (row, series, vector) in [(0, 0, 0), (9, 0, 0), (10, 1, 1), (1033, 1, 1), (1034, 1, 2), (1510, 2, 3)] {
        assert_eq!((section.series_of_row(row), section.vector_of_row(row)), (series, vector), "row {row}");
    }
}

#[test]
fn regular_times_cost_no_bytes() {
    let schema = TableSchema::from_spec(TableId(1), &TableSpec::new("t")).unwrap();
    let table = |times| TableModel {
        schema: schema.clone(),
        series: vec![SeriesModel { tags: vec![], times, fields: vec![] }],
    };
    let regular = write_and_open(&[table((0..2048).map(|row| 5 + row * 10).collect())]);
    let section = &regular.sections()[0];
    let expected = SeriesEntry { row_start: 0, row_count: 2048, min_time: 5, max_time: 20_475, step_ns: 10 };
    assert_eq!(section.series(0), expected);
    assert_eq!(section.time_zone(1), (10_245, 20_475));
    assert!(section.times().is_none());

    let irregular = write_and_open(&[table((0..2048).map(|row| row * row).collect())]);
    let section = &irregular.sections()[0];
    assert_eq!(section.series(0).step_ns, 0);
    assert_eq!(section.time_zone(1), (1024 * 1024, 2047 * 2047));
    assert!(irregular.file_len() > regular.file_len());
}

#[test]
fn plain_floats_are_not_copied() {
    let schema = TableSchema::from_spec(TableId(1), &TableSpec::new("t").field("f", FieldType::F64)).unwrap();
    let mut random = Lcg(3);
    let bits: Vec<u64> = (0..2000).map(|_| random.next() << 11 ^ random.next()).collect();
    let mut values: Vec<_> = bits.iter().map(|&bits| Some(Value::F64(bits))).collect();
    values[1500] = None;
    let series = SeriesModel { tags: vec![], times: (0..2000).collect(), fields: vec![values] };
    let segment = write_and_open(&[TableModel { schema: schema.clone(), series: vec![series] }]);
    let section = segment.sections()[0].clone();
    let column = section.column(schema.fields[0].id).unwrap();
    for (vector, rows) in [(0, 0..1024), (0, 17..1000), (1, 400..976)] {
        let encoded = column.encoded(vector).unwrap();
        assert_eq!(encoded.header.encoding, VectorEncoding::Plain);
        let stored = encoded.data[rows.start * 8..].as_ptr();
        let array = column.decode_array(vector, rows.clone()).unwrap();
        let floats = array.as_primitive::<Float64Type>();
        assert_eq!(floats.values().inner().as_ptr(), stored);
        for (index, row) in rows.enumerate() {
            let row = vector * VECTOR_LEN + row;
            let expected = (row != 1500).then_some(bits[row]);
            assert_eq!(floats.iter().nth(index).unwrap().map(f64::to_bits), expected);
        }
    }
}
