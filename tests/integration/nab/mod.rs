//! Real metrics through the whole engine: every CSV file of the NAB collection in one table.
//!
//! The truth comes from a reader of its own (`reference`) that shares no code with the engine. Rows are compared bit for
//! bit, and count, minimum, maximum and sum per dataset, in each place that rows can be in: memtable, segments, half and
//! half, and after reopening.

mod reference;

use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType};
use lynxstore::{Database, QueryOutput};
use reference::{Dataset, Sample};

use crate::support::{copy_dir, scratch_dir, shared_data, tsq_binary};

/// The datasets and their files. Some files repeat a time, so the table keeps duplicates.
fn datasets(test: &str) -> Option<Vec<(Dataset, PathBuf)>> {
    let dir = shared_data(test, "nab")?;
    let mut found = Vec::new();
    for category in std::fs::read_dir(dir).unwrap() {
        let category = category.unwrap();
        if !category.file_type().unwrap().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(category.path()).unwrap() {
            let path = file.unwrap().path();
            let category = category.file_name().into_string().expect("folder names are UTF-8");
            found.push((reference::read(&category, &path), path));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    assert_eq!(found.len(), 34, "the collection has 34 files");
    Some(found)
}

fn create_table(database: &Database) {
    database
        .query(
            "CREATE TABLE nab (time TIMESTAMP TIME, category STRING TAG, dataset STRING TAG, value DOUBLE) \
             WITH (dedup = 'off')",
        )
        .unwrap();
}

/// Imports a file as a user does in SQL; the folder and the file name become tags.
fn import(database: &Database, dataset: &Dataset, file: &Path) {
    let sql = format!(
        "INSERT INTO nab SELECT \"timestamp\", '{}', '{}', value FROM '{}'",
        dataset.category,
        dataset.name,
        file.display()
    );
    let output = database.query(&sql).unwrap();
    assert_eq!(output.rows_affected, Some(dataset.samples.len() as u64), "{}", dataset.name);
}

/// Checks all of `datasets` and that the table holds nothing else.
fn check(database: &Database, datasets: &[(Dataset, PathBuf)], place: &str) {
    let output = database
        .query(
            "SELECT category, dataset, count(*), min(value), max(value), sum(value), min(time), max(time) \
             FROM nab GROUP BY category, dataset ORDER BY dataset",
        )
        .unwrap();
    let rows = Rows::of(&output);
    assert_eq!(rows.len(), datasets.len(), "{place}");
    for (row, (dataset, _)) in datasets.iter().enumerate() {
        let at = format!("{} ({place})", dataset.name);
        assert_eq!((rows.text(row, 0), rows.text(row, 1)), (dataset.category.clone(), dataset.name.clone()), "{place}");
        assert_eq!(rows.integer(row, 2), dataset.samples.len() as i64, "count of {at}");
        assert_eq!(rows.float(row, 3).to_bits(), dataset.min().to_bits(), "min of {at}");
        assert_eq!(rows.float(row, 4).to_bits(), dataset.max().to_bits(), "max of {at}");
        // The engine adds in another order than the reference, which sums exactly: allow the rounding of n additions.
        let (sum, bound) = dataset.sum_with_rounding_bound();
        assert!((rows.float(row, 5) - sum).abs() <= bound, "sum of {at}: {} is not {sum}", rows.float(row, 5));
        assert_eq!(rows.time(row, 6), dataset.samples[0].time_ns, "first time of {at}");
        assert_eq!(rows.time(row, 7), dataset.samples[dataset.samples.len() - 1].time_ns, "last time of {at}");
    }
    for (dataset, _) in datasets {
        let sql = format!("SELECT time, value FROM nab WHERE dataset = '{}' ORDER BY time", dataset.name);
        let output = database.query(&sql).unwrap();
        let rows = Rows::of(&output);
        let mut found: Vec<_> =
            (0..rows.len()).map(|row| Sample { time_ns: rows.time(row, 0), value: rows.float(row, 1) }).collect();
        // Rows of equal time come in no promised order.
        found.sort_by_key(Sample::sort_key);
        assert!(
            found.iter().map(Sample::sort_key).eq(dataset.samples.iter().map(Sample::sort_key)),
            "rows of {} ({place})",
            dataset.name
        );
    }
}

#[test]
fn metrics_from_files_are_the_same_in_every_place() {
    let Some(datasets) = datasets("nab::metrics_from_files_are_the_same_in_every_place") else { return };
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    create_table(&database);
    let (first_half, second_half) = datasets.split_at(datasets.len() / 2);
    for (dataset, file) in first_half {
        import(&database, dataset, file);
    }
    check(&database, first_half, "first half in the memtable");
    database.flush().unwrap();
    check(&database, first_half, "first half in segments");
    for (dataset, file) in second_half {
        import(&database, dataset, file);
    }
    check(&database, &datasets, "half in segments, half in the memtable");

    // What is on disk while the database is open is what a killed process would leave.
    let copy = scratch_dir();
    copy_dir(scratch.path(), copy.path());
    let replayed = Database::open(copy.path()).unwrap();
    assert!(replayed.engine().recovery_report().replayed_rows > 0, "the second half is only in the log");
    check(&replayed, &datasets, "replayed from the log");

    database.flush().unwrap();
    check(&database, &datasets, "all in segments");
    database.close().unwrap();
    let database = Database::open(scratch.path()).unwrap();
    check(&database, &datasets, "after close and restart");
}

/// Half of the rows of every dataset, not half of the datasets: one query merges both places.
#[test]
fn a_series_that_is_half_in_the_memtable_reads_as_one() {
    let Some(datasets) = datasets("nab::a_series_that_is_half_in_the_memtable_reads_as_one") else { return };
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    create_table(&database);
    for parity in [0, 1] {
        for (dataset, _) in &datasets {
            let mut appender = database.appender("nab").unwrap();
            for sample in dataset.samples.iter().skip(parity).step_by(2) {
                let row = appender.row(sample.time_ns).unwrap();
                let row = row.tag("category", &dataset.category).unwrap().tag("dataset", &dataset.name).unwrap();
                row.field("value", sample.value).unwrap();
            }
            appender.finish().unwrap();
        }
        if parity == 0 {
            database.flush().unwrap();
        }
    }
    check(&database, &datasets, "every other row in segments, the others in the memtable");
}

/// All files in one call, as an analyst does it: the tags come from the paths.
#[test]
fn the_import_command_reads_them_all() {
    let Some(datasets) = datasets("nab::the_import_command_reads_them_all") else { return };
    let scratch = scratch_dir();
    let database = Database::open(scratch.path()).unwrap();
    create_table(&database);
    database.close().unwrap();
    drop(database);
    let output = Command::new(tsq_binary())
        .arg("import")
        .arg(scratch.path())
        .args(datasets.iter().map(|(_, file)| file))
        .args(["--table", "nab", "--time", "timestamp", "--tag-from-path", "category=parent,dataset=stem"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&Database::open(scratch.path()).unwrap(), &datasets, "imported by the command");
}

/// A result as one table of plain values, so that a check reads like its SQL.
struct Rows {
    columns: Vec<arrow::array::ArrayRef>,
    row_count: usize,
}

impl Rows {
    fn of(output: &QueryOutput) -> Self {
        let batch = arrow::compute::concat_batches(&output.schema, &output.batches).unwrap();
        let columns = batch.columns().iter().map(|column| match column.data_type() {
            DataType::Dictionary(..) | DataType::Utf8View | DataType::LargeUtf8 => {
                cast(column, &DataType::Utf8).unwrap()
            }
            DataType::Timestamp(..) => cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None)).unwrap(),
            _ => column.clone(),
        });
        Self { columns: columns.collect(), row_count: batch.num_rows() }
    }

    fn len(&self) -> usize {
        self.row_count
    }

    fn text(&self, row: usize, column: usize) -> String {
        self.columns[column].as_string::<i32>().value(row).to_owned()
    }

    fn integer(&self, row: usize, column: usize) -> i64 {
        self.columns[column].as_primitive::<Int64Type>().value(row)
    }

    fn float(&self, row: usize, column: usize) -> f64 {
        assert!(self.columns[column].is_valid(row));
        self.columns[column].as_primitive::<Float64Type>().value(row)
    }

    fn time(&self, row: usize, column: usize) -> i64 {
        self.columns[column].as_primitive::<TimestampNanosecondType>().value(row)
    }
}
