//! A delete: rows that were committed before it and that it names are there no more.

use super::{ColumnId, TableId, TimeRange, TombstoneId};

/// Rows of a table that were deleted: those in sections up to `commit_order` whose time is in `range` and whose tags
/// satisfy every condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Identity.
    pub id: TombstoneId,
    /// The table.
    pub table: TableId,
    /// Sections of this commit order or an older one are affected; rows that came later are not.
    pub commit_order: u64,
    /// Times of the deleted rows.
    pub range: TimeRange,
    /// Conditions on the tags; none means every series.
    pub conditions: Vec<TagCondition>,
    /// Who made it.
    pub cause: TombstoneCause,
}

/// Who deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TombstoneCause {
    /// A `DELETE`: the space is given back soon.
    Delete,
    /// Retention, of a partition that has not expired as a whole: the space is given back with the partition.
    Retention,
}

/// A condition on one tag: its value is one of those listed. The predicate of a `DELETE` was evaluated on every value
/// that the tag had then, which is exact, since rows that come later are not affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagCondition {
    /// The tag.
    pub tag: ColumnId,
    /// The accepted values, sorted.
    pub values: Vec<String>,
    /// Whether NULL is accepted.
    pub accepts_null: bool,
}

impl TagCondition {
    /// Whether a value, or NULL, satisfies the condition.
    pub fn accepts(&self, value: Option<&str>) -> bool {
        match value {
            None => self.accepts_null,
            Some(value) => self.values.binary_search_by(|accepted| accepted.as_str().cmp(value)).is_ok(),
        }
    }
}
