//! Deletes: rows of a table by time and tags.
//!
//! Rows in memory are flushed first, so that a delete is one record in the manifest about rows in segments. What is
//! committed meanwhile is in no segment that the delete names, and stays.

use super::core::Core;
use crate::error::{Error, Result};
use crate::manifest::ManifestEdit;
use crate::snapshot::{TableSnapshot, TagFilter};
use crate::types::{TableId, TagCondition, TimeRange, Tombstone, TombstoneCause};

/// What a delete did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteReceipt {
    /// Rows that are there no more.
    pub rows: u64,
}

impl Core {
    /// Deletes the rows of a table whose time is in `range` and whose tags satisfy `filter`. Durable when it returns.
    pub(super) fn delete(&self, table: TableId, filter: &TagFilter, range: TimeRange) -> Result<DeleteReceipt> {
        let _no_other_flush = self.flush.lock();
        if self.store.memtables.has_rows_of(table) {
            self.flush_locked()?;
        }
        // Without a flush no row gets into a section from here on; compactions move rows but keep them.
        let sections = self.store.snapshot().table_by_id(table)?.sections_only();
        let rows = count_rows(&sections, filter, range)?;
        // Rows that expired are not shown and not counted, but they would come back with a longer retention.
        let may_hide = sections.schema().options.retention_ns.is_some();
        let is_needed = rows > 0 || (may_hide && count_rows(&sections.with_expired(), filter, range)? > 0);
        let Some(commit_order) = sections.commit_order_max().filter(|_| is_needed) else {
            return Ok(DeleteReceipt { rows: 0 });
        };
        let conditions = conditions(&sections, filter)?;
        let cause = TombstoneCause::Delete;
        let mut manifest = self.store.manifest.lock();
        let id = manifest.state().next_tombstone_id;
        let tombstone = Tombstone { id, table, commit_order, range, conditions, cause };
        manifest.append(&[ManifestEdit::AddTombstone(tombstone)])?;
        self.store.memtables.publish(self.store.next_version(&manifest, Vec::new()));
        drop(manifest);
        self.maintenance_signal.request();
        Ok(DeleteReceipt { rows })
    }
}

/// The rows that a delete will take away.
fn count_rows(table: &TableSnapshot, filter: &TagFilter, range: TimeRange) -> Result<u64> {
    let set = table.series(filter, range)?;
    let mut scan = set.scan(&[], range);
    let mut rows = 0;
    for series in 0..set.len() {
        scan.open(series)?;
        while let Some(block) = scan.next_block()? {
            rows += block.len() as u64;
        }
    }
    Ok(rows)
}

/// The filter as lists of the values that the tags have.
fn conditions(table: &TableSnapshot, filter: &TagFilter) -> Result<Vec<TagCondition>> {
    let mut conditions = Vec::with_capacity(filter.terms.len());
    for term in &filter.terms {
        let tag = table.schema().tags.get(term.tag);
        let tag = tag.ok_or_else(|| Error::invalid("a condition names a tag that the table does not have"))?;
        let values = table.tag_values(term.tag)?;
        let accepted = values.into_iter().filter(|value| (term.accept)(Some(value))).collect();
        conditions.push(TagCondition { tag: tag.id, values: accepted, accepts_null: (term.accept)(None) });
    }
    Ok(conditions)
}
