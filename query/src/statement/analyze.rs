//! `EXPLAIN ANALYZE`: runs a query, throws its rows away, and tells what was done for them.

use std::time::{Duration, Instant};

use super::explain::describe;
use super::query_engine::Run;
use super::schema::listing;
use crate::error::{Error, Result};
use crate::exec::{ExecContext, Step, Trace, run_select};
use crate::output::QueryOutput;

impl Run<'_> {
    /// `EXPLAIN ANALYZE`.
    pub(super) fn analyze(&self, query: &sqlparser::ast::Query) -> Result<QueryOutput> {
        let snapshot = self.snapshot();
        let start = Instant::now();
        // A plan that cannot be run is another way to be unsupported, so both are in one attempt.
        let attempt = self.plan(query, &snapshot, None).and_then(|planned| {
            let plan_time = start.elapsed();
            let trace = Trace::default();
            let context = ExecContext { trace: Some(&trace), ..self.context() };
            let start = Instant::now();
            let batches = run_select(&planned.0, planned.1.as_ref(), &context)?;
            let run_time = start.elapsed();
            let rows_out = batches.iter().map(|batch| batch.num_rows() as u64).sum();
            let mut lines = describe(&planned, &self.context())?;
            lines.extend(self.describe_trace(&trace, plan_time, run_time, rows_out));
            Ok(lines)
        });
        let lines = match attempt {
            Ok(lines) => lines,
            Err(Error::Unsupported { what, hint }) => {
                let mut lines = vec![format!("route: DataFusion, because of {what}")];
                lines.extend(self.analyze_datafusion(&snapshot, query, Error::Unsupported { what, hint })?);
                lines
            }
            Err(error) => return Err(error),
        };
        listing([("plan", lines)])
    }

    fn describe_trace(&self, trace: &Trace, plan_time: Duration, run_time: Duration, rows_out: u64) -> Vec<String> {
        let scan = trace.scan();
        let read = scan.read;
        let mut lines = Vec::new();
        if trace.sources().is_some() {
            lines.push(format!("series read: {} by {} threads", read.series, scan.threads));
            lines.push(format!(
                "rows read: {}, of these {} from memory or merged from several sources, {} skipped by field conditions",
                read.rows, read.rows_from_memory, scan.rows_skipped
            ));
            lines.push(format!(
                "vectors: {} of fields, {} decoded ({} bytes), {} answered from statistics, {} skipped; {} of times decoded",
                read.vectors,
                read.vectors_decoded,
                read.bytes_decoded,
                scan.vectors_answered,
                scan.vectors_skipped,
                read.time_vectors_decoded
            ));
            lines.push(format!("rollups read: {}, in place of {} rows", read.rollups, scan.rollup_rows));
        }
        let step = |step| microseconds(trace.time_of(step));
        lines.push(format!(
            "time: parse {}, plan {}, open {}, scan {}, merge {}, finish {}; run {} in all",
            microseconds(self.parse_time),
            microseconds(plan_time),
            step(Step::Open),
            step(Step::Scan),
            step(Step::Merge),
            step(Step::Finish),
            microseconds(run_time)
        ));
        lines.push(format!("rows out: {rows_out}"));
        lines.push(format!("peak memory: {} bytes", self.memory.peak_bytes()));
        lines
    }

    #[cfg(feature = "datafusion")]
    fn analyze_datafusion(
        &self,
        snapshot: &lynxstore_storage::snapshot::Snapshot,
        query: &sqlparser::ast::Query,
        reason: Error,
    ) -> Result<Vec<String>> {
        use super::explain::describe_filled;
        use super::filled_tables::Filling;
        use crate::datafusion::{SqlInput, analyze};

        let mut query = Box::new(query.clone());
        let filled = self.replace_filled(&mut query, snapshot, &reason, Filling::Run)?;
        let tables = filled.iter().map(|filled| filled.table.clone());
        let options = self.run_options().with_tables(tables);
        let analysis = analyze(snapshot, SqlInput::Query(query), self.params, &options, &self.cancellation)?;
        let mut lines: Vec<String> = analysis.plan.lines().map(|line| format!("  {line}")).collect();
        lines.extend(describe_filled(&filled, &self.context())?);
        lines.push(format!(
            "time: parse {}, plan {}, run {}",
            microseconds(self.parse_time),
            microseconds(analysis.plan_time),
            microseconds(analysis.run_time)
        ));
        lines.push(format!("rows out: {}", analysis.rows_out));
        lines.push(format!("peak memory: {} bytes", self.memory.peak_bytes()));
        Ok(lines)
    }

    #[cfg(not(feature = "datafusion"))]
    fn analyze_datafusion(
        &self,
        _snapshot: &lynxstore_storage::snapshot::Snapshot,
        _query: &sqlparser::ast::Query,
        reason: Error,
    ) -> Result<Vec<String>> {
        Err(reason)
    }
}

fn microseconds(time: Duration) -> String {
    format!("{:.1} us", time.as_nanos() as f64 / 1e3)
}
