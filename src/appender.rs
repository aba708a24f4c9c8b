//! Builds a batch row by row.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use lynxstore_storage::engine::{Ack, WriteReceipt};
use lynxstore_storage::ingest::RowGrouper;
use lynxstore_storage::types::{SeriesBatch, TableSchema};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::field_builder::{FieldBuilder, FieldValue};

/// Collects rows of one table. Nothing is written before [`Appender::flush`] or [`Appender::finish`], which make all rows
/// since the last flush one commit.
///
/// Columns are searched by name; those that a row sets in the order of the table are found at once.
#[derive(Debug)]
pub struct Appender {
    database: Database,
    table: Arc<TableSchema>,
    ack: Ack,
    times: Vec<i64>,
    /// The series of the rows that are complete: all but the last.
    series: RowGrouper,
    fields: Vec<FieldBuilder>,
    row: OpenRow,
}

/// What the last row has so far.
#[derive(Debug)]
struct OpenRow {
    /// Whether there is one that is not complete.
    is_open: bool,
    /// Tag values, one behind the other, and the place of each.
    text: Vec<u8>,
    tags: Vec<Option<Range<usize>>>,
    /// The column that most likely comes next.
    next_tag: usize,
    next_field: usize,
    field_count: usize,
}

/// A row that is being filled; columns that are not set are NULL.
#[derive(Debug)]
pub struct AppenderRow<'a> {
    appender: &'a mut Appender,
}

impl Appender {
    pub(crate) fn new(database: Database, table: Arc<TableSchema>) -> Self {
        let fields = table.fields.iter().map(|field| FieldBuilder::new(field.field_type)).collect();
        let row = OpenRow {
            is_open: false,
            text: Vec::new(),
            tags: vec![None; table.tags.len()],
            next_tag: 0,
            next_field: 0,
            field_count: 0,
        };
        Self { database, table, ack: Ack::Durable, times: Vec::new(), series: RowGrouper::default(), fields, row }
    }

    /// Sets how safe the rows are when a flush returns. Default: [`Ack::Durable`].
    #[must_use]
    pub fn ack(mut self, ack: Ack) -> Self {
        self.ack = ack;
        self
    }

    /// Begins a row at a time in nanoseconds since 1970, UTC.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when a batch holds as many rows as a commit can.
    pub fn row(&mut self, time_ns: i64) -> Result<AppenderRow<'_>> {
        if self.times.len() >= u32::MAX as usize {
            return Err(Error::invalid("a commit holds at most 4,294,967,295 rows: flush the appender before"));
        }
        self.complete_row();
        self.times.push(time_ns);
        self.row.is_open = true;
        Ok(AppenderRow { appender: self })
    }

    /// Rows since the last flush.
    pub fn row_count(&self) -> usize {
        self.times.len()
    }

    /// Writes the rows since the last flush as one commit; `None` when there are none.
    ///
    /// # Errors
    /// As [`Database::write`], and [`InvalidInput`](crate::ErrorKind::InvalidInput) when the table lost a column since the
    /// appender was made; the rows are gone from the appender.
    pub fn flush(&mut self) -> Result<Option<WriteReceipt>> {
        self.complete_row();
        if self.times.is_empty() {
            return Ok(None);
        }
        let arrays = self.fields.iter_mut().map(FieldBuilder::finish);
        let columns = self.table.fields.iter().map(|field| field.id).zip(arrays);
        let columns = columns.filter(|(_, array)| array.null_count() < array.len()).collect();
        let batch = self.series.finish(self.table.id, std::mem::take(&mut self.times), columns)?;
        self.check_table(&batch)?;
        Ok(Some(self.database.engine().write(vec![batch], self.ack)?))
    }

    /// Whether the table still has the columns of a batch.
    fn check_table(&self, batch: &SeriesBatch) -> Result<()> {
        let table = self.database.table(&self.table.name)?;
        if Arc::ptr_eq(&table, &self.table) {
            return Ok(());
        }
        let has_field = |id| table.fields.iter().any(|field| field.id == id);
        let has_tags = table.tags.len() >= self.table.tags.len()
            && table.tags.iter().zip(&self.table.tags).all(|(now, before)| now.id == before.id);
        if table.id != self.table.id || !has_tags || !batch.fields.iter().all(|(id, _)| has_field(*id)) {
            return Err(Error::invalid(format!(
                "table '{}' lost columns since the appender was made: make another one",
                self.table.name
            )));
        }
        Ok(())
    }

    /// Writes what is left and ends the appender. An appender that is dropped without it loses its rows.
    ///
    /// # Errors
    /// As [`Appender::flush`].
    pub fn finish(mut self) -> Result<Option<WriteReceipt>> {
        self.flush()
    }

    /// Ends the last row; columns that it does not have are NULL.
    fn complete_row(&mut self) {
        let row = &mut self.row;
        if !std::mem::take(&mut row.is_open) {
            return;
        }
        let text = &row.text;
        self.series.push(row.tags.iter_mut().map(|tag| tag.take().map(|place| &text[place])));
        row.text.clear();
        if row.field_count < self.fields.len() {
            let rows = self.times.len();
            self.fields.iter_mut().for_each(|field| field.pad(rows));
        }
        (row.next_tag, row.next_field, row.field_count) = (0, 0, 0);
    }
}

impl AppenderRow<'_> {
    /// Sets a tag.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the table has no such tag, or the row has it already.
    pub fn tag(self, name: &str, value: &str) -> Result<Self> {
        let Appender { table, row, .. } = &mut *self.appender;
        let is_next = table.tags.get(row.next_tag).is_some_and(|tag| tag.name == name);
        let index = if is_next { Some(row.next_tag) } else { table.tag_index(name) };
        let index = index.ok_or_else(|| Error::invalid(format!("table '{}' has no tag '{name}'", table.name)))?;
        if row.tags[index].is_some() {
            return Err(Error::invalid(format!("tag '{name}' is set twice in one row")));
        }
        let start = row.text.len();
        row.text.extend_from_slice(value.as_bytes());
        row.tags[index] = Some(start..row.text.len());
        row.next_tag = index + 1;
        Ok(self)
    }

    /// Sets a field.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the table has no such field, the value is of another type,
    /// or the row has it already.
    pub fn field<'v>(self, name: &str, value: impl Into<FieldValue<'v>>) -> Result<Self> {
        let Appender { table, fields, times, row, .. } = &mut *self.appender;
        let is_next = table.fields.get(row.next_field).is_some_and(|field| field.name == name);
        let index = if is_next { Some(row.next_field) } else { table.field_index(name) };
        let index = index.ok_or_else(|| Error::invalid(format!("table '{}' has no field '{name}'", table.name)))?;
        if fields[index].len() >= times.len() {
            return Err(Error::invalid(format!("field '{name}' is set twice in one row")));
        }
        if !fields[index].append(value.into()) {
            return Err(Error::invalid(format!(
                "field '{name}' of table '{}' is {}: the value is of another type",
                table.name,
                table.fields[index].field_type.arrow_type()
            )));
        }
        row.next_field = index + 1;
        row.field_count += 1;
        Ok(self)
    }
}
