//! `tsq generate`: deterministic data into a file or a database.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use arrow::array::RecordBatch;
use lynxstore_query::files::{self, FileFormat, WriteOptions};

use crate::generate::{CPU_FIELDS, CPU_TAGS, CpuOptions, RowOrder, ValueKind};
use crate::shell::cli::{GenerateCpuArgs, Order};
use crate::shell::error::{CommandError, Result};
use crate::shell::import::{Progress, Summary};
use crate::{Ack, Database, FieldType, TableSpec};

/// Batches that may wait for the writer.
const BATCHES_WAITING: usize = 4;

/// Generates the `cpu` data set.
pub(super) fn run_cpu(args: &GenerateCpuArgs) -> Result<()> {
    let options = cpu_options(args)?;
    let start = Instant::now();
    let (target, bytes) = match (&args.target.out, &args.target.database) {
        (Some(path), _) => (path.display().to_string(), write_file(path, &options)?),
        (None, Some(directory)) => {
            let database = Database::open(directory)?;
            fill(&database, &args.table, &options)?;
            let bytes = database.engine().stats().segment_bytes;
            database.close()?;
            (format!("table {} of {}", args.table, directory.display()), bytes)
        }
        (None, None) => return Err(CommandError::input("where to? give --out FILE or --database DIR")),
    };
    Summary { rows: options.row_count(), elapsed: start.elapsed(), bytes }.print("generated", &target)
}

fn cpu_options(args: &GenerateCpuArgs) -> Result<CpuOptions> {
    let options = CpuOptions {
        hosts: args.hosts,
        interval_ns: args.interval,
        rows_per_host: steps(args.hours, args.interval, CpuOptions::default().start_ns)?,
        seed: args.seed,
        order: if args.order == Order::Time { RowOrder::Time } else { RowOrder::Host },
        values: if args.floats { ValueKind::TwoDecimals } else { ValueKind::Integer },
        ..CpuOptions::default()
    };
    Ok(options)
}

/// How many intervals the hours have.
pub(super) fn steps(hours: f64, interval_ns: i64, start_ns: i64) -> Result<u32> {
    const HOUR_NS: f64 = 3_600e9;
    let steps = (hours * HOUR_NS / interval_ns as f64).round();
    if !(1.0..=f64::from(u32::MAX)).contains(&steps) {
        return Err(CommandError::input("--hours and --interval must make between 1 and 4,294,967,295 rows per host"));
    }
    let last_offset = (steps as i64).checked_mul(interval_ns);
    if last_offset.and_then(|offset| offset.checked_add(start_ns)).is_none() {
        return Err(CommandError::input("the data would end after the year 2262, where 64-bit nanoseconds end"));
    }
    Ok(steps as u32)
}

/// Creates the table `name` and writes the data set into it; durable when it returns.
pub(super) fn fill(database: &Database, name: &str, options: &CpuOptions) -> Result<()> {
    let field_type = match options.values {
        ValueKind::Integer => FieldType::I64,
        ValueKind::TwoDecimals => FieldType::F64,
    };
    let spec = CPU_TAGS.iter().fold(TableSpec::new(name), |spec, tag| spec.tag(*tag));
    database.create_table(&CPU_FIELDS.iter().fold(spec, |spec, field| spec.field(*field, field_type)))?;
    with_batches(options.batches(), options.row_count(), |batches| {
        for batch in batches {
            // The flush at the end makes the rows durable; until then there is nothing to lose that could not be
            // generated again.
            database.write_with(name, &batch?, Ack::Volatile)?;
        }
        Ok(())
    })?;
    Ok(database.flush()?)
}

/// Writes the data set to a file and returns its size.
fn write_file(path: &Path, options: &CpuOptions) -> Result<u64> {
    let format = FileFormat::from_path(path)?;
    with_batches(options.batches(), options.row_count(), |batches| {
        Ok(files::write(path, format, WriteOptions::default(), &options.schema(), batches)?.bytes)
    })
}

/// Generates batches, of about `row_count` rows in total, on another thread while `consume` takes them.
pub(super) fn with_batches<T>(
    mut batches: impl Iterator<Item = RecordBatch> + Send,
    row_count: u64,
    consume: impl FnOnce(&mut dyn Iterator<Item = Result<RecordBatch>>) -> Result<T>,
) -> Result<T> {
    let (sender, receiver) = mpsc::sync_channel(BATCHES_WAITING);
    let progress = Progress::rows(row_count);
    thread::scope(|scope| {
        scope.spawn(move || {
            // An error means that the consumer gave up, and it knows why.
            let _ = batches.try_for_each(|batch| sender.send(batch));
        });
        let mut counted = receiver.into_iter().map(|batch| {
            progress.add_rows(batch.num_rows() as u64);
            Ok(batch)
        });
        let result = consume(&mut counted);
        progress.finish();
        result
    })
}
