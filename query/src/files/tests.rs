use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampNanosecondType};

use super::*;

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, None)
}

/// Writes `text` to a CSV file and reads it back as one batch.
fn read_csv_with(text: &[u8], options: &ReadOptions) -> Result<RecordBatch, FileError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    collect(read(path.to_str().unwrap(), None, options)?)
}

fn read_csv(text: &str) -> RecordBatch {
    read_csv_with(text.as_bytes(), &ReadOptions::default()).unwrap()
}

fn collect(batches: FileBatches) -> Result<RecordBatch, FileError> {
    let schema = batches.schema().clone();
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn types(batch: &RecordBatch) -> Vec<DataType> {
    batch.schema().fields().iter().map(|field| field.data_type().clone()).collect()
}

fn names(batch: &RecordBatch) -> Vec<String> {
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

fn write_parquet(path: &Path, batch: &RecordBatch) -> WriteSummary {
    write::<FileError>(path, FileFormat::Parquet, WriteOptions::default(), &batch.schema(), [Ok(batch.clone())])
        .unwrap()
}

#[test]
fn types_widen_from_integers_over_floats_to_text() {
    let batch = read_csv("i,f,t,u,m,b\n1,1,1,1,-1,true\n2,2.5,x,18446744073709551615,18446744073709551615,FALSE\n");
    assert_eq!(
        types(&batch),
        [DataType::Int64, DataType::Float64, DataType::Utf8, DataType::UInt64, DataType::Float64, DataType::Boolean]
    );
    assert_eq!(batch.column(1).as_primitive::<Float64Type>().values(), &[1.0, 2.5]);
    assert_eq!(batch.column(2).as_string::<i32>().value(0), "1");
}

#[test]
fn times_are_read_with_and_without_zone() {
    let batch = read_csv(
        "a,b,c,d\n2015-09-01 13:45:00,2015-09-01T13:45:00.250Z,2015-09-01 15:45:00+02:00,2015-09-01\n\
         2015-09-01 13:50:00.5,2015-09-01T13:45:00.000000001Z,,2015-09-02\n",
    );
    assert_eq!(types(&batch), vec![time_type(); 4]);
    const START: i64 = 1_441_115_100_000_000_000;
    let at = |column: usize, row: usize| batch.column(column).as_primitive::<TimestampNanosecondType>().value(row);
    assert_eq!(at(0, 0), START);
    assert_eq!(at(0, 1), START + 300_500_000_000);
    assert_eq!(at(1, 0), START + 250_000_000);
    assert_eq!(at(1, 1), START + 1);
    assert_eq!(at(2, 0), START);
    assert!(batch.column(2).is_null(1));
    assert_eq!(at(3, 1), 1_441_152_000_000_000_000);
}

#[test]
fn a_time_outside_nanoseconds_makes_the_column_text() {
    assert_eq!(types(&read_csv("t\n2015-09-01\n1066-10-14\n")), [DataType::Utf8]);
}

#[test]
fn carriage_returns_byte_order_mark_and_quotes_are_understood() {
    let batch = read_csv("\u{feff}time,\"na,me\",v\r\n2020-01-01,\"a \"\"b\"\"\r\nc\",1\r\n\r\n2020-01-02,,2\r\n");
    assert_eq!(names(&batch), ["time", "na,me", "v"]);
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "a \"b\"\r\nc");
    assert!(batch.column(1).is_null(1));
}

#[test]
fn delimiters_are_detected_and_a_tab_comes_with_its_extension() {
    assert_eq!(types(&read_csv("a;b\n1;2\n")), vec![DataType::Int64; 2]);
    assert_eq!(types(&read_csv("a|b\n1|2,5\n")), [DataType::Int64, DataType::Utf8]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.tsv");
    std::fs::write(&path, "a\tb,c\n1\t2\n").unwrap();
    let batch = collect(read(path.to_str().unwrap(), None, &ReadOptions::default()).unwrap()).unwrap();
    assert_eq!(names(&batch), ["a", "b,c"]);
}

#[test]
fn a_first_line_of_data_is_not_a_header() {
    let batch = read_csv("2020-01-01,a,1\n2020-01-02,b,2\n");
    assert_eq!(names(&batch), ["column_1", "column_2", "column_3"]);
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(types(&batch), [time_type(), DataType::Utf8, DataType::Int64]);
}

#[test]
fn a_header_can_be_demanded_or_denied() {
    let text = b"a,b\n1,2\n";
    let absent = ReadOptions { header: Header::Absent, ..ReadOptions::default() };
    let batch = read_csv_with(text, &absent).unwrap();
    assert_eq!((batch.num_rows(), types(&batch)), (2, vec![DataType::Utf8; 2]));
    let present = ReadOptions { header: Header::Present, ..ReadOptions::default() };
    let batch = read_csv_with(b"2019,2020\n1,2\n", &present).unwrap();
    assert_eq!((names(&batch), batch.num_rows()), (vec!["2019".to_owned(), "2020".to_owned()], 1));
}

#[test]
fn repeated_and_empty_column_names_become_unique() {
    assert_eq!(names(&read_csv(",a,a\nx,1,2\n")), ["column_1", "a", "a_2"]);
}

#[test]
fn given_types_and_null_texts_overrule_inference() {
    let options = ReadOptions {
        types: [("host".to_owned(), DataType::Utf8), ("v".to_owned(), DataType::Float64)].into(),
        null_text: Some("NA".into()),
        ..ReadOptions::default()
    };
    let batch = read_csv_with(b"host,v,w\n007,1,NA\n008,NA,3\n", &options).unwrap();
    assert_eq!(types(&batch), [DataType::Utf8, DataType::Float64, DataType::Int64]);
    assert_eq!(batch.column(0).as_string::<i32>().value(0), "007");
    assert_eq!((batch.column(1).null_count(), batch.column(2).null_count()), (1, 1));
}

#[test]
fn a_value_wider_than_the_sample_names_the_value_and_the_remedy() {
    let mut text = String::from("v\n");
    text.push_str(&"1\n".repeat(2_000_000));
    text.push_str("1.5\n");
    let options = ReadOptions { sample_bytes: 1, ..ReadOptions::default() };
    let message = read_csv_with(text.as_bytes(), &options).unwrap_err().to_string();
    assert!(message.contains("1.5") && message.contains("line") && message.contains("enlarge"), "{message}");
    assert_eq!(types(&read_csv(&text)), [DataType::Float64]);
}

#[test]
fn malformed_csv_is_an_error_that_names_the_file() {
    for text in [&b""[..], b"a,b\n1,2\n3\n", b"a\n\xFF\xFE\n"] {
        let message = read_csv_with(text, &ReadOptions::default()).unwrap_err().to_string();
        assert!(message.contains("t.csv"), "{message}");
    }
    assert_eq!(read_csv("a,b\n").num_rows(), 0);
}

#[test]
fn formats_come_from_extensions() {
    let format = |name: &str| FileFormat::from_path(Path::new(name));
    assert_eq!(format("a/b.CSV").unwrap(), FileFormat::Csv);
    assert_eq!(format("b.pq").unwrap(), FileFormat::Parquet);
    assert!(matches!(format("b.csv.gz"), Err(FileError::Compressed { .. })));
    assert!(matches!(format("b"), Err(FileError::UnknownFormat { .. })));
    assert!(looks_like_file("dir/*.parquet") && looks_like_file("x.csv.gz") && !looks_like_file("cpu.load"));
}

#[test]
fn missing_files_and_directories_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let open = |pattern: String| FileSet::open(&pattern, None, &ReadOptions::default()).unwrap_err();
    assert!(matches!(open(format!("{}/none.csv", dir.path().display())), FileError::NotFound { .. }));
    assert!(matches!(open(format!("{}/*.csv", dir.path().display())), FileError::NotFound { .. }));
    assert!(matches!(open(format!("{}/[.csv", dir.path().display())), FileError::Pattern { .. }));
    assert!(matches!(open(dir.path().display().to_string()), FileError::Invalid { .. }));
}

#[test]
fn files_of_a_glob_are_matched_by_column_name_and_widened() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "x,y\n1,2\n").unwrap();
    std::fs::write(dir.path().join("b.csv"), "y,z\n2.5,true\n").unwrap();
    std::fs::write(dir.path().join("c.txt"), "no").unwrap();
    let set = FileSet::open(&format!("{}/*.csv", dir.path().display()), None, &ReadOptions::default()).unwrap();
    assert_eq!((set.paths().len(), set.total_rows(), set.total_bytes()), (2, None, 21));
    let batch = collect(set.batches()).unwrap();
    assert_eq!(names(&batch), ["x", "y", "z"]);
    assert_eq!(types(&batch), [DataType::Int64, DataType::Float64, DataType::Boolean]);
    assert_eq!(batch.column(1).as_primitive::<Float64Type>().values(), &[2.0, 2.5]);
    assert!(batch.column(0).is_null(1) && batch.column(2).is_null(0));
}

