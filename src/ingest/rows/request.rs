//! One request while its rows come in.

use std::borrow::Cow;

use hashbrown::HashMap;
use lynxstore_storage::types::{SeriesKey, TableSchema};

use super::begun_series::BegunSeries;
use super::fault::{RejectedRows, RowFault, RowReason, quoted};
use super::known_series::{KnownSeries, SeriesIndex, SeriesName};
use super::table_rows::TableRows;
use super::writer::{RowOptions, RowWriter, RowsError};
use crate::field_builder::FieldValue;
use crate::ingest::Store;

/// What a writer keeps from request to request; used by one at a time.
#[derive(Debug, Default)]
pub(super) struct RowState {
    pub(super) index: SeriesIndex,
    pub(super) tables: Vec<TableRows>,
    by_name: HashMap<Box<str>, u32>,
    /// Number of the request.
    pub(super) round: u64,
    /// Columns that requests brought since the state began, those of refused rows too.
    pub(super) columns: usize,
    /// The tables of this request, in the order in which they came.
    pub(super) used: Vec<u32>,
}

/// The rows of one request.
#[derive(Debug)]
pub struct RowRequest<'w> {
    writer: &'w RowWriter,
    state: &'w mut RowState,
    options: &'w RowOptions,
    rows: usize,
    cells: usize,
    columns: usize,
    pub(super) rejected: RejectedRows,
    pub(super) begun: BegunSeries,
}

impl<'w> RowRequest<'w> {
    pub(super) fn new(writer: &'w RowWriter, state: &'w mut RowState, options: &'w RowOptions) -> Self {
        state.round += 1;
        state.used.clear();
        let rejected = RejectedRows::default();
        Self { writer, state, options, rows: 0, cells: 0, columns: 0, rejected, begun: BegunSeries::default() }
    }

    /// Leaves a row out that its decoder could not read. `line` counts from 1.
    pub fn reject(&mut self, line: usize, fault: RowFault) {
        self.rejected.add(line, fault);
    }

