use proptest::prelude::*;

use super::*;

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
    let bytes = payload(&[batch()]);
    for len in 0..bytes.len() {
        decode_commit(&bytes[..len]).unwrap_err();
    }
    let mut longer = bytes;
    longer.push(0);
    decode_commit(&longer).unwrap_err();
}

proptest! {
    #[test]
    fn mutated_payloads_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = payload(&[batch()]);
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
