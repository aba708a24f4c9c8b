//! Series of segments and of memory in one order, with one list of values per tag; and the budget that their directories
//! draw on.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};

use super::{SeriesSet, TagFilter, TagTerm};
use crate::engine::{Ack, Background, Engine, EngineOptions};
use crate::error::Error;
use crate::ingest::group_rows;
use crate::io::sim::SimIo;
use crate::types::{FieldType, TableSpec, TimeRange};

fn open(directory_bytes_max: u64) -> Engine {
    let options = EngineOptions { background: Background::Caller, directory_bytes_max, ..EngineOptions::default() };
    Engine::open_with(Arc::new(SimIo::new()), Path::new("/db"), options).unwrap()
}

fn create(engine: &Engine, table: &str) {
    engine.create_table(&TableSpec::new(table).tag("host").tag("region").field("v", FieldType::I64)).unwrap();
}

/// Writes a row per series, all of one time.
fn write(engine: &Engine, table: &str, series: &[(Option<String>, Option<String>)]) {
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("time", Arc::new(TimestampNanosecondArray::from(vec![7; series.len()])), false),
        ("host", Arc::new(series.iter().map(|(host, _)| host.clone()).collect::<StringArray>()), true),
        ("region", Arc::new(series.iter().map(|(_, region)| region.clone()).collect::<StringArray>()), true),
        ("v", Arc::new(Int64Array::from_iter_values(0..series.len() as i64)), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let schema = engine.table("public", table).unwrap();
    engine.write(vec![group_rows(&schema, &batch).unwrap()], Ack::Volatile).unwrap();
}

fn hosts(numbers: impl Iterator<Item = u32>) -> Vec<(Option<String>, Option<String>)> {
    let region = |number: u32| (!number.is_multiple_of(5)).then(|| format!("region-{}", number % 7));
    numbers.map(|number| (Some(format!("host-{number:04}")), region(number))).collect()
}

fn series(engine: &Engine, table: &str, filter: &TagFilter) -> SeriesSet {
    engine.snapshot().table("public", table).unwrap().series(filter, TimeRange::ALL).unwrap()
}

/// What the lists of tag values say of each series, once they are found to agree with its key.
fn tags(set: &SeriesSet) -> Vec<(Option<String>, Option<String>)> {
    let columns = [0, 1].map(|tag| set.tag_column(tag));
    for column in &columns {
        let values: Vec<_> = column.values.iter().collect();
        assert!(values.is_sorted_by(|a, b| a < b), "{values:?}");
    }
    let mut keys = Vec::new();
    let all = set.iter().enumerate().map(|(position, series)| {
        keys.push(series.key());
        let [host, region] = [0, 1].map(|tag| {
            let code = columns[tag].indices[position];
            let value = columns[tag].values.iter().nth(code as usize).flatten().map(str::to_owned);
            assert_eq!(value, series.tag(tag));
            value
        });
        (host, region)
    });
    let all = all.collect();
    assert!(keys.is_sorted_by(|a, b| a < b));
    all
}

#[test]
fn series_of_memory_and_of_segments_stand_in_one_order_with_one_list_of_values() {
    let engine = open(u64::MAX);
    create(&engine, "t");
    let mut all = std::collections::BTreeSet::new();
    let mut check = |engine: &Engine, new: Vec<_>| {
        write(engine, "t", &new);
        all.extend(new);
        assert_eq!(tags(&series(engine, "t", &TagFilter::all())), all.iter().cloned().collect::<Vec<_>>());
        // Asked again, of what is kept.
        let set = series(engine, "t", &TagFilter::all());
        assert_eq!(tags(&set), all.iter().cloned().collect::<Vec<_>>());
        for terms in [
            vec![TagTerm::one_of(1, vec!["region-3".into(), "nowhere".into()])],
            vec![TagTerm::predicate(1, |region| region.is_none_or(|region| region > "region-4"))],
            vec![TagTerm::one_of(0, vec!["host-0021".into()])],
            vec![TagTerm::one_of(0, vec!["host-0021".into()]), TagTerm::predicate(1, |region| region.is_some())],
        ] {
            let accepts = |(host, region): &(Option<String>, Option<String>)| {
                terms.iter().all(|term| (term.accept)(if term.tag == 0 { host.as_deref() } else { region.as_deref() }))
            };
            let expected: Vec<_> = all.iter().filter(|series| accepts(series)).cloned().collect();
            assert_eq!(tags(&series(engine, "t", &TagFilter { terms: terms.clone() })), expected, "{terms:?}");
        }
    };
    check(&engine, hosts(10..30));
    check(&engine, hosts((0..60).step_by(3)));
    engine.flush().unwrap();
    check(&engine, hosts((0..80).step_by(7)));
    check(&engine, vec![(None, Some("region-35".into())), (None, None)]);
    engine.flush().unwrap();
    check(&engine, hosts(100..101));
    check(&engine, vec![(Some("host-0021".into()), Some("a".into()))]);
}

#[test]
fn a_query_shows_the_series_of_its_snapshot_and_not_those_that_came_later() {
    let engine = open(u64::MAX);
    create(&engine, "t");
    write(&engine, "t", &hosts(0..10));
    let before = engine.snapshot().table("public", "t").unwrap();
    write(&engine, "t", &hosts(5..20));
    let rows = |table: &super::TableSnapshot| {
        let set = table.series(&TagFilter::all(), TimeRange::ALL).unwrap();
        let mut scan = set.scan(&[0], TimeRange::ALL);
        let mut rows = 0;
        for series in 0..set.len() {
            scan.open(series).unwrap();
            while let Some(block) = scan.next_block().unwrap() {
                rows += block.len();
            }
        }
        let last = set.last_rows(0..set.len(), &[0], TimeRange::ALL, super::ValueSource::Vectors);
        (rows, last.len())
    };
    let after = engine.snapshot().table("public", "t").unwrap();
    // Rows of later commits may be newer, so the last ones are left to a scan; those of one time are merged.
    assert_eq!((rows(&before), rows(&after)), ((10, 5), (20, 15)));
}

#[test]
fn directories_over_their_budget_are_an_error_that_says_what_to_do() {
    let engine = open(64 << 10);
    create(&engine, "small");
    create(&engine, "large");
    write(&engine, "small", &hosts(0..200));
    write(&engine, "large", &hosts(0..5_000));
    let query = |table: &str| {
        engine.snapshot().table("public", table).unwrap().series(&TagFilter::all(), TimeRange::ALL).map(|set| set.len())
    };
    for place in ["in memory", "in segments"] {
        let error = query("large").unwrap_err();
        assert!(matches!(&error, Error::DirectoryTooLarge { table, limit_bytes: 65_536, .. } if table == "large"));
        assert!(error.to_string().contains("raise the memory budget"), "{place}: {error}");
        assert_eq!(query("small").unwrap(), 200, "{place}");
        engine.flush().unwrap();
    }
}

#[test]
fn a_directory_that_no_query_uses_makes_room_for_another() {
    let engine = open(112 << 10);
    for table in ["a", "b"] {
        create(&engine, table);
        write(&engine, table, &hosts(0..800));
    }
    engine.flush().unwrap();
    let budget = engine.snapshot().table("public", "a").unwrap().directory_budget();
    for _ in 0..3 {
        for table in ["a", "b"] {
            let set = series(&engine, table, &TagFilter::all());
            assert_eq!(set.len(), 800);
            assert!((16_000..112 << 10).contains(&budget.used_bytes()));
        }
    }
    let kept = series(&engine, "a", &TagFilter::all());
    let table = engine.snapshot().table("public", "b").unwrap();
    let refused = table.series(&TagFilter::all(), TimeRange::ALL).unwrap_err();
    assert!(matches!(refused, Error::DirectoryTooLarge { used_bytes, .. } if used_bytes > 16_000));
    drop(kept);
    assert_eq!(table.series(&TagFilter::all(), TimeRange::ALL).unwrap().len(), 800);
    drop(table);
    engine.drop_table("public", "a").unwrap();
    engine.drop_table("public", "b").unwrap();
    assert_eq!(budget.used_bytes(), 0);
}
