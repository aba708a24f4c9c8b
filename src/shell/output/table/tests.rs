use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::Int32Type;

use super::super::format::{Format, Rows};
use super::*;

fn plain() -> TableStyle {
    TableStyle { rows_max: None, width_max: None, types: false, color: false }
}

fn sample() -> RecordBatch {
    let tags: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampNanosecondArray::from(vec![0, 1_500_000_000, 1_767_225_600_000_000_000]))),
        ("host", Arc::new(tags)),
        ("value", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None]))),
        ("text", Arc::new(StringArray::from(vec!["x|y", "line\n\u{1b}[31m", "q\"r,s"]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn printed(batches: &[RecordBatch], format: Format, style: &TableStyle) -> (String, Shown) {
    let schema = batches[0].schema();
    let mut out = Vec::new();
    let shown = Rows { schema: &schema, batches }.print(format, style, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), shown)
}

#[test]
fn a_table_aligns_numbers_and_shows_null() {
    let (text, shown) = printed(&[sample()], Format::Table, &TableStyle { types: true, ..plain() });
    assert_eq!(
        text,
        "\
╭─────────────────────────┬──────┬────────┬──────────────────╮
│ time                    ┆ host ┆  value ┆ text             │
│ timestamp               ┆ text ┆ double ┆ text             │
╞═════════════════════════╪══════╪════════╪══════════════════╡
│ 1970-01-01 00:00:00     ┆ a    ┆    1.5 ┆ x|y              │
│ 1970-01-01 00:00:01.500 ┆ NULL ┆    NaN ┆ line\\n\\u{1b}[31m │
│ 2026-01-01 00:00:00     ┆      ┆   NULL ┆ q\"r,s            │
╰─────────────────────────┴──────┴────────┴──────────────────╯
"
    );
    assert_eq!(shown, Shown { rows: 3, columns: 4 });
}

#[test]
fn long_results_lose_their_middle() {
    let numbers = |range: std::ops::Range<i64>| {
        let array: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
        RecordBatch::try_from_iter([("n", array)]).unwrap()
    };
    let batches = [numbers(0..3), numbers(3..3), numbers(3..100)];
    let (text, shown) = printed(&batches, Format::Table, &TableStyle { rows_max: Some(5), ..plain() });
    let cells: Vec<_> = text.lines().filter(|l| l.starts_with('│')).map(|l| l.trim_matches(['│', ' '])).collect();
    assert_eq!(cells, ["n", "0", "1", "2", "…", "98", "99"]);
    assert_eq!(shown.rows, 5);
}

#[test]
fn wide_results_lose_their_middle() {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![12_345_678]));
    let names: Vec<String> = (0..20).map(|i| format!("c{i}")).collect();
    let batch = RecordBatch::try_from_iter(names.iter().map(|name| (name, array.clone()))).unwrap();
    let (text, shown) = printed(&[batch], Format::Table, &TableStyle { width_max: Some(52), ..plain() });
    assert!(text.lines().all(|line| line.chars().count() <= 52), "{text}");
    assert_eq!(shown.columns, 4);
    for name in ["c0", "c1", "…", "c18", "c19"] {
        assert!(text.contains(name), "{name} in {text}");
    }
}

#[test]
fn csv_and_json_keep_values_exact() {
    let (csv, _) = printed(&[sample()], Format::Csv, &plain());
    assert_eq!(
        csv,
        "time,host,value,text\n\
         1970-01-01T00:00:00Z,a,1.5,x|y\n\
         1970-01-01T00:00:01.500Z,,NaN,\"line\n\u{1b}[31m\"\n\
         2026-01-01T00:00:00Z,,,\"q\"\"r,s\"\n"
    );
    let (json, _) = printed(&[sample()], Format::Json, &plain());
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0]["time"], "1970-01-01T00:00:00Z");
    assert_eq!(rows[1]["host"], serde_json::Value::Null);
    assert_eq!(rows[1]["value"], serde_json::Value::Null);
    assert_eq!(rows[2]["text"], "q\"r,s");
    let (lines, _) = printed(&[sample()], Format::Jsonl, &plain());
    assert_eq!(lines.lines().count(), 3);
}

#[test]
fn an_empty_result_has_a_header_in_csv_and_brackets_in_json() {
    let empty = [sample().slice(0, 0)];
    assert_eq!(printed(&empty, Format::Csv, &plain()).0, "time,host,value,text\n");
    assert_eq!(printed(&empty, Format::Json, &plain()).0, "[]\n");
    assert_eq!(printed(&empty, Format::Jsonl, &plain()).0, "");
}

#[test]
fn markdown_and_lines_escape_what_would_break_them() {
    let (markdown, _) = printed(&[sample()], Format::Markdown, &plain());
    assert!(markdown.starts_with("| time | host | value | text |\n| --- | --- | ---: | --- |\n"), "{markdown}");
    assert!(markdown.contains("| x\\|y |"), "{markdown}");
    let (lines, _) = printed(&[sample()], Format::Line, &plain());
    assert!(lines.contains(" host = NULL\nvalue = NaN\n"), "{lines}");
    assert_eq!(lines.matches("\n\n").count(), 2);
}

#[test]
fn bytes_are_printed_as_hex() {
    let array: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"\x00\xff"]));
    let batch = RecordBatch::try_from_iter([("b", array)]).unwrap();
    assert_eq!(printed(&[batch], Format::Csv, &plain()).0, "b\n00ff\n");
}
