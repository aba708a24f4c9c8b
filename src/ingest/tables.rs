//! Creates the tables and columns that a request needs.
//!
//! All changes of one writer go through one mutex, so requests that meet the same new metric do not race each other.
//! Others (SQL, another protocol) may still change tables in between; then the whole step is done again on what is there.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lynxstore_storage::types::{Dedup, FieldType, SchemaMode, TableOptions, TableSchema, TableSpec};
use lynxstore_storage::{Error, Result};
use parking_lot::Mutex;

use super::Store;

/// The time column of tables that protocols create.
pub(super) const TIME_COLUMN: &str = "time";

/// How often the step is done again after someone else changed the same tables at the same moment.
const ATTEMPTS_MAX: usize = 8;

/// The columns that a request needs of one table.
#[derive(Debug, Default)]
pub(super) struct TableNeed {
    pub(super) tags: BTreeSet<String>,
    pub(super) fields: Vec<(Cow<'static, str>, FieldType)>,
    /// The rule for duplicates of a table that is created for it.
    pub(super) dedup: Dedup,
}

impl TableNeed {
    #[cfg(feature = "server")]
    pub(super) fn field(&mut self, name: &'static str, field_type: FieldType) {
        if !self.fields.contains(&(Cow::Borrowed(name), field_type)) {
            self.fields.push((Cow::Borrowed(name), field_type));
        }
    }
}

/// Tags that the series of one table may have together. A series has at most 40 of them; without a bound one request
/// with other tags in each series would make a table of a million columns, for good.
pub(super) const TAGS_PER_TABLE_MAX: usize = 256;

/// Makes tables match needs.
#[derive(Debug, Default)]
pub(super) struct TableMaker {
    changes: Mutex<()>,
}

/// What is missing of a table that exists.
struct Missing {
    tags: Vec<String>,
    fields: Vec<(String, FieldType)>,
}

impl TableMaker {
    /// The tables of `needs`, after creating and extending what can be created and extended. A column that the table
    /// has with another role or type, or that a strict table does not take, stays absent: the caller looks for it.
    pub(super) fn ensure(
        &self,
        store: &impl Store,
        namespace: &str,
        needs: &BTreeMap<String, TableNeed>,
    ) -> Result<HashMap<String, Arc<TableSchema>>> {
        if let Some(schemas) = complete_schemas(store, namespace, needs)? {
            return Ok(schemas);
        }
        let _changes = self.changes.lock();
        let mut last_error = Error::Closed;
        for _ in 0..ATTEMPTS_MAX {
            match change(store, namespace, needs) {
                Ok(()) => {
                    if let Some(schemas) = complete_schemas(store, namespace, needs)? {
                        return Ok(schemas);
                    }
                }
                // Someone else dropped the table or took the name of a column since it was looked at.
                Err(error @ (Error::TableNotFound { .. } | Error::InvalidInput { .. })) => last_error = error,
                Err(error) => return Err(error),
            }
        }
        Err(last_error)
    }
}

/// The tables, when none is absent and none lacks a column that can be added.
fn complete_schemas(
    store: &impl Store,
    namespace: &str,
    needs: &BTreeMap<String, TableNeed>,
) -> Result<Option<HashMap<String, Arc<TableSchema>>>> {
    let mut schemas = HashMap::with_capacity(needs.len());
    for (name, need) in needs {
        match store.table(namespace, name)? {
            Some(schema) if missing(&schema, need).is_none() => schemas.insert(name.clone(), schema),
            _ => return Ok(None),
        };
    }
    Ok(Some(schemas))
}

fn change(store: &impl Store, namespace: &str, needs: &BTreeMap<String, TableNeed>) -> Result<()> {
    let mut specs = Vec::new();
    for (name, need) in needs {
        match store.table(namespace, name)? {
            None => specs.push(spec(namespace, name, need)),
            Some(schema) => {
                if let Some(missing) = missing(&schema, need) {
                    store.add_columns(schema.id, &missing.tags, &missing.fields)?;
                }
            }
        }
    }
    if specs.is_empty() { Ok(()) } else { store.ensure_tables(&specs) }
}

fn spec(namespace: &str, name: &str, need: &TableNeed) -> TableSpec {
    let mut spec = TableSpec::new(name).time(TIME_COLUMN);
    spec.namespace = namespace.to_owned();
    spec.tags = need.tags.iter().take(TAGS_PER_TABLE_MAX).cloned().collect();
    spec.fields = need.fields.iter().map(|(name, field_type)| (name.clone().into_owned(), *field_type)).collect();
    spec.options = TableOptions { dedup: need.dedup, ..TableOptions::default() };
    spec
}

fn missing(schema: &TableSchema, need: &TableNeed) -> Option<Missing> {
    if schema.options.schema_mode == SchemaMode::Strict {
        return None;
    }
    let room = TAGS_PER_TABLE_MAX.saturating_sub(schema.tags.len());
    let tags: Vec<_> = need.tags.iter().filter(|tag| !schema.column_exists(tag)).take(room).cloned().collect();
    let fields: Vec<_> = need
        .fields
        .iter()
        .filter(|(name, _)| !schema.column_exists(name))
        .map(|(name, field_type)| (name.clone().into_owned(), *field_type))
        .collect();
    (!tags.is_empty() || !fields.is_empty()).then_some(Missing { tags, fields })
}
