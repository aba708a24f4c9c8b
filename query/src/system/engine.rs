//! `system.tasks` and `system.memory`: what the engine does and what it holds.

use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::Engine;

use super::builder::TableBuilder;
use crate::error::Result;

/// A row per piece of background work: that of lately, then what runs now.
pub(super) fn tasks(engine: &Engine) -> Result<RecordBatch> {
    let tasks = engine.tasks();
    let state = |task: &lynxstore_storage::engine::TaskRecord| match (&task.error, task.ended_ns) {
        (Some(_), _) => "failed".to_owned(),
        (None, Some(_)) => "done".to_owned(),
        (None, None) => "running".to_owned(),
    };
    TableBuilder::default()
        .count("task_id", tasks.iter().map(|task| task.id))
        .text("kind", tasks.iter().map(|task| task.kind.name().to_owned()))
        .text("state", tasks.iter().map(state))
        .time("started", tasks.iter().map(|task| task.started_ns))
        .time("ended", tasks.iter().map(|task| task.ended_ns))
        .count("bytes_in", tasks.iter().map(|task| task.bytes_in))
        .count("bytes_out", tasks.iter().map(|task| task.bytes_out))
        .count("rows", tasks.iter().map(|task| task.rows))
        .text("error", tasks.iter().map(|task| task.error.clone()))
        .build()
}

/// A row per area of memory and of the directory, in bytes, with its bound where it has one.
pub(super) fn memory(engine: &Engine) -> Result<RecordBatch> {
    let stats = engine.stats();
    let areas = [
        ("memtables", stats.memtable_bytes, Some(stats.memtable_bytes_max)),
        ("writes", stats.writing_bytes, Some(stats.memtable_bytes_max)),
        ("wal buffer", stats.wal_buffer_bytes, Some(stats.memtable_bytes_max)),
        ("wal files", stats.wal_bytes, None),
        ("segment files", stats.segment_bytes, None),
    ];
    TableBuilder::default()
        .text("area", areas.iter().map(|area| area.0.to_owned()))
        .count("bytes", areas.iter().map(|area| area.1))
        .count("bytes_max", areas.iter().map(|area| area.2))
        .build()
}
