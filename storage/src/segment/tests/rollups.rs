//! Rollups say what the rows say, and are there only where they pay.

use super::rows::{Lcg, SeriesModel, TIERS, TableModel, Value, doubles_with_nulls, write_and_open_as};
use crate::encoding::VECTOR_LEN;
use crate::segment::{FieldStatistic as F, RowStatistic, Section};
use crate::types::{ColumnId, FieldType, TableId, TableOptions, TableSchema, TableSpec};

const HOUR_NS: i64 = 3_600_000_000_000;

/// Series with the times of `times` and one field.
fn table_of(field_type: FieldType, series: &[(Vec<i64>, Vec<Option<Value>>)]) -> TableModel {
    let options = TableOptions { partition_ns: 1000 * 24 * HOUR_NS, ..TableOptions::default() };
    let spec = TableSpec::new("t").tag("host").field("x", field_type).options(options);
    let rows = |(index, (times, values)): (usize, &(Vec<i64>, Vec<Option<Value>>))| SeriesModel {
        tags: vec![Some(format!("{index:05}"))],
        times: times.clone(),
        fields: vec![values.clone()],
    };
    TableModel {
        schema: TableSchema::from_spec(TableId(1), &spec).unwrap(),
        series: series.iter().enumerate().map(rows).collect(),
    }
}

/// Numbers without a trend that are so wide that the section is large beside its rollups.
fn wide(rows: usize, random: &mut Lcg) -> Vec<i64> {
    (0..rows).map(|_| (random.next() << 4).cast_signed() >> 10).collect()
}

/// Numbers that are wide, so that the section is large beside its rollups, and grow, so that they look like a counter.
fn growing(rows: usize, random: &mut Lcg) -> Vec<i64> {
    let mut value = 0;
    (0..rows)
        .map(|_| {
            value += (random.next() & 0x3F_FFFF_FFFF).cast_signed();
            value
        })
        .collect()
}

fn row_statistic(section: &Section, statistic: RowStatistic, rollup_row: u32) -> i64 {
    let mut out = [0; VECTOR_LEN];
    section.rollups().unwrap().decode(statistic, rollup_row as usize / VECTOR_LEN, &mut out).unwrap();
    out[rollup_row as usize % VECTOR_LEN]
}

fn statistic(section: &Section, field: ColumnId, statistic: F, rollup_row: u32) -> i64 {
    let mut out = [0; VECTOR_LEN];
    let field = section.rollups().unwrap().field(field).unwrap();
    field.decode_i64(statistic, rollup_row as usize / VECTOR_LEN, &mut out).unwrap();
    out[rollup_row as usize % VECTOR_LEN]
}

#[test]
fn states_are_those_of_the_rows_of_each_hour_on_both_sides_of_the_epoch() {
    for tier in TIERS {
        let mut random = Lcg(3);
        let times: Vec<i64> = (0..4000).map(|row| (row - 2000) * 30_000_000_000 + 7).collect();
        let numbers = wide(times.len(), &mut random);
        let values = numbers.iter().map(|value| Some(Value::I64(*value))).collect();
        let table = table_of(FieldType::I64, &[(times.clone(), values)]);
        let segment = write_and_open_as(std::slice::from_ref(&table), tier);
        segment.verify_all().unwrap();
        assert_eq!(segment.sections().len(), 2, "the epoch is the start of a partition");
        let mut seen = 0;
        for section in segment.sections() {
            seen += check_states(section, table.schema.fields[0].id, &times, &numbers, seen);
        }
        assert_eq!(seen, times.len());
    }
}

/// Compares the states of a section with its rows, which start at row `start` of the series; returns their number.
fn check_states(section: &Section, field: ColumnId, times: &[i64], numbers: &[i64], start: usize) -> usize {
    let rollups = section.rollups().unwrap();
    assert_eq!(rollups.rows_of(0), 0..rollups.row_count());
    let mut seen = 0;
    for rollup_row in rollups.rows_of(0) {
        let bucket = row_statistic(section, RowStatistic::Bucket, rollup_row);
        let rows: Vec<usize> = (0..times.len()).filter(|&row| times[row].div_euclid(HOUR_NS) == bucket).collect();
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        assert_eq!(row_statistic(section, RowStatistic::FirstRow, rollup_row), (first - start) as i64);
        assert_eq!(row_statistic(section, RowStatistic::FirstTime, rollup_row), times[first] - bucket * HOUR_NS);
        assert_eq!(row_statistic(section, RowStatistic::LastTime, rollup_row), times[last] - bucket * HOUR_NS);
        let found = [F::Sum, F::Min, F::Max, F::First, F::Last].map(|f| statistic(section, field, f, rollup_row));
        let values = &numbers[first..=last];
        let (min, max) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        assert_eq!(found, [values.iter().sum(), min, max, numbers[first], numbers[last]]);
        seen += rows.len();
    }
    assert!(!rollups.field(field).unwrap().has(F::Count), "no value is NULL");
    seen
}

