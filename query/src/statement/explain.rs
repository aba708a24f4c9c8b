//! `EXPLAIN`: which way a query takes, what prunes it, and how it is grouped.

use lynxstore_storage::snapshot::{ScanSources, TableSnapshot};
use lynxstore_storage::types::{TableSchema, TimeRange};
use sqlparser::ast::Query;

use super::query_engine::Run;
use super::schema::listing;
use super::select::Planned;
use crate::error::{Error, Result};
use crate::exec::{ExecContext, groups_by_series, rollup_sections, tag_filter};
use crate::output::QueryOutput;
use crate::plan::{FieldBound, FieldTerm, FieldTest, SelectPlan};

impl Run<'_> {
    /// `EXPLAIN`.
    pub(super) fn explain(&self, query: &Query) -> Result<QueryOutput> {
        let snapshot = self.snapshot();
        let lines = match self.plan(query, &snapshot, None) {
            Ok(planned) => describe(&planned, &self.context())?,
            Err(Error::Unsupported { what, hint }) => {
                let mut lines = vec![format!("route: DataFusion, because of {what}")];
                lines.extend(self.explain_datafusion(&snapshot, query, Error::Unsupported { what, hint })?);
                lines
            }
            Err(error) => return Err(error),
        };
        listing([("plan", lines)])
    }

    #[cfg(feature = "datafusion")]
    fn explain_datafusion(
        &self,
        snapshot: &lynxstore_storage::snapshot::Snapshot,
        query: &Query,
        reason: Error,
    ) -> Result<Vec<String>> {
        use super::filled_tables::Filling;
        use crate::datafusion::{SqlInput, explain};

        let mut query = Box::new(query.clone());
        let filled = self.replace_filled(&mut query, snapshot, &reason, Filling::Plan)?;
        let tables = filled.iter().map(|filled| filled.table.clone());
        let options = self.run_options().with_tables(tables);
        let text = explain(snapshot, SqlInput::Query(query), self.params, &options, &self.cancellation)?;
        let mut lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
        lines.extend(describe_filled(&filled, &self.context())?);
        Ok(lines)
    }

    #[cfg(not(feature = "datafusion"))]
    fn explain_datafusion(
        &self,
        _snapshot: &lynxstore_storage::snapshot::Snapshot,
        _query: &Query,
        reason: Error,
    ) -> Result<Vec<String>> {
        Err(reason)
    }
}

/// The ways of the queries whose rows stand in a statement as tables.
#[cfg(feature = "datafusion")]
pub(super) fn describe_filled(
    filled: &[super::filled_tables::FilledTable],
    context: &ExecContext<'_>,
) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for filled in filled {
        lines.push(format!("{}:", filled.table.name));
        lines.extend(describe(&filled.planned, context)?.into_iter().map(|line| format!("  {line}")));
    }
    Ok(lines)
}

pub(super) fn describe((plan, table): &Planned, context: &ExecContext<'_>) -> Result<Vec<String>> {
    let mut lines = vec!["route: vectorized".to_owned()];
    if let Some(table) = table {
        describe_scan(plan, table, &mut lines)?;
        match rollup_sections(plan, table, context)? {
            0 => {}
            sections => {
                lines.push(format!("rollups: of whole hours, in {sections} of {} sections", table.section_count()))
            }
        }
    }
    if let Some(aggregation) = &plan.aggregation {
        let way = if groups_by_series(plan, aggregation) {
            "by series and time bucket, on encoded vectors"
        } else {
            "by hash of the keys"
        };
        let (keys, aggregates) = (aggregation.keys.len(), aggregation.aggregates.len());
        lines.push(format!("group: {keys} keys, {aggregates} aggregates, {way}"));
    }
    if plan.having.is_some() {
        lines.push("having: a condition on groups".into());
    }
    if plan.distinct {
        lines.push("distinct: equal rows are merged".into());
    }
    if !plan.order.is_empty() {
        let keys = plan.order.iter().map(|key| {
            let direction = if key.descending { " DESC" } else { "" };
            format!("{}{direction}", plan.projection[key.column].name)
        });
        lines.push(format!("order: {}", keys.collect::<Vec<_>>().join(", ")));
    }
    if let Some(limit) = plan.limit {
        lines.push(format!("limit: {limit} rows after {}", plan.offset));
    }
    Ok(lines)
}

