use std::collections::BTreeMap;

use arrow::array::cast::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};

use super::*;

fn small(order: RowOrder) -> CpuOptions {
    CpuOptions { hosts: 130, rows_per_host: 600, order, ..CpuOptions::default() }
}

/// FNV-1a over every value in row order; independent of how rows are cut into batches.
fn checksum(batches: impl Iterator<Item = RecordBatch>) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    };
    for batch in batches {
        for row in 0..batch.num_rows() {
            add(&batch.column(0).as_primitive::<TimestampNanosecondType>().value(row).to_le_bytes());
            for tag in 1..=10 {
                let tags = batch.column(tag).as_dictionary::<Int32Type>();
                add(tags.values().as_string::<i32>().value(tags.keys().value(row) as usize).as_bytes());
            }
            for field in 11..=20 {
                let column = batch.column(field);
                match column.data_type() {
                    DataType::Int64 => add(&column.as_primitive::<Int64Type>().value(row).to_le_bytes()),
                    _ => add(&column.as_primitive::<Float64Type>().value(row).to_bits().to_le_bytes()),
                }
            }
        }
    }
    hash
}

#[test]
fn data_is_the_same_for_ever() {
    assert_eq!(checksum(small(RowOrder::Time).batches()), 4_150_414_305_923_662_413);
    assert_eq!(
        checksum(CpuOptions { values: ValueKind::TwoDecimals, ..small(RowOrder::Host) }.batches()),
        9_028_440_033_967_897_076
    );
}

#[test]
fn order_and_size_do_not_change_values() {
    let rows = |options: CpuOptions| {
        let mut rows = BTreeMap::new();
        for batch in options.batches() {
            let hosts = batch.column(1).as_dictionary::<Int32Type>();
            let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
            let users = batch.column(11).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                rows.insert((hosts.keys().value(row), times.value(row)), users.value(row));
            }
        }
        rows
    };
    let by_time = rows(small(RowOrder::Time));
    assert_eq!(by_time.len(), 130 * 600);
    assert_eq!(by_time, rows(small(RowOrder::Host)));
    let fewer = rows(CpuOptions { hosts: 7, rows_per_host: 50, ..small(RowOrder::Time) });
    assert!(fewer.iter().all(|(key, value)| by_time[key] == *value));
}

#[test]
fn batches_are_full_and_ordered() {
    let sizes: Vec<usize> = small(RowOrder::Time).batches().map(|batch| batch.num_rows()).collect();
    assert_eq!(sizes, [65_536, 130 * 600 - 65_536]);
    let mut last = i64::MIN;
    for batch in small(RowOrder::Time).batches() {
        for time in batch.column(0).as_primitive::<TimestampNanosecondType>().values() {
            assert!(*time >= last);
            last = *time;
        }
    }
}

#[test]
fn tags_have_the_cardinalities_of_the_benchmark() {
    let batches = CpuOptions { hosts: 2_000, rows_per_host: 1, ..CpuOptions::default() }.batches();
    let distinct: Vec<usize> = batches.dictionaries.iter().map(|values| values.len()).collect();
    assert_eq!(distinct, [2_000, 9, 23, 100, 3, 2, 4, 20, 2, 3]);
}

#[test]
fn gauges_stay_between_0_and_100_and_move() {
    let batch = small(RowOrder::Host).batches().next().unwrap();
    for field in 11..=20 {
        let values = batch.column(field).as_primitive::<Int64Type>().values();
        assert!(values.iter().all(|value| (0..=100).contains(value)));
        assert!(values[..600].iter().min() != values[..600].iter().max());
    }
}
