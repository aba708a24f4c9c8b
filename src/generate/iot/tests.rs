use std::collections::HashSet;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};

use super::*;

const TRUCKS: u32 = 50;
const REPORTS: u32 = 2_000;

fn rows(table: IotTable) -> RecordBatch {
    let options = IotOptions { trucks: TRUCKS, reports_per_truck: REPORTS, ..IotOptions::default() };
    let batches: Vec<RecordBatch> = options.batches(table).collect();
    concat_batches(&options.schema(table), &batches).unwrap()
}

/// FNV-1a over times, truck numbers, the values of one float and one other column, and which of them are there.
fn checksum(table: IotTable) -> u64 {
    let batch = rows(table);
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut add = |value: Option<u64>| {
        for byte in value.map_or_else(|| vec![0], |value| value.to_le_bytes().to_vec()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    };
    let fields = 1 + IOT_TAGS.len() + IOT_CAPACITIES.len();
    for row in 0..batch.num_rows() {
        add(Some(batch.column(0).as_primitive::<TimestampNanosecondType>().value(row) as u64));
        for tag in 1..=IOT_TAGS.len() {
            let keys = batch.column(tag).as_dictionary::<Int32Type>().keys();
            add(keys.is_valid(row).then(|| keys.value(row) as u64));
        }
        for column in &batch.columns()[fields..] {
            add(column.is_valid(row).then(|| match column.data_type() {
                DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as u64,
                _ => column.as_primitive::<Float64Type>().value(row).to_bits(),
            }));
        }
    }
    hash
}

#[test]
fn data_is_the_same_for_ever() {
    assert_eq!(checksum(IotTable::Readings), 12_525_145_719_604_038_359);
    assert_eq!(checksum(IotTable::Diagnostics), 11_909_184_823_438_908_373);
}

/// Share of NULLs in a column.
fn nulls(column: &dyn Array) -> f64 {
    column.null_count() as f64 / column.len() as f64
}

#[test]
fn some_rows_are_lost_late_or_lack_a_value() {
    for table in IotTable::ALL {
        let batch = rows(table);
        let sent = f64::from(TRUCKS * REPORTS);
        let arrived = batch.num_rows() as f64 / sent;
        assert!((0.80..0.90).contains(&arrived), "{table:?}: {arrived}");

        let names = batch.column(1).as_dictionary::<Int32Type>().keys();
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let mut newest = i64::MIN;
        let (mut late, mut seen) = (0, HashSet::new());
        for row in (0..batch.num_rows()).filter(|row| names.is_valid(*row)) {
            let truck = names.value(row) as usize;
            late += i32::from(times.value(row) < newest);
            newest = newest.max(times.value(row));
            assert!(seen.insert((truck, times.value(row))), "a report arrives at most once");
        }
        // As in the suite, what waits goes after a few batches: late behind other trucks, seldom behind its own.
        assert!(late > 100, "{table:?}: {late}");

        let properties = &batch.columns()[1..=PROPERTIES as usize];
        let without_property: f64 = properties.iter().map(|column| nulls(column)).sum();
        assert!((0.008..0.012).contains(&without_property), "{table:?}: {without_property}");
        let without_field: f64 = batch.columns()[1 + PROPERTIES as usize..].iter().map(|column| nulls(column)).sum();
        assert!((0.09..0.11).contains(&without_field), "{table:?}: {without_field}");
    }
}

#[test]
fn values_have_the_decimals_of_the_suite() {
    let batch = rows(IotTable::Readings);
    for (name, scale) in [("latitude", 1e5), ("velocity", 1.0), ("fuel_consumption", 10.0)] {
        let values = batch.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        assert!(values.iter().flatten().all(|value| ((value * scale).round() / scale - value).abs() == 0.0), "{name}");
    }
    let batch = rows(IotTable::Diagnostics);
    let status = batch.column_by_name("status").unwrap().as_primitive::<Int64Type>();
    assert!(status.iter().flatten().all(|status| (0..=5).contains(&status)));
    let fuel = batch.column_by_name("fuel_state").unwrap().as_primitive::<Float64Type>();
    assert!(fuel.iter().flatten().any(|fuel| fuel < 0.1) && fuel.iter().flatten().any(|fuel| fuel > 0.8));
}
