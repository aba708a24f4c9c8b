//! Files in FROM as tables.
//!
//! Parquet goes through DataFusion's own reader, which prunes row groups and pages; CSV (and a Parquet file whose very
//! name is a pattern) through [`crate::files`], one partition per file.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, project_schema};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::error::to_datafusion;
use crate::files::{FileFormat, FileSet, ReadOptions};

/// Batches that the reader of a file may be ahead of its consumer.
const BATCHES_AHEAD: usize = 2;

/// Opens a path or glob from a statement.
pub(super) async fn open_file_table(pattern: &str) -> Result<Arc<dyn TableProvider>> {
    let owned = pattern.to_owned();
    // Opening samples the files, which may take longer than a task should hold its thread.
    let files = tokio::task::spawn_blocking(move || FileSet::open(&owned, None, &ReadOptions::default()))
        .await
        .map_err(|error| to_datafusion(crate::error::Error::execution(error.to_string())))?
        .map_err(to_datafusion)?;
    let is_parquet = files.paths().all(|path| matches!(FileFormat::from_path(path), Ok(FileFormat::Parquet)));
    match parquet_urls(&files) {
        Some(urls) if is_parquet => {
            // Views would differ from the plain strings that every other route gives.
            let format = ParquetFormat::default().with_force_view_types(false);
            let options = ListingOptions::new(Arc::new(format)).with_file_extension("");
            let config = ListingTableConfig::new_with_multi_paths(urls)
                .with_listing_options(options)
                .with_schema(Arc::clone(files.schema()));
            Ok(Arc::new(ListingTable::try_new(config)?))
        }
        _ => Ok(Arc::new(StreamedFiles { files })),
    }
}

/// The files as URLs; `None` when a name would be read as a pattern again, or is no text.
fn parquet_urls(files: &FileSet) -> Option<Vec<ListingTableUrl>> {
    files
        .paths()
        .map(|path| {
            let absolute = std::path::absolute(path).ok()?;
            let text = absolute.to_str().filter(|text| !text.contains(['*', '?', '[']))?;
            ListingTableUrl::parse(text).ok()
        })
        .collect()
}

/// Files that are read as streams of batches.
#[derive(Debug)]
struct StreamedFiles {
    files: FileSet,
}

#[async_trait]
impl TableProvider for StreamedFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.files.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = project_schema(self.files.schema(), projection)?;
        let columns: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..schema.fields().len()).collect(),
        };
        let partitions = self
            .files
            .paths()
            .enumerate()
            .map(|(file, _)| {
                let stream = FileStream {
                    files: self.files.clone(),
                    file,
                    columns: columns.clone(),
                    schema: Arc::clone(&schema),
                };
                Arc::new(stream) as Arc<dyn PartitionStream>
            })
            .collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, Vec::new(), false, limit)?))
    }
}

/// One file of the set.
#[derive(Debug)]
struct FileStream {
    files: FileSet,
    file: usize,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for FileStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let sender = builder.tx();
        let batches = self.files.batches_of(self.file, &self.columns);
        builder.spawn_blocking(move || {
            for batch in batches {
                // The consumer may have enough, such as after a LIMIT.
                if sender.blocking_send(batch.map_err(to_datafusion)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        builder.build()
    }
}
