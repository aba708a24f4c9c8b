use proptest::prelude::*;

use super::*;
use crate::types::SeriesKey;

fn batch() -> SeriesBatch {
    let key = |tag: &[u8]| SeriesKey::from_tags([Some(tag), None, Some(b"\0x")]);
    let times: Vec<i64> = (0..100).map(|i| i * i).collect();
    let nulls = |step: usize| Some(NullBuffer::from_iter((0..100).map(|i| i % step != 1)));
    let fields: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter_values((0..100).map(|i| f64::from(i) / 3.0))),
        Arc::new(Float64Array::new((0..100).map(f64::from).collect::<Vec<_>>().into(), nulls(7))),
        Arc::new(Int64Array::from_iter((0..100).map(|i| (i % 3 != 0).then_some(i64::MAX - i)))),
        Arc::new(UInt64Array::from_iter_values((0..100).map(|i| u64::MAX - i * 1000))),
        Arc::new(BooleanArray::from_iter((0..100).map(|i| (i % 5 != 0).then_some(i % 2 == 0)))),
        Arc::new(StringArray::from_iter((0..100).map(|i| (i % 4 != 0).then(|| "é".repeat(i % 9))))),
        Arc::new(StringArray::from_iter_values((0..100).map(|i| "x".repeat(i % 2)))),
        Arc::new(BinaryArray::from_iter_values((0..100u8).map(|i| vec![i; 3]))),
    ];
    SeriesBatch {
        table: TableId(7),
        series: vec![
            SeriesRows { key: key(b""), rows: 0..30 },
            SeriesRows { key: key(b"b"), rows: 30..31 },
            SeriesRows { key: SeriesKey::from_tags([]), rows: 31..100 },
        ],
        times: times.into(),
        fields: fields.into_iter().enumerate().map(|(i, array)| (ColumnId(i as u32 + 3), array)).collect(),
    }
}

fn payload(batches: &[SeriesBatch]) -> Vec<u8> {
    let encoded = encode_commit(batches).unwrap();
    let end = RECORD_HEADER_BYTES + encoded.payload_len as usize;
    assert_eq!(encoded.byte_len() % 8, 0);
    encoded.record[RECORD_HEADER_BYTES..end].to_vec()
}

fn assert_same(left: &SeriesBatch, right: &SeriesBatch) {
    assert_eq!(left.table, right.table);
    assert_eq!(left.series, right.series);
    assert_eq!(left.times, right.times);
    assert_eq!(left.fields, right.fields);
}

#[test]
fn commits_round_trip_with_every_type_and_several_tables() {
    let empty = SeriesBatch { table: TableId(9), series: Vec::new(), times: Vec::new().into(), fields: Vec::new() };
    let batches = [batch(), empty, SeriesBatch { table: TableId(8), ..batch() }];
    let decoded = decode_commit(&payload(&batches)).unwrap();
    assert_eq!(decoded.len(), 3);
    decoded.iter().zip(&batches).for_each(|(left, right)| assert_same(left, right));
    assert!(decode_commit(&payload(&[])).unwrap().is_empty());
}

#[test]
fn sliced_arrays_are_logged_as_they_look() {
    let whole = batch();
    let sliced = SeriesBatch {
        table: TableId(1),
        series: vec![SeriesRows { key: SeriesKey::from_tags([]), rows: 0..41 }],
        times: whole.times.slice(13, 41),
        fields: whole.fields.iter().map(|(id, array)| (*id, array.slice(13, 41))).collect(),
    };
    assert_same(&decode_commit(&payload(std::slice::from_ref(&sliced))).unwrap()[0], &sliced);
}

#[test]
fn batches_that_contradict_themselves_are_refused() {
    let refused = |change: fn(&mut SeriesBatch)| {
        let mut bad = batch();
        change(&mut bad);
        assert!(matches!(encode_commit(&[bad]), Err(Error::InvalidInput { .. })));
    };
    refused(|bad| bad.series[1].rows = 31..31);
    refused(|bad| drop(bad.series.pop()));
    refused(|bad| bad.fields[0].1 = Arc::new(Float64Array::from(vec![1.0])));
    refused(|bad| bad.fields[0].1 = Arc::new(arrow_array::Int32Array::from(vec![1; 100])));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = payload(&golden_commit());
    for len in 0..bytes.len() {
        decode_commit(&bytes[..len]).unwrap_err();
    }
    let mut longer = bytes;
    longer.push(0);
    decode_commit(&longer).unwrap_err();
}

/// A commit with keys of both forms.
fn golden_commit() -> [SeriesBatch; 2] {
    let key = |host: u8| SeriesKey::from_tags([Some(format!("host-{host:03}").as_bytes()), Some(b"a long job name")]);
    let series = (0..5_u32).map(|row| SeriesRows { key: key(row as u8 * 3), rows: row..row + 1 }).collect();
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.5, -0.0, f64::INFINITY, 4.0]));
    let one_row_each = SeriesBatch {
        table: TableId(4),
        series,
        times: vec![10, 20, 30, 40, 51].into(),
        fields: vec![(ColumnId(2), values)],
    };
    [batch(), one_row_each]
}

fn golden_path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/compat/v1/wal_commit.payload")
}

#[test]
fn a_commit_of_version_1_reads_as_it_was_written() {
    let decoded = decode_commit(&std::fs::read(golden_path()).unwrap()).unwrap();
    assert_eq!(decoded.len(), 2);
    decoded.iter().zip(&golden_commit()).for_each(|(left, right)| assert_same(left, right));
}

#[test]
#[ignore = "it writes testdata/compat, once per version of the format"]
fn write_the_golden_commit() {
    std::fs::write(golden_path(), payload(&golden_commit())).unwrap();
}

proptest! {
    #[test]
    fn mutated_payloads_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = payload(&golden_commit());
        for (index, value) in flips {
            // The front half has the counts and lengths, which matter most.
            let at = index.index(bytes.len() / 2);
            bytes[at] = value;
        }
        if let Ok(batches) = decode_commit(&bytes) {
            for batch in batches {
                let rows: usize = batch.series.iter().map(|one| one.rows.len()).sum();
                prop_assert_eq!(rows, batch.row_count());
                prop_assert!(batch.fields.iter().all(|(_, array)| array.len() == rows));
            }
        }
    }
}