    /// Adds a row. `raw` are the bytes that spell its table and tags: equal bytes are the same series, in every request to
    /// the writer; `name` says them in words and is called when they are not known. A row that does not fit is left out
    /// and noted under `line`.
    ///
    /// # Errors
    /// `TooLarge` when the request is over a limit, `Store` when the engine fails.
    pub fn push<'f>(
        &mut self,
        line: usize,
        raw: &[u8],
        name: impl FnOnce() -> Result<SeriesName<'f>, RowFault>,
        fields: impl Iterator<Item = (&'f str, FieldValue<'f>)> + Clone,
        time_ns: i64,
    ) -> Result<(), RowsError> {
        self.rows += 1;
        RowsError::check("rows", self.rows, self.writer.limits().rows_max)?;
        let number = match self.series(raw, name)? {
            Ok(number) => number,
            Err(fault) => {
                self.rejected.add(line, fault);
                return Ok(());
            }
        };
        let typing = self.options.integers;
        let series = self.state.index.get_mut(number);
        let table = &mut self.state.tables[series.table as usize];
        let columns_before = table.column_count();
        let checked = table.check(fields.clone(), series, self.writer.limits(), typing);
        let columns = table.column_count() - columns_before;
        self.columns += columns;
        self.state.columns += columns;
        RowsError::check("new columns", self.columns, self.writer.limits().columns_max)?;
        if let Err(fault) = checked {
            self.rejected.add(line, fault);
            return Ok(());
        }
        if series.round != self.state.round {
            table.add_series(number, series);
        }
        self.cells += table.append(time_ns, series.place, fields, typing);
        RowsError::check("cells (rows times columns)", self.cells, self.writer.limits().cells_max)
    }

    /// The series of a row, ready for this request.
    fn series<'f>(
        &mut self,
        raw: &[u8],
        name: impl FnOnce() -> Result<SeriesName<'f>, RowFault>,
    ) -> Result<Result<u32, RowFault>, RowsError> {
        let hash = self.state.index.hash(raw);
        let Some(number) = self.state.index.find(hash, raw) else { return self.new_series(hash, raw, name) };
        if self.state.index.get(number).round == self.state.round {
            return Ok(Ok(number));
        }
        self.begin_table(self.state.index.get(number).table)?;
        Ok(self.resolve(number)?.map(|()| number))
    }

    fn new_series<'f>(
        &mut self,
        hash: u64,
        raw: &[u8],
        name: impl FnOnce() -> Result<SeriesName<'f>, RowFault>,
    ) -> Result<Result<u32, RowFault>, RowsError> {
        let mut name = match name().and_then(|name| self.check_name(&name).map(|()| name)) {
            Ok(name) => name,
            Err(fault) => return Ok(Err(fault)),
        };
        name.tags.sort_unstable();
        if let Some(twice) = name.tags.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let text = format!("tag {} stands twice", quoted(twice[0].0.as_bytes()));
            return Ok(Err(RowFault::new(RowReason::DuplicateColumn, text)));
        }
        let table = match self.state.by_name.get(&*name.table) {
            Some(&table) => table,
            None => {
                let table = u32::try_from(self.state.tables.len()).expect("memory ends before 2^32 tables");
                self.state.tables.push(TableRows::new(&name.table));
                self.state.by_name.insert((&*name.table).into(), table);
                table
            }
        };
        self.begin_table(table)?;
        let number = self.state.index.add(hash, raw, table, &name.tags);
        if self.state.index.get(number).round == self.state.round {
            return Ok(Ok(number));
        }
        Ok(self.resolve(number)?.map(|()| number))
    }

    /// Looks at a table once per request, when its first row comes.
    fn begin_table(&mut self, table: u32) -> Result<(), RowsError> {
        let rows = &mut self.state.tables[table as usize];
        if rows.round != self.state.round {
            RowsError::check("tables", self.state.used.len() + 1, self.writer.limits().tables_max)?;
            let schema = self.writer.engine().table(self.writer.namespace(), &rows.name)?;
            rows.begin(self.state.round, schema);
            self.state.used.push(table);
        }
        Ok(())
    }

    /// Finds the key of a series in its table as it is now, and asks the quota when the table does not have the series.
    fn resolve(&mut self, number: u32) -> Result<Result<(), RowFault>, RowsError> {
        let series = self.state.index.get(number);
        let table = &self.state.tables[series.table as usize];
        let version = table.schema.as_ref().map(|schema| (schema.id, schema.version));
        if series.key.is_some() && version == Some(series.version) {
            return Ok(Ok(()));
        }
        let has_all = match has_all_tags(table, series) {
            Ok(has_all) => has_all,
            Err(fault) => return Ok(Err(fault)),
        };
        let key = match &table.schema {
            Some(schema) if has_all => series_key(schema, series),
            _ => None,
        };
        let id = table.schema.as_ref().map(|schema| schema.id);
        // A refused series stays without a key, and is asked for again when it comes again.
        if let Err(refusal) =
            self.writer.hold_series(id, key.as_ref(), (&table.name, &series.tags), number, &mut self.begun)?
        {
            return Ok(Err(refusal));
        }
        let series = self.state.index.get_mut(number);
        series.key = key;
        series.version = version.unwrap_or_default();
        Ok(Ok(()))
    }

    fn check_name(&self, name: &SeriesName<'_>) -> Result<(), RowFault> {
        let limits = self.writer.limits();
        let is_name = |name: &Cow<'_, str>| (1..=limits.name_bytes_max).contains(&name.len());
        if let Some(bad) =
            std::iter::once(&name.table).chain(name.tags.iter().map(|(tag, _)| tag)).find(|name| !is_name(name))
        {
            let text =
                format!("a table or tag name has {} bytes, 1 to {} are accepted", bad.len(), limits.name_bytes_max);
            return Err(RowFault::new(RowReason::InvalidName, text));
        }
        if name.tags.len() > limits.tags_max {
            let text = format!("{} tags, at most {} are accepted", name.tags.len(), limits.tags_max);
            return Err(RowFault::new(RowReason::TooManyColumns, text));
        }
        let bytes: usize = name.tags.iter().map(|(tag, value)| tag.len() + value.len()).sum();
        let longest = name.tags.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
        if bytes > limits.tag_bytes_max || longest > limits.tag_value_bytes_max {
            let text = format!(
                "tags of {bytes} bytes, a value of {longest} bytes: at most {} and {} are accepted",
                limits.tag_bytes_max, limits.tag_value_bytes_max
            );
            return Err(RowFault::new(RowReason::TooLong, text));
        }
        Ok(())
    }
}

/// Whether the table has all tags of a series.
fn has_all_tags(table: &TableRows, series: &KnownSeries) -> Result<bool, RowFault> {
    let mut has_all = table.schema.is_some();
    for (tag, _) in &series.tags {
        has_all &= table.check_tag(tag)?;
    }
    if !has_all {
        table.check_room(series.tags.iter().map(|(tag, _)| &**tag))?;
    }
    Ok(has_all)
}

/// The key of a series in its table; `None` when the table lacks one of its tags.
pub(super) fn series_key(schema: &TableSchema, series: &KnownSeries) -> Option<SeriesKey> {
    let mut values = vec![None; schema.tags.len()];
    for (name, value) in &series.tags {
        values[schema.tag_index(name)?] = Some(value.as_bytes());
    }
    Some(SeriesKey::from_tags(values))
}
