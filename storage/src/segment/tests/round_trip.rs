//! What is written is what is read, bit for bit.

use proptest::prelude::*;

use super::rows::{
    Lcg, SeriesModel, TIERS, TableModel, Times, Value, all_types, read, series, write_and_open, write_and_open_as,
};
use crate::segment::ColumnStorage;
use crate::types::{FieldType, TableId, TableSchema, TableSpec};

fn assert_round_trip(tables: &[TableModel]) {
    for tier in TIERS {
        let segment = write_and_open_as(tables, tier);
        assert_eq!(read(&segment).unwrap(), tables);
        segment.verify_all().unwrap();
        let row_count: u64 = tables.iter().flat_map(|t| &t.series).map(|s| s.times.len() as u64).sum();
        assert_eq!(segment.row_count(), row_count);
    }
}

/// One series per size, named in order.
fn table_of_sizes(id: u64, sizes: &[usize], times: Times, null_percent: u64) -> TableModel {
    let (schema, mut random) = (all_types(id), Lcg(id));
    let series = sizes.iter().enumerate().map(|(index, &size)| {
        let host = format!("host_{index:04}");
        series(&mut random, &schema, [Some(&host), Some("eu")], size, times, null_percent)
    });
    TableModel { series: series.collect(), schema }
}

#[test]
fn all_types_round_trip_at_every_size_around_a_vector() {
    for times in [Times::Regular, Times::Irregular] {
        for null_percent in [0, 10, 100] {
            for size in [1, 2, 63, 64, 65, 255, 256, 1023, 1024, 1025, 5000] {
                assert_round_trip(&[table_of_sizes(3, &[size], times, null_percent)]);
            }
        }
    }
}

#[test]
fn series_of_mixed_sizes_round_trip_side_by_side() {
    let sizes = [1, 255, 256, 1, 1, 1023, 200, 200, 200, 200, 200, 200, 1024, 1025, 7, 5000, 3];
    for times in [Times::Regular, Times::Irregular] {
        assert_round_trip(&[table_of_sizes(3, &sizes, times, 20)]);
    }
}

#[test]
fn thousands_of_series_of_a_row_round_trip() {
    assert_round_trip(&[table_of_sizes(3, &[1; 3000], Times::Regular, 5)]);
}

#[test]
fn regular_and_irregular_series_share_a_vector() {
    let (schema, mut random) = (all_types(1), Lcg(9));
    let mut table = TableModel { series: Vec::new(), schema: schema.clone() };
    for index in 0..100 {
        let times = if index % 3 == 0 { Times::Irregular } else { Times::Regular };
        let host = format!("{index:03}");
        table.series.push(series(&mut random, &schema, [Some(&host), None], 50, times, 0));
    }
    assert_round_trip(&[table]);
}

#[test]
fn several_tables_stand_in_one_file() {
    let tables: Vec<_> = (1..40).map(|id| table_of_sizes(id, &[3, 300], Times::Regular, 30)).collect();
    assert_round_trip(&tables);
    let segment = write_and_open(&tables);
    let partition = segment.sections()[0].partition_start_ns();
    assert_eq!(segment.section(TableId(17), partition).unwrap().table_id(), TableId(17));
    assert!(segment.section(TableId(40), partition).is_none());
}

#[test]
fn tags_with_null_zero_bytes_and_unicode_round_trip() {
    let (schema, mut random) = (all_types(1), Lcg(4));
    let tags = [
        [None, None],
        [None, Some("")],
        [None, Some("\0")],
        [Some(""), None],
        [Some("\0"), Some("\0\0")],
        [Some("\0\u{1}"), None],
        [Some("a"), Some("b")],
        [Some("日本"), Some("naïve")],
    ];
    let mut table = TableModel { series: Vec::new(), schema: schema.clone() };
    for tags in tags {
        table.series.push(series(&mut random, &schema, tags, 2, Times::Regular, 0));
    }
    let segment = write_and_open(std::slice::from_ref(&table));
    assert_eq!(read(&segment).unwrap(), [table.clone()]);
    let section = &segment.sections()[0];
    let [host, region] = [0, 1].map(|tag| schema.tags[tag].id);
    let values = section.tag_values(host).unwrap();
    assert_eq!(values.iter().collect::<Vec<_>>(), ["", "\0", "\0\u{1}", "a", "日本"]);
    assert_eq!(section.tag_codes(host).unwrap().iter().collect::<Vec<_>>(), [0, 0, 0, 1, 2, 3, 4, 5]);
    assert_eq!(values.code_of("a"), Some(4));
    assert_eq!(values.code_of("b"), None);
    assert_eq!(values.value(0), None);
    assert_eq!(section.tag_values(region).unwrap().value(1), Some(""));
    for (index, series) in table.series.iter().enumerate() {
        assert_eq!(section.series_key(index), series.key());
    }
}

