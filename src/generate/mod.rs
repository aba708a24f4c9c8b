//! Deterministic sample data: the same options give the same bytes on every machine and in every version.

mod cpu;
mod random;

pub use cpu::{CPU_FIELDS, CPU_TAGS, CpuBatches, CpuOptions, RowOrder, ValueKind};
