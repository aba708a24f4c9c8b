//! What several benchmarks share: the `cpu` table of a monitored fleet, and where databases go.
#![allow(dead_code, unreachable_pub)] // Each benchmark is a crate of its own and uses a part of this module.

pub mod process;

use std::path::{Path, PathBuf};

use lynxstore::generate::{CPU_FIELDS, CPU_TAGS, CpuOptions};
use lynxstore::{Ack, Database, FieldType, TableSpec};

/// Whether the benchmark only has to show that it works (`cargo test --benches`): data is then small.
pub fn is_smoke_run() -> bool {
    !std::env::args().any(|argument| argument == "--bench") || std::env::args().any(|argument| argument == "--test")
}

/// A directory for a database, below `LYNX_BENCH_DIR` when that is set: what is measured is that disk.
pub fn scratch_dir() -> tempfile::TempDir {
    let base = std::env::var_os("LYNX_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new().prefix("lynxstore-bench-").tempdir_in(base).expect("the benchmark directory is writable")
}

/// One day of 1,000 hosts, 8.64 M rows; a thousandth of it in a smoke run.
pub fn one_day() -> CpuOptions {
    if is_smoke_run() {
        CpuOptions { hosts: 20, rows_per_host: 432, ..CpuOptions::default() }
    } else {
        CpuOptions::default()
    }
}

/// The declaration of the table.
pub fn table_spec() -> TableSpec {
    table_spec_of(FieldType::I64)
}

/// The declaration with gauges of a type.
pub fn table_spec_of(gauge: FieldType) -> TableSpec {
    let spec = CPU_TAGS.iter().fold(TableSpec::new("cpu"), |spec, tag| spec.tag(*tag));
    CPU_FIELDS.iter().fold(spec, |spec, field| spec.field(*field, gauge))
}

/// A new database with the rows in memory and in the log, flushed as far as its own limits ask.
pub fn filled_database(dir: &Path, options: &CpuOptions) -> Database {
    let database = Database::open(dir).unwrap();
    database.create_table(&table_spec()).unwrap();
    for batch in options.batches() {
        database.write_with("cpu", &batch, Ack::Logged).unwrap();
    }
    database
}