#[test]
fn progress_reaches_the_total() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "x\n1\n2\n").unwrap();
    let mut batches = read(path.to_str().unwrap(), None, &ReadOptions::default()).unwrap();
    assert_eq!(batches.read_bytes(), 0);
    while batches.next().is_some() {}
    assert_eq!(batches.read_bytes(), batches.total_bytes());
}

#[test]
fn columns_of_one_file_are_projected_in_the_order_asked() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.csv"), "x,y,z\n1,2,3\n").unwrap();
    write_parquet(&dir.path().join("a.pq"), &read_csv("x,y,z\n1,2,3\n"));
    for name in ["a.csv", "a.pq"] {
        let path = dir.path().join(name);
        let set = FileSet::open(path.to_str().unwrap(), None, &ReadOptions::default()).unwrap();
        let batch = collect(set.batches_of(0, &[2, 0])).unwrap();
        assert_eq!(names(&batch), ["z", "x"]);
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().value(0), 3);
        let rows: usize = set.batches_of(0, &[]).map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, 1);
    }
}

/// Every type of a table, with NULLs and extremes.
fn every_type() -> RecordBatch {
    let tags: DictionaryArray<Int32Type> = [Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("time", Arc::new(TimestampNanosecondArray::from(vec![i64::MIN, -1, 0, i64::MAX]))),
        ("tag", Arc::new(tags)),
        (
            "f",
            Arc::new(Float64Array::from(vec![
                Some(-0.0),
                None,
                Some(f64::from_bits(0x7FF0_0000_0000_0002)),
                Some(1e300),
            ])),
        ),
        ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(0)]))),
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0), Some(1)]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None]))),
        ("s", Arc::new(StringArray::from(vec![Some(""), None, Some("x,\"y\""), Some("ü")]))),
        ("x", Arc::new(BinaryArray::from(vec![Some(&b"\0\xFF"[..]), None, Some(b""), Some(b"z")]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, name != "time")))
        .unwrap()
}

