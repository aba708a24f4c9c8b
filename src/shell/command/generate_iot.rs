//! `tsq generate iot`: the two tables of the trucks into files or a database.

use std::fs;
use std::path::Path;
use std::time::Instant;

use lynxstore_query::files::{self, FileFormat, WriteOptions};

use super::generate::{steps, with_batches};
use crate::generate::{IOT_CAPACITIES, IOT_TAGS, IotOptions, IotTable};
use crate::shell::cli::GenerateIotArgs;
use crate::shell::error::{CommandError, Result};
use crate::shell::import::Summary;
use crate::{Ack, Database, Dedup, FieldType, TableOptions, TableSpec};

/// Generates both tables.
pub(super) fn run(args: &GenerateIotArgs) -> Result<()> {
    let options = IotOptions {
        trucks: args.trucks,
        interval_ns: args.interval,
        reports_per_truck: steps(args.hours, args.interval, IotOptions::default().start_ns)?,
        seed: args.seed,
        ..IotOptions::default()
    };
    let start = Instant::now();
    let (target, rows, bytes) = match (&args.target.out, &args.target.database) {
        (Some(directory), _) => {
            let (rows, bytes) = write_files(directory, &options)?;
            (format!("files in {}", directory.display()), rows, bytes)
        }
        (None, Some(directory)) => {
            let database = Database::open(directory)?;
            let rows = fill(&database, &options)?;
            let bytes = database.engine().stats().segment_bytes;
            database.close()?;
            (format!("tables of {}", directory.display()), rows, bytes)
        }
        (None, None) => return Err(CommandError::input("where to? give --out DIR or --database DIR")),
    };
    Summary { rows, elapsed: start.elapsed(), bytes }.print("generated", &target)
}

/// Rows of a table before any is lost.
fn reports(options: &IotOptions) -> u64 {
    u64::from(options.trucks) * u64::from(options.reports_per_truck)
}

/// Writes a Parquet file per table into a directory; rows and bytes of both.
fn write_files(directory: &Path, options: &IotOptions) -> Result<(u64, u64)> {
    fs::create_dir_all(directory).map_err(|error| CommandError::io("create", directory, error))?;
    let mut total = (0, 0);
    for table in IotTable::ALL {
        let path = directory.join(format!("{}.parquet", table.name()));
        let written = with_batches(options.batches(table), reports(options), |batches| {
            files::write(&path, FileFormat::Parquet, WriteOptions::default(), &options.schema(table), batches)
        })?;
        total = (total.0 + written.rows, total.1 + written.bytes);
    }
    Ok(total)
}

/// Creates the tables and writes their rows, durable when it returns; the number of rows.
fn fill(database: &Database, options: &IotOptions) -> Result<u64> {
    let mut rows = 0;
    for table in IotTable::ALL {
        let spec = IOT_TAGS.iter().fold(TableSpec::new(table.name()), |spec, tag| spec.tag(*tag));
        let spec = IOT_CAPACITIES.iter().fold(spec, |spec, name| spec.field(*name, FieldType::F64));
        let field = |name: &str| if name == "status" { FieldType::I64 } else { FieldType::F64 };
        let spec = table.fields().iter().fold(spec, |spec, name| spec.field(*name, field(name)));
        // Reports of two trucks whose names are missing may agree in all other tags.
        database.create_table(&spec.options(TableOptions { dedup: Dedup::Off, ..TableOptions::default() }))?;
        with_batches(options.batches(table), reports(options), |batches| {
            for batch in batches {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                // The flush at the end makes the rows durable.
                database.write_with(table.name(), &batch, Ack::Volatile)?;
            }
            Ok(())
        })?;
    }
    database.flush()?;
    Ok(rows)
}
