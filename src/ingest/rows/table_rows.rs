//! The rows of one table in the request that is being read, column by column.
//!
//! A row is checked as a whole before any of it is appended, so a row that is refused leaves nothing behind. Columns that
//! the table does not have yet get the type of the first value that is accepted; integers beside floats make it F64.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use hashbrown::HashMap;
use lynxstore_storage::types::{ColumnId, FieldType, SchemaMode, TableSchema};

use super::fault::{RowFault, RowReason, quoted};
use super::writer::IntegerTyping;
use super::{RowLimits, known_series::KnownSeries};
use crate::field_builder::{FieldBuilder, FieldValue};
use crate::ingest::tables::TAGS_PER_TABLE_MAX;

/// The rows of a table.
#[derive(Debug, Default)]
pub(super) struct TableRows {
    pub(super) name: Box<str>,
    /// The table as the request found it.
    pub(super) schema: Option<Arc<TableSchema>>,
    /// The request for which all of this holds.
    pub(super) round: u64,
    columns: Vec<Column>,
    by_name: HashMap<Box<str>, u32>,
    times: Vec<i64>,
    /// Place of the series of each row.
    groups: Vec<u32>,
    /// Numbers of the series, by place.
    series: Vec<u32>,
    new_tags: BTreeSet<String>,
    /// Columns with a value in this request.
    used_columns: usize,
    /// Rows that were looked at, to see a column twice in one.
    stamp: u64,
    /// Columns of the row that is being looked at.
    slots: Vec<u32>,
}

#[derive(Debug)]
struct Column {
    name: Box<str>,
    /// `None` while the table lacks it.
    id: Option<ColumnId>,
    builder: FieldBuilder,
    value_count: usize,
    stamp: u64,
}

/// A column of the rows of a request.
#[derive(Debug)]
pub(super) struct TakenColumn {
    pub(super) name: Box<str>,
    pub(super) id: Option<ColumnId>,
    pub(super) field_type: FieldType,
    pub(super) values: ArrayRef,
}

/// All rows of a table, taken out of a request.
#[derive(Debug)]
pub(super) struct TakenRows {
    pub(super) times: Vec<i64>,
    pub(super) groups: Vec<u32>,
    pub(super) series: Vec<u32>,
    pub(super) columns: Vec<TakenColumn>,
    pub(super) new_tags: BTreeSet<String>,
}

/// The value as a field of this type takes it; `None` when it does not.
fn fit<'v>(field_type: FieldType, value: FieldValue<'v>, typing: IntegerTyping) -> Option<FieldValue<'v>> {
    match (field_type, value) {
        (FieldType::U64, FieldValue::I64(number)) if typing == IntegerTyping::Plain => {
            u64::try_from(number).ok().map(FieldValue::U64)
        }
        (FieldType::F64, FieldValue::I64(_) | FieldValue::U64(_)) => Some(value),
        _ => (value.field_type() == field_type).then_some(value),
    }
}

impl TableRows {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Begins the rows of a request on the table as it is now.
    pub(super) fn begin(&mut self, round: u64, schema: Option<Arc<TableSchema>>) {
        let version = |schema: &Option<Arc<TableSchema>>| schema.as_ref().map(|schema| (schema.id, schema.version));
        // A request that was given up leaves values behind, and columns that did not come to be.
        let is_clean = self.columns.iter().all(|column| column.id.is_some() && column.builder.len() == 0);
        if !is_clean || version(&self.schema) != version(&schema) {
            self.columns.clear();
            self.by_name.clear();
        }
        self.times.clear();
        self.groups.clear();
        self.series.clear();
        self.new_tags.clear();
        self.used_columns = 0;
        (self.round, self.schema) = (round, schema);
    }

