//! The tables that a statement can name: those of the snapshot, system tables, and files.
//!
//! Nothing is listed in advance: a name is looked up when a statement uses it.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::EmptyRecordBatchStream;
use datafusion::physical_plan::streaming::PartitionStream;
use lynxstore_storage::snapshot::{DamagePolicy, Snapshot};

use super::error::to_datafusion;
use super::file_table::open_file_table;
use super::run::RowTable;
use super::served_query::ServedQueries;
use super::table::SeriesTable;
use crate::error::Error;
use crate::files::looks_like_file;
use crate::options::FileAccess;
use crate::sql::SYSTEM_NAMESPACE;
use crate::system::SystemTables;

/// The name of the only catalog, for DataFusion's sake; statements have no reason to write it.
pub(super) const CATALOG: &str = "lynxstore";

/// The functions that may stand in FROM.
const TABLE_FUNCTIONS: [&str; 2] = ["generate_series", "range"];

/// Catalog list and catalog in one: the namespaces of a snapshot.
#[derive(Clone)]
pub(super) struct SnapshotCatalog {
    pub(super) snapshot: Snapshot,
    pub(super) default_namespace: Arc<str>,
    pub(super) file_access: FileAccess,
    pub(super) on_damage: DamagePolicy,
    pub(super) system: SystemTables,
    pub(super) served: ServedQueries,
    pub(super) tables: Arc<[RowTable]>,
}

impl Debug for SnapshotCatalog {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotCatalog").field("default_namespace", &self.default_namespace).finish_non_exhaustive()
    }
}

impl CatalogProviderList for SnapshotCatalog {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for SnapshotCatalog {
    fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.snapshot.tables().map(|table| table.namespace.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        // Also for a namespace without tables, so that the error names the table and not the namespace.
        Some(Arc::new(NamespaceTables { catalog: self.clone(), namespace: name.to_owned() }))
    }
}

/// The table of rows that stand in a statement. Without rows its size is unknown, lest a plan is made for no rows.
fn row_table(rows: &RowTable) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let schema = Arc::clone(&rows.schema);
    Ok(match &rows.batches {
        Some(batches) => Arc::new(MemTable::try_new(schema, vec![batches.clone()])?),
        None => {
            let partition = Arc::new(PlannedRows { schema: Arc::clone(&schema) });
            Arc::new(StreamingTable::try_new(schema, vec![partition])?)
        }
    })
}

/// Rows that nobody reads, because the statement is only planned.
#[derive(Debug)]
struct PlannedRows {
    schema: SchemaRef,
}

impl PartitionStream for PlannedRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        Box::pin(EmptyRecordBatchStream::new(Arc::clone(&self.schema)))
    }
}

/// The tables of one namespace and, for the default one, files.
#[derive(Debug)]
struct NamespaceTables {
    catalog: SnapshotCatalog,
    namespace: String,
}

#[async_trait]
impl SchemaProvider for NamespaceTables {
    fn table_names(&self) -> Vec<String> {
        if self.namespace == SYSTEM_NAMESPACE {
            return self.catalog.system.names();
        }
        let tables = self.catalog.snapshot.tables();
        tables.filter(|table| table.namespace == self.namespace).map(|table| table.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(rows) = self.catalog.tables.iter().find(|table| table.name == name) {
            return row_table(rows).map(Some);
        }
        if self.namespace == SYSTEM_NAMESPACE
            && let Some(batch) = self.catalog.system.table(&self.catalog.snapshot, name).map_err(to_datafusion)?
        {
            return Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)));
        }
        if *self.namespace == *self.catalog.default_namespace
            && let Some(served) = self.catalog.served.table(name)
        {
            return Ok(Some(served));
        }
        match self.catalog.snapshot.table(&self.namespace, name) {
            Ok(table) => return Ok(Some(Arc::new(SeriesTable::new(table.on_damage(self.catalog.on_damage))))),
            // DataFusion asks for what is called in FROM too.
            Err(lynxstore_storage::Error::TableNotFound { .. }) if TABLE_FUNCTIONS.contains(&name) => return Ok(None),
            Err(lynxstore_storage::Error::TableNotFound { .. }) => {}
            Err(error) => return Err(to_datafusion(error)),
        }
        if *self.namespace != *self.catalog.default_namespace || !looks_like_file(name) {
            return Err(to_datafusion(lynxstore_storage::Error::TableNotFound { name: name.to_owned() }));
        }
        match self.catalog.file_access {
            FileAccess::Allowed => open_file_table(name).await.map(Some),
            FileAccess::Denied => Err(to_datafusion(Error::FileAccessDenied { path: name.to_owned() })),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.catalog.snapshot.table(&self.namespace, name).is_ok()
    }
}
