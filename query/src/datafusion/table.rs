//! A table of the snapshot as DataFusion sees it.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lynxstore_storage::snapshot::{TableSnapshot, TagFilter, TagTerm};
use lynxstore_storage::types::TimeRange;

use super::error::to_datafusion;
use super::predicate::{ErrorSlot, tag_term};
use super::pushdown::{Pushed, push};
use super::scan_exec::SeriesScanExec;
use super::scan_source::{ScanColumn, ScanSource};

/// One table of a snapshot: time, tags as dictionaries, fields.
pub(super) struct SeriesTable {
    table: TableSnapshot,
    schema: SchemaRef,
}

impl SeriesTable {
    pub(super) fn new(table: TableSnapshot) -> Self {
        let schema = table.schema().arrow_schema();
        Self { table, schema }
    }

    fn scan_column(&self, position: usize) -> ScanColumn {
        let tag_count = self.table.schema().tags.len();
        match position {
            0 => ScanColumn::Time,
            tag if tag <= tag_count => ScanColumn::Tag(tag - 1),
            field => ScanColumn::Field(field - 1 - tag_count),
        }
    }
}

impl Debug for SeriesTable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesTable").field("name", &self.table.schema().name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SeriesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters.iter().map(|filter| push(self.table.schema(), filter).support()).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut range = TimeRange::ALL;
        let mut tags = TagFilter::all();
        let mut bounds = Vec::new();
        let mut applied = Vec::new();
        let mut is_exact = true;
        let errors = ErrorSlot::default();
        for filter in filters {
            match push(self.table.schema(), filter) {
                Pushed::Time(times) => range = range.intersect(times),
                Pushed::TagOneOf(tag, values) => tags.terms.push(TagTerm::one_of(tag, values)),
                Pushed::Tag(tag) => {
                    tags.terms.push(tag_term(self.table.schema(), tag, filter, session, &errors)?);
                }
                Pushed::Field(bound) => {
                    is_exact = false;
                    bounds.push(bound);
                }
                Pushed::Nothing => {
                    is_exact = false;
                    continue;
                }
            }
            applied.push(filter.to_string());
        }
        let series = self.table.series(&tags, range).map_err(to_datafusion)?;
        errors.take()?;
        let (columns, schema) = match projection {
            Some(projection) => {
                let columns = projection.iter().map(|&position| self.scan_column(position)).collect();
                (columns, Arc::new(self.schema.project(projection)?))
            }
            None => {
                let columns = (0..self.schema.fields().len()).map(|position| self.scan_column(position)).collect();
                (columns, Arc::clone(&self.schema))
            }
        };
        let source = ScanSource::new(series, range, columns, bounds, schema);
        let target_partitions = session.config().target_partitions();
        // A limit counts rows after every filter, so it is the scan's own only when it applies them all.
        let fetch = limit.filter(|_| is_exact);
        Ok(Arc::new(SeriesScanExec::new(source, target_partitions, fetch, applied.join(", "))?))
    }
}