#[test]
fn parquet_returns_every_type_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let batch = every_type();
    let summary = write_parquet(&path, &batch);
    assert_eq!((summary.rows, summary.bytes), (4, std::fs::metadata(&path).unwrap().len()));
    let set = FileSet::open(path.to_str().unwrap(), None, &ReadOptions::default()).unwrap();
    assert_eq!(set.total_rows(), Some(4));
    let back = collect(set.batches()).unwrap();
    assert_eq!(back.schema().fields(), batch.schema().fields());
    for (column, expected) in back.columns().iter().zip(batch.columns()) {
        assert_eq!(column, expected);
    }
    let bits = |batch: &RecordBatch| batch.column(2).as_primitive::<Float64Type>().value(2).to_bits();
    assert_eq!(bits(&back), 0x7FF0_0000_0000_0002);
}

#[test]
fn csv_returns_every_value_but_empty_texts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let batch = every_type();
    write::<FileError>(
        &path,
        FileFormat::Csv,
        WriteOptions::default(),
        &batch.schema(),
        [Ok(batch.clone()), Ok(batch.clone())],
    )
    .unwrap();
    let back = collect(read(path.to_str().unwrap(), None, &ReadOptions::default()).unwrap()).unwrap();
    assert_eq!(back.num_rows(), 8);
    assert_eq!(
        types(&back)[..6],
        [time_type(), DataType::Utf8, DataType::Float64, DataType::Int64, DataType::UInt64, DataType::Boolean]
    );
    let back = back.slice(4, 4);
    assert_eq!(back.column(0), batch.column(0));
    for column in 3..6 {
        assert_eq!(back.column(column), batch.column(column), "column {column}");
    }
    assert_eq!(back.column(2).as_primitive::<Float64Type>().value(0).to_bits(), (-0.0f64).to_bits());
    assert!(back.column(2).as_primitive::<Float64Type>().value(2).is_nan());
    let texts: Vec<_> = back.column(6).as_string::<i32>().iter().collect();
    assert_eq!(texts, [None, None, Some("x,\"y\""), Some("ü")]);
}