fn describe_scan(plan: &SelectPlan, table: &TableSnapshot, lines: &mut Vec<String>) -> Result<()> {
    let schema = table.schema();
    let set = table.series(&tag_filter(&plan.filter), plan.filter.range)?;
    // Of how many there are: damage at other times than those asked for is no reason to explain nothing.
    let every_time = table.clone().on_damage(lynxstore_storage::snapshot::DamagePolicy::Skip);
    let all = every_time.series(&lynxstore_storage::snapshot::TagFilter::all(), TimeRange::ALL)?;
    lines.push(format!("table: {}.{}", schema.namespace, schema.name));
    lines.push(format!("time: {}", describe_range(plan.filter.range)));
    lines.push(format!("series: {} of {}", set.len(), all.len()));
    lines.push(describe_sources(&set.sources()));
    for tag in &plan.filter.tags {
        let name = &schema.tags[tag.tag].name;
        lines.push(match &tag.equals {
            Some(values) => format!("tag: {name} is one of {}", values.join(", ")),
            None => format!("tag: a condition on {name}, decided once per value"),
        });
    }
    for term in &plan.filter.fields {
        lines.push(format!("skip and mask: {}", describe_term(schema, term)));
    }
    if plan.filter.residual.is_some() {
        lines.push("filter: a condition on rows".into());
    }
    let arrow_schema = schema.arrow_schema();
    let columns: Vec<&str> = plan.columns.iter().map(|column| arrow_schema.field(*column).name().as_str()).collect();
    let columns = if columns.is_empty() { "none".to_owned() } else { columns.join(", ") };
    lines.push(format!("columns: {columns}"));
    Ok(())
}

/// Where the rows of a scan come from.
pub(super) fn describe_sources(sources: &ScanSources) -> String {
    let partitions = match sources.partition_starts_ns.as_slice() {
        [] => "no partition".to_owned(),
        [only] => format!("the partition from {}", describe_time(*only)),
        [first, .., last] => format!(
            "{} partitions from {} to {}",
            sources.partition_starts_ns.len(),
            describe_time(*first),
            describe_time(*last)
        ),
    };
    let (segments, all, rows) = (sources.segments, sources.table_segments, sources.memory_rows);
    format!("sources: {partitions}, {segments} of {all} segments, {rows} rows in memory")
}

fn describe_time(time_ns: i64) -> String {
    arrow::temporal_conversions::timestamp_ns_to_datetime(time_ns)
        .map_or_else(|| time_ns.to_string(), |time| time.to_string())
}

fn describe_range(range: TimeRange) -> String {
    let time = describe_time;
    match (range.start_ns, range.end_ns) {
        _ if range.is_empty() => "nothing, the conditions exclude each other".into(),
        (i64::MIN, i64::MAX) => "all".into(),
        (i64::MIN, end) => format!("to {}", time(end)),
        (start, i64::MAX) => format!("from {}", time(start)),
        (start, end) => format!("from {} to {}", time(start), time(end)),
    }
}

fn describe_term(schema: &TableSchema, term: &FieldTerm) -> String {
    use lynxstore_storage::types::FieldType;

    let field = &schema.fields[term.field];
    let (op, bound) = match term.test {
        FieldTest::Compare(op, bound) => (op, bound),
        FieldTest::IsNull => return format!("{} IS NULL", field.name),
        FieldTest::IsNotNull => return format!("{} IS NOT NULL", field.name),
    };
    let bound = match bound {
        // Unsigned bounds are kept with the highest bit flipped.
        FieldBound::I64(value) if field.field_type == FieldType::U64 => (value.cast_unsigned() ^ (1 << 63)).to_string(),
        FieldBound::I64(value) => value.to_string(),
        FieldBound::F64(value) => value.to_string(),
    };
    format!("{} {op} {bound}", field.name)
}