    /// Columns that rows have used so far.
    pub(super) fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Whether the table takes a tag, and whether it has it already.
    pub(super) fn check_tag(&self, name: &str) -> Result<bool, RowFault> {
        let conflict = |what: &str| {
            let text = format!("column {} of table {} {what}", quoted(name.as_bytes()), quoted(self.name.as_bytes()));
            RowFault::new(RowReason::SchemaConflict, text)
        };
        if let Some(schema) = &self.schema {
            if schema.tag_index(name).is_some() {
                return Ok(true);
            }
            if schema.column_exists(name) {
                return Err(conflict("is no tag"));
            }
            if schema.options.schema_mode == SchemaMode::Strict {
                return Err(conflict("does not exist, and the table is strict"));
            }
        } else if name == crate::ingest::tables::TIME_COLUMN {
            return Err(conflict("is the time"));
        }
        if self.by_name.get(name).is_some_and(|&slot| self.columns[slot as usize].value_count > 0) {
            return Err(conflict("is a field in other rows of the request"));
        }
        Ok(false)
    }

    /// Whether the table can get the tags of a series that it lacks.
    pub(super) fn check_room<'t>(&self, tags: impl Iterator<Item = &'t str>) -> Result<(), RowFault> {
        let has_tag = |name: &str| self.schema.as_ref().is_some_and(|schema| schema.tag_index(name).is_some());
        let new = tags.filter(|name| !has_tag(name) && !self.new_tags.contains(*name)).count();
        let there = self.schema.as_ref().map_or(0, |schema| schema.tags.len()) + self.new_tags.len();
        if new > 0 && there + new > TAGS_PER_TABLE_MAX {
            let text = format!("table {} has {there} tags already", quoted(self.name.as_bytes()));
            return Err(RowFault::new(RowReason::TooManyColumns, text));
        }
        Ok(())
    }

    /// Checks the fields of a row and remembers their columns.
    pub(super) fn check<'f>(
        &mut self,
        fields: impl Iterator<Item = (&'f str, FieldValue<'f>)>,
        series: &KnownSeries,
        limits: &RowLimits,
        typing: IntegerTyping,
    ) -> Result<(), RowFault> {
        self.stamp += 1;
        self.slots.clear();
        for (name, value) in fields {
            // Rows of a table mostly have the same fields in the same order.
            let next = self.slots.last().map_or(0, |slot| slot + 1);
            let slot = match self.columns.get(next as usize) {
                Some(column) if *column.name == *name => next,
                _ => match self.by_name.get(name) {
                    Some(&slot) => slot,
                    None => self.add_column(name, value, series, limits)?,
                },
            };
            let column = &mut self.columns[slot as usize];
            if column.stamp == self.stamp {
                let text = format!("field {} stands twice in the row", quoted(name.as_bytes()));
                return Err(RowFault::new(RowReason::DuplicateColumn, text));
            }
            column.stamp = self.stamp;
            if !column.takes(value, typing) {
                let text = format!(
                    "field {} of table {} is {}, the value is {}",
                    quoted(name.as_bytes()),
                    quoted(self.name.as_bytes()),
                    column.builder.field_type().arrow_type(),
                    value.field_type().arrow_type()
                );
                return Err(RowFault::new(RowReason::TypeConflict, text));
            }
            self.slots.push(slot);
        }
        Ok(())
    }

    fn add_column(
        &mut self,
        name: &str,
        value: FieldValue<'_>,
        series: &KnownSeries,
        limits: &RowLimits,
    ) -> Result<u32, RowFault> {
        let conflict = |what: &str| {
            let text = format!("column {} of table {} {what}", quoted(name.as_bytes()), quoted(self.name.as_bytes()));
            RowFault::new(RowReason::SchemaConflict, text)
        };
        if name.is_empty() || name.len() > limits.name_bytes_max {
            let text = format!("a field name has {} bytes, 1 to {} are accepted", name.len(), limits.name_bytes_max);
            return Err(RowFault::new(RowReason::InvalidName, text));
        }
        let (mut id, mut field_type) = (None, value.field_type());
        match &self.schema {
            Some(schema) => {
                if let Some(index) = schema.field_index(name) {
                    (id, field_type) = (Some(schema.fields[index].id), schema.fields[index].field_type);
                } else if schema.column_exists(name) {
                    return Err(conflict("is no field"));
                } else if schema.options.schema_mode == SchemaMode::Strict {
                    return Err(conflict("does not exist, and the table is strict"));
                }
            }
            None if name == crate::ingest::tables::TIME_COLUMN => return Err(conflict("is the time")),
            None => {}
        }
        if id.is_none() {
            if self.new_tags.contains(name) || series.tags.iter().any(|(tag, _)| **tag == *name) {
                return Err(conflict("is a tag in the request"));
            }
            let fields = self.schema.as_ref().map_or(0, |schema| schema.fields.len());
            let added = self.columns.iter().filter(|column| column.id.is_none()).count();
            if fields + added >= limits.fields_max {
                let text =
                    format!("table {} would have more than {} fields", quoted(self.name.as_bytes()), limits.fields_max);
                return Err(RowFault::new(RowReason::TooManyColumns, text));
            }
        }
        let slot = u32::try_from(self.columns.len()).expect("a table has at most as many columns as a limit says");
        let builder = FieldBuilder::new(field_type);
        self.columns.push(Column { name: name.into(), id, builder, value_count: 0, stamp: 0 });
        self.by_name.insert(name.into(), slot);
        Ok(slot)
    }

    /// Gives a series its place among those of the request.
    pub(super) fn add_series(&mut self, number: u32, series: &mut KnownSeries) {
        series.round = self.round;
        series.place = u32::try_from(self.series.len()).expect("there are fewer series than rows");
        self.series.push(number);
        if series.key.is_none() {
            let has_tag = |name: &str| self.schema.as_ref().is_some_and(|schema| schema.tag_index(name).is_some());
            let missing = series.tags.iter().filter(|(name, _)| !has_tag(name));
            self.new_tags.extend(missing.map(|(name, _)| name.to_string()));
        }
    }

    /// Appends the row that was checked last. Returns by how many cells the table grew.
    pub(super) fn append<'f>(
        &mut self,
        time_ns: i64,
        place: u32,
        fields: impl Iterator<Item = (&'f str, FieldValue<'f>)>,
        typing: IntegerTyping,
    ) -> usize {
        let row = self.times.len();
        let mut cells = 0;
        for (&slot, (_, value)) in self.slots.iter().zip(fields) {
            let column = &mut self.columns[slot as usize];
            if column.value_count == 0 {
                self.used_columns += 1;
                cells += row;
            }
            column.push(row, value, typing);
        }
        self.times.push(time_ns);
        self.groups.push(place);
        cells + self.used_columns + 1
    }

    /// Takes the rows out; the table is ready for the next request.
    pub(super) fn take(&mut self) -> TakenRows {
        let rows = self.times.len();
        let mut columns = Vec::with_capacity(self.used_columns);
        for column in self.columns.iter_mut().filter(|column| column.value_count > 0) {
            column.builder.pad(rows);
            column.value_count = 0;
            columns.push(TakenColumn {
                name: column.name.clone(),
                id: column.id,
                field_type: column.builder.field_type(),
                values: column.builder.finish(),
            });
        }
        TakenRows {
            times: std::mem::take(&mut self.times),
            groups: std::mem::take(&mut self.groups),
            series: std::mem::take(&mut self.series),
            columns,
            new_tags: std::mem::take(&mut self.new_tags),
        }
    }
}

impl Column {
    /// Whether a value can be appended.
    fn takes(&self, value: FieldValue<'_>, typing: IntegerTyping) -> bool {
        let field_type = self.builder.field_type();
        let is_integer = |field_type| matches!(field_type, FieldType::I64 | FieldType::U64);
        fit(field_type, value, typing).is_some()
            || self.id.is_none()
                && (self.value_count == 0 || is_integer(field_type) && value.field_type() == FieldType::F64)
    }

    /// Appends a value that the column takes as that of row `row`.
    fn push(&mut self, row: usize, value: FieldValue<'_>, typing: IntegerTyping) {
        let value = match fit(self.builder.field_type(), value, typing) {
            Some(value) => value,
            None if self.value_count == 0 => {
                self.builder = FieldBuilder::new(value.field_type());
                value
            }
            None => {
                self.builder.widen_to_f64();
                value
            }
        };
        self.builder.pad(row);
        self.builder.append(value);
        self.value_count += 1;
    }
}