#[test]
fn header_and_delimiter_of_written_text_can_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let batch = read_csv("a,b\n1,x;y\n");
    let options = WriteOptions { header: Header::Absent, delimiter: Some(b';') };
    write::<FileError>(&path, FileFormat::Csv, options, &batch.schema(), [Ok(batch)]).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "1;\"x;y\"\n");
}

#[test]
fn an_empty_result_still_writes_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    for (name, format) in [("e.csv", FileFormat::Csv), ("e.parquet", FileFormat::Parquet)] {
        let path = dir.path().join(name);
        write::<FileError>(&path, format, WriteOptions::default(), &schema, []).unwrap();
        let back = collect(read(path.to_str().unwrap(), None, &ReadOptions::default()).unwrap()).unwrap();
        assert_eq!((names(&back), back.num_rows()), (vec!["a".to_owned()], 0));
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, "old").unwrap();
    let batch = every_type();
    let failing = [Ok(batch.clone()), Err(FileError::NotFound { pattern: "x".into() })];
    assert!(write(&path, FileFormat::Csv, WriteOptions::default(), &batch.schema(), failing).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn dictionary_encoded_strings_of_a_foreign_parquet_file_can_be_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let few = StringArray::from_iter_values((0..100_000).map(|row| format!("host_{}", row % 10)));
    let many = StringArray::from_iter_values((0..100_000).map(|row| format!("request {row:050}")));
    let batch =
        RecordBatch::try_from_iter([("few", Arc::new(few) as ArrayRef), ("many", Arc::new(many) as ArrayRef)]).unwrap();
    write_parquet(&path, &batch);
    let open = |parquet_strings| {
        let options = ReadOptions { parquet_strings, ..ReadOptions::default() };
        collect(read(path.to_str().unwrap(), None, &options).unwrap()).unwrap()
    };
    assert_eq!(types(&open(ParquetStrings::AsDeclared)), vec![DataType::Utf8; 2]);
    let back = open(ParquetStrings::DictionaryWhereEncoded);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    assert_eq!(types(&back), [dictionary, DataType::Utf8]);
    let texts = arrow::compute::cast(back.column(0), &DataType::Utf8).unwrap();
    assert_eq!(&texts, batch.column(0));
}

#[test]
fn parquet_files_that_disagree_are_refused_with_both_types() {
    let dir = tempfile::tempdir().unwrap();
    write_parquet(&dir.path().join("a.parquet"), &read_csv("x\n1\n"));
    write_parquet(&dir.path().join("b.parquet"), &read_csv("x\ntrue\n"));
    let pattern = format!("{}/*.parquet", dir.path().display());
    let message = FileSet::open(&pattern, None, &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("b.parquet") && message.contains("Boolean") && message.contains("Int64"), "{message}");
    std::fs::write(dir.path().join("c.parquet"), b"PAR1 not really").unwrap();
    assert!(matches!(FileSet::open(&pattern, None, &ReadOptions::default()), Err(FileError::Invalid { .. })));
}