#[test]
fn resets_are_kept_for_a_counter_and_left_out_for_a_gauge() {
    for tier in TIERS {
        let times: Vec<i64> = (0..2048).map(|row| row * 10_000_000_000).collect();
        let mut random = Lcg(5);
        let mut counter = growing(times.len(), &mut random);
        let before = counter[999];
        counter[1000..].iter_mut().for_each(|value| *value -= before);
        let gauge: Vec<i64> = (0..times.len()).map(|_| random.next().cast_signed() >> 8).collect();
        for (numbers, is_counter) in [(counter, true), (gauge, false)] {
            let values = numbers.iter().map(|value| Some(Value::I64(*value))).collect();
            let table = table_of(FieldType::I64, &[(times.clone(), values)]);
            let segment = write_and_open_as(std::slice::from_ref(&table), tier);
            segment.verify_all().unwrap();
            let (section, field) = (&segment.sections()[0], table.schema.fields[0].id);
            assert_eq!(section.rollups().unwrap().field(field).unwrap().has(F::Resets), is_counter);
            if is_counter {
                // Row 1000 is in the third hour.
                let found: Vec<i64> =
                    (0..6).map(|rollup_row| statistic(section, field, F::Resets, rollup_row)).collect();
                assert_eq!(found, [0, 0, before, 0, 0, 0]);
            }
        }
    }
}

#[test]
fn a_sum_beyond_the_type_leaves_out_the_sums_of_the_section() {
    for tier in TIERS {
        let times: Vec<i64> = (0..2000).map(|row| row * 10_000_000_000).collect();
        let mut random = Lcg(5);
        let numbers = (0..times.len()).map(|row| match row {
            1500 | 1501 => i64::MAX,
            _ => random.next().cast_signed() >> 10,
        });
        let values = numbers.map(|value| Some(Value::I64(value))).collect();
        let table = table_of(FieldType::I64, &[(times, values)]);
        let segment = write_and_open_as(std::slice::from_ref(&table), tier);
        segment.verify_all().unwrap();
        let field = segment.sections()[0].rollups().unwrap().field(table.schema.fields[0].id).unwrap();
        assert!(!field.has(F::Sum) && field.has(F::Max));
    }
}

#[test]
fn nulls_are_counted_and_a_series_of_few_rows_has_no_rollup_rows() {
    for tier in TIERS {
        let table = doubles_with_nulls(1, &[("a", 900), ("b", 20), ("c", 900)]);
        let segment = write_and_open_as(std::slice::from_ref(&table), tier);
        segment.verify_all().unwrap();
        let (section, field) = (&segment.sections()[0], table.schema.fields[0].id);
        let rollups = section.rollups().unwrap();
        assert!(!rollups.rows_of(0).is_empty() && rollups.rows_of(1).is_empty() && !rollups.rows_of(2).is_empty());
        let counts = rollups.rows_of(0).map(|rollup_row| statistic(section, field, F::Count, rollup_row)).sum::<i64>();
        assert_eq!(counts as usize, table.series[0].fields[0].iter().flatten().count());
        assert_eq!(statistic(section, field, F::FirstSkip, 0), 3);
    }
}

#[test]
fn a_section_that_its_rollups_would_swell_has_none() {
    for tier in TIERS {
        // The same seven bits all over: the vectors are hardly larger than the states of their hours.
        let times: Vec<i64> = (0..400).map(|row| row * 100_000_000_000).collect();
        let values = (0..times.len()).map(|row| Some(Value::I64(row as i64 * 37 % 100))).collect();
        let segment = write_and_open_as(&[table_of(FieldType::I64, &[(times, values)])], tier);
        assert!(segment.sections()[0].rollups().is_none());
        segment.verify_all().unwrap();
    }
}

#[test]
fn rollup_rows_at_the_ends_of_time_have_exact_times() {
    for tier in TIERS {
        let mut random = Lcg(8);
        let times: Vec<i64> =
            (0..999).map(|row| i64::MIN + row).chain((0..999).map(|row| i64::MAX - 998 + row)).collect();
        let values = wide(times.len(), &mut random).into_iter().map(|value| Some(Value::I64(value))).collect();
        let segment = write_and_open_as(&[table_of(FieldType::I64, &[(times, values)])], tier);
        segment.verify_all().unwrap();
        let times = segment.sections().iter().map(|section| {
            assert_eq!(section.rollups().unwrap().rows_of(0), 0..1);
            let time = |statistic| {
                let start_ns = row_statistic(section, RowStatistic::Bucket, 0).wrapping_mul(HOUR_NS);
                start_ns.wrapping_add(row_statistic(section, statistic, 0))
            };
            (time(RowStatistic::FirstTime), time(RowStatistic::LastTime))
        });
        assert_eq!(times.collect::<Vec<_>>(), [(i64::MIN, i64::MIN + 998), (i64::MAX - 998, i64::MAX)]);
    }
}

#[test]
fn thousands_of_rollup_rows_span_vectors() {
    for tier in TIERS {
        let mut random = Lcg(4);
        let times: Vec<i64> = (0..400_000).map(|row| row * 20_000_000_000).collect();
        let values = wide(times.len(), &mut random).into_iter().map(|value| Some(Value::I64(value))).collect();
        let segment = write_and_open_as(&[table_of(FieldType::I64, &[(times, values)])], tier);
        assert!(segment.sections()[0].rollups().unwrap().row_count() > 2 * VECTOR_LEN as u32);
        segment.verify_all().unwrap();
    }
}