#[test]
fn a_table_without_tags_or_fields_has_one_series_of_times() {
    let schema = TableSchema::from_spec(TableId(1), &TableSpec::new("ticks")).unwrap();
    let series = SeriesModel { tags: vec![], times: vec![1, 1, 2], fields: vec![] };
    assert_round_trip(&[TableModel { schema, series: vec![series] }]);
}

#[test]
fn extreme_times_round_trip() {
    let schema = TableSchema::from_spec(TableId(1), &TableSpec::new("ticks").tag("host")).unwrap();
    let times = [
        vec![i64::MIN, -1, i64::MAX - 1],
        vec![i64::MIN, 0, i64::MAX],
        vec![i64::MIN],
        vec![i64::MAX],
        vec![i64::MAX, i64::MAX],
        vec![i64::MIN, i64::MAX],
    ];
    let series = times.into_iter().enumerate().map(|(index, times)| SeriesModel {
        tags: vec![Some(format!("{index}"))],
        times,
        fields: vec![],
    });
    let series = series.collect();
    assert_round_trip(&[TableModel { schema, series }]);
}

/// A table with one text and one binary column whose values `text` makes.
fn table_of_texts(row_count: usize, text: impl Fn(usize) -> Option<String>) -> TableModel {
    let spec = TableSpec::new("t").field("s", FieldType::String).field("x", FieldType::Binary);
    let schema = TableSchema::from_spec(TableId(1), &spec).unwrap();
    let texts: Vec<_> = (0..row_count).map(text).collect();
    let fields = vec![
        texts.iter().map(|text| text.clone().map(Value::String)).collect(),
        texts.iter().map(|text| text.clone().map(|text| Value::Binary(text.into_bytes()))).collect(),
    ];
    let series = SeriesModel { tags: vec![], times: (0..row_count as i64).collect(), fields };
    TableModel { schema, series: vec![series] }
}

fn storages(table: &TableModel) -> Vec<ColumnStorage> {
    let [hot, warm] = TIERS.map(|tier| {
        let segment = write_and_open_as(std::slice::from_ref(table), tier);
        assert_eq!(read(&segment).unwrap(), std::slice::from_ref(table));
        segment.verify_all().unwrap();
        segment.sections()[0].columns().iter().map(|column| column.storage()).collect::<Vec<_>>()
    });
    assert_eq!(hot, warm);
    hot
}

#[test]
fn texts_that_repeat_twice_on_average_get_a_dictionary() {
    let few = table_of_texts(1000, |row| Some(format!("{}", row % 500)));
    assert_eq!(storages(&few), [ColumnStorage::Dictionary; 2]);
    let many = table_of_texts(1000, |row| Some(format!("{}", row % 501)));
    assert_eq!(storages(&many), [ColumnStorage::PlainStrings; 2]);
}

#[test]
fn texts_that_turn_out_unique_go_over_to_plain_before_the_end() {
    let table = table_of_texts(100_000, |row| (row % 10 != 0).then(|| format!("request {row}")));
    assert_eq!(storages(&table), [ColumnStorage::PlainStrings; 2]);
}

#[test]
fn empty_texts_and_nulls_stay_apart() {
    let table = table_of_texts(2000, |row| (row % 2 == 0).then(String::new));
    assert_eq!(storages(&table), [ColumnStorage::Dictionary; 2]);
    let single = table_of_texts(1, |_| Some(String::new()));
    assert_eq!(storages(&single), [ColumnStorage::PlainStrings; 2]);
}

#[test]
fn a_column_without_a_value_is_not_stored() {
    let table = table_of_texts(10, |_| None);
    assert_eq!(storages(&table), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_table_round_trips(
        seed in any::<u64>(),
        sizes in prop::collection::vec(prop_oneof![1..20usize, 200..300usize, 1000..1100usize], 1..12),
        irregular_percent in prop_oneof![Just(0u64), Just(50), Just(100)],
        null_percent in prop_oneof![Just(0u64), Just(3), Just(97)],
    ) {
        let (schema, mut random) = (all_types(5), Lcg(seed));
        let mut table = TableModel { series: Vec::new(), schema: schema.clone() };
        for (index, size) in sizes.into_iter().enumerate() {
            let times = if random.below(100) < irregular_percent { Times::Irregular } else { Times::Regular };
            let host = format!("{index:02}");
            let region = ["", "eu", "us"][random.below(3) as usize];
            let region = (random.below(4) > 0).then_some(region);
            table.series.push(series(&mut random, &schema, [Some(&host), region], size, times, null_percent));
        }
        for tier in TIERS {
            let segment = write_and_open_as(std::slice::from_ref(&table), tier);
            prop_assert_eq!(read(&segment).unwrap(), std::slice::from_ref(&table));
            segment.verify_all().unwrap();
        }
    }
}
