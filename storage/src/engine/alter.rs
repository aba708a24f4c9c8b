//! Changes of a table: names, columns, retention.
//!
//! Columns keep their ids, so renaming and dropping touch no data: readers of old segments leave a dropped column out.
//! Widening a column is served by casting what older segments hold. It waits for writes under way and flushes, so that no
//! row of the old type is in memory or in the part of the log that a replay reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::Core;
use crate::error::{Error, Result};
use crate::manifest::ManifestEdit;
use crate::types::{FieldType, SchemaMode, TableId, TableSchema, TierChange, TierPolicy};

/// One change of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// Another name for the table.
    RenameTable {
        /// The new name.
        to: String,
    },
    /// Another name for a column: time, tag or field.
    RenameColumn {
        /// The name now.
        from: String,
        /// The new name.
        to: String,
    },
    /// A field goes, with its values.
    DropField {
        /// Its name.
        name: String,
    },
    /// A field gets a type that holds every value of the present one.
    WidenField {
        /// Its name.
        name: String,
        /// The new type.
        to: FieldType,
    },
    /// Rows older than this are dropped; `None` keeps them for ever.
    SetRetention {
        /// The retention in nanoseconds.
        retention_ns: Option<i64>,
    },
    /// When partitions move between tiers.
    SetTiers {
        /// What changes.
        change: TierChange,
    },
    /// What schemaless protocols may do.
    SetSchemaMode {
        /// The mode.
        mode: SchemaMode,
    },
}

impl Core {
    /// Changes a table. Durable when it returns.
    pub(super) fn alter_table(&self, table: TableId, change: &TableChange) -> Result<Arc<TableSchema>> {
        if let TableChange::WidenField { .. } = change {
            let _no_write = self.widening.write();
            self.flush()?;
            return self.apply_change(table, change);
        }
        let changed = self.apply_change(table, change)?;
        match change {
            TableChange::SetRetention { .. } => self.maintenance_signal.request(),
            TableChange::SetTiers { .. } => self.move_signal.request(),
            _ => {}
        }
        Ok(changed)
    }

    /// Changes what the tables of a namespace, or without one those of all, do where they do not say it themselves.
    /// Durable when it returns.
    pub(super) fn alter_tier_defaults(&self, namespace: Option<&str>, change: &TierChange) -> Result<TierPolicy> {
        if namespace.is_some_and(str::is_empty) {
            return Err(Error::invalid("a namespace needs a name of at least one character"));
        }
        let namespace = namespace.map(str::to_owned);
        let mut manifest = self.store.manifest.lock();
        let current = manifest.state().tier_defaults.get(&namespace).cloned().unwrap_or_default();
        let changed = current.changed(change)?;
        if changed != current {
            manifest.append(&[ManifestEdit::SetTierDefaults(namespace, changed.clone())])?;
            self.move_signal.request();
        }
        Ok(changed)
    }

    fn apply_change(&self, table: TableId, change: &TableChange) -> Result<Arc<TableSchema>> {
        let mut manifest = self.store.manifest.lock();
        let tables = &manifest.state().tables;
        let current = tables.get(&table).ok_or_else(|| Error::TableNotFound { name: format!("with id {table}") })?;
        if let TableChange::RenameTable { to } = change
            && tables.values().any(|other| other.namespace == current.namespace && other.name == *to)
        {
            return Err(Error::TableExists { name: to.clone() });
        }
        let mut changed = TableSchema::clone(current);
        changed.change(change)?;
        if changed == **current {
            return Ok(Arc::clone(current));
        }
        changed.version += 1;
        manifest.append(&[ManifestEdit::AlterTable(changed.clone())])?;
        self.store.memtables.publish(self.store.next_version(&manifest, Vec::new()));
        self.table_changes.fetch_add(1, Ordering::Release);
        Ok(Arc::new(changed))
    }
}

impl TableSchema {
    fn change(&mut self, change: &TableChange) -> Result<()> {
        match change {
            TableChange::RenameTable { to } => {
                if to.is_empty() {
                    return Err(Error::invalid("a table needs a name of at least one character"));
                }
                self.name.clone_from(to);
            }
            TableChange::RenameColumn { from, to } => self.rename_column(from, to)?,
            TableChange::DropField { name } => {
                let position = self.field_to_change(name)?;
                self.fields.remove(position);
            }
            TableChange::WidenField { name, to } => {
                let position = self.field_to_change(name)?;
                let field = &mut self.fields[position];
                if field.field_type != *to && !field.field_type.can_widen_to(*to) {
                    return Err(Error::invalid(format!(
                        "field '{name}' is {}, which cannot become {}: only a type that holds every value can be set; \
                         add a new column instead",
                        field.field_type.arrow_type(),
                        to.arrow_type()
                    )));
                }
                field.field_type = *to;
            }
            TableChange::SetRetention { retention_ns } => {
                if retention_ns.is_some_and(|retention_ns| retention_ns < 1) {
                    return Err(Error::invalid("the retention of a table must be positive"));
                }
                self.options.retention_ns = *retention_ns;
            }
            TableChange::SetTiers { change } => self.options.tiers = self.options.tiers.changed(change)?,
            TableChange::SetSchemaMode { mode } => self.options.schema_mode = *mode,
        }
        Ok(())
    }

    fn field_to_change(&self, name: &str) -> Result<usize> {
        self.field_index(name).ok_or_else(|| {
            let reason = if self.column_exists(name) {
                format!(
                    "column '{name}' of table '{}' is part of the identity of its rows: only its name can change",
                    self.name
                )
            } else {
                format!("table '{}' has no field '{name}'", self.name)
            };
            Error::invalid(reason)
        })
    }

    fn rename_column(&mut self, from: &str, to: &str) -> Result<()> {
        if to.is_empty() {
            return Err(Error::invalid(format!("a column of table '{}' needs a name", self.name)));
        }
        if from != to && self.column_exists(to) {
            return Err(Error::invalid(format!("table '{}' has a column '{to}' already", self.name)));
        }
        let tags = self.tags.iter_mut().map(|tag| &mut tag.name);
        let fields = self.fields.iter_mut().map(|field| &mut field.name);
        match std::iter::once(&mut self.time.name).chain(tags).chain(fields).find(|name| *name == from) {
            Some(name) => to.clone_into(name),
            None => return Err(Error::invalid(format!("table '{}' has no column '{from}'", self.name))),
        }
        Ok(())
    }
}
