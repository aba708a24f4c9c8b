//! Deterministic sample data: the same options give the same bytes on every machine and in every version.

mod cpu;
mod iot;
mod random;

pub use cpu::{CPU_FIELDS, CPU_TAGS, CpuBatches, CpuOptions, RowOrder, ValueKind};
pub use iot::{IOT_CAPACITIES, IOT_TAGS, IotBatches, IotOptions, IotTable};
