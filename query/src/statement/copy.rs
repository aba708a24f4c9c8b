//! `COPY`: files into tables and results into files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::types::TableSchema;
use sqlparser::ast::Query;

use super::query_engine::Run;
use crate::error::{Error, Result};
use crate::files::{FileFormat, FileSet, FileWriter, Header, ReadOptions, WriteOptions};
use crate::options::FileAccess;
use crate::output::{QueryOutput, ResultPart};
use crate::sql::{CopyOptions, CopySource, TableName};

/// Rows of one commit of COPY FROM: large enough for the log to be busy, small enough for memory.
const ROWS_PER_COMMIT: usize = 64 * 1024;

impl Run<'_> {
    /// `COPY t FROM 'file'`: every commit is durable; a failure keeps those before it.
    pub(super) fn copy_from(&self, table: &TableName, path: &str, options: &CopyOptions) -> Result<QueryOutput> {
        self.check_access(path)?;
        let table = self.table(&self.snapshot(), table)?;
        let schema = table.schema();
        let read = ReadOptions {
            header: header(options),
            delimiter: options.delimiter.map(|delimiter| delimiter as u8),
            types: column_types(schema),
            ..ReadOptions::default()
        };
        let set = FileSet::open(path, format(options)?, &read)?;
        let target = target_schema(schema, set.schema())?;
        let mut rows = 0;
        let mut pending: Vec<RecordBatch> = Vec::new();
        let mut pending_rows = 0;
        for batch in set.batches() {
            self.cancellation.check()?;
            let batch = batch?;
            pending_rows += batch.num_rows();
            pending.push(RecordBatch::try_new(Arc::clone(&target), batch.columns().to_vec()).map_err(Error::arrow)?);
            if pending_rows >= ROWS_PER_COMMIT {
                rows += self.write_batch(schema, &concat_batches(&target, &pending).map_err(Error::arrow)?)?;
                pending.clear();
                pending_rows = 0;
            }
        }
        if pending_rows > 0 {
            rows += self.write_batch(schema, &concat_batches(&target, &pending).map_err(Error::arrow)?)?;
        }
        Ok(QueryOutput::done(Some(rows)))
    }

    /// `COPY ... TO 'file'`: the file is there whole or not at all.
    pub(super) fn copy_to(&self, source: &CopySource, path: &str, options: &CopyOptions) -> Result<QueryOutput> {
        self.check_access(path)?;
        let query: Box<Query> = match source {
            CopySource::Query(query) => query.clone(),
            CopySource::Table(table) => {
                let namespace = self.namespace(table);
                let name = self.table(&self.snapshot(), table)?.schema().name.clone();
                match crate::sql::parse_statement(
                    &format!("SELECT * FROM {}.{}", quoted(namespace), quoted(&name)),
                    &self.shared.options.sql,
                )? {
                    crate::sql::Statement::Query(query) => query,
                    _ => return Err(Error::execution("a table became another statement")),
                }
            }
        };
        let target = Path::new(path);
        let format = match format(options)? {
            Some(format) => format,
            None => FileFormat::from_path(target)?,
        };
        let write =
            WriteOptions { header: header(options), delimiter: options.delimiter.map(|delimiter| delimiter as u8) };
        let mut writer = None;
        self.stream(&query, &mut |part| {
            match part {
                ResultPart::Columns(schema) => writer = Some(FileWriter::create(target, format, write, &schema)?),
                ResultPart::Rows(batch) => match &mut writer {
                    Some(writer) => writer.write(&batch)?,
                    None => return Err(Error::execution("rows came before their columns")),
                },
            }
            Ok(())
        })?;
        match writer {
            Some(writer) => Ok(QueryOutput::done(Some(writer.finish()?.rows))),
            None => Err(Error::execution("a result came without columns")),
        }
    }

    fn check_access(&self, path: &str) -> Result<()> {
        match self.shared.options.file_access {
            FileAccess::Allowed => Ok(()),
            FileAccess::Denied => Err(Error::FileAccessDenied { path: path.to_owned() }),
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn format(options: &CopyOptions) -> Result<Option<FileFormat>> {
    match &options.format {
        None => Ok(None),
        Some(name) => match FileFormat::from_name(name) {
            Some(format) => Ok(Some(format)),
            None => Err(Error::plan(format!("FORMAT {name} is unknown: use csv, tsv or parquet"))),
        },
    }
}

fn header(options: &CopyOptions) -> Header {
    match options.header {
        None => Header::default(),
        Some(true) => Header::Present,
        Some(false) => Header::Absent,
    }
}

/// The types of the table's columns, so that text files are read as what they will be.
fn column_types(schema: &TableSchema) -> HashMap<String, DataType> {
    let types = schema.arrow_schema();
    let types = types.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Dictionary(_, value) => (**value).clone(),
            other => other.clone(),
        };
        (field.name().clone(), data_type)
    });
    types.collect()
}

/// The file's columns under the names of the table: by name, in any case.
fn target_schema(schema: &TableSchema, file: &Schema) -> Result<Arc<Schema>> {
    let table = schema.arrow_schema();
    let fields = file.fields().iter().map(|field| {
        let exact = table.fields().iter().find(|known| known.name() == field.name());
        let found = exact.or_else(|| table.fields().iter().find(|known| known.name().eq_ignore_ascii_case(field.name())));
        match found {
            Some(known) => Ok(field.as_ref().clone().with_name(known.name())),
            None => Err(Error::plan(format!(
                "the file has a column '{}' that table '{}' has not: select the columns with INSERT INTO {} SELECT ... FROM the file",
                field.name(),
                schema.name,
                schema.name
            ))),
        }
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    for (position, field) in fields.iter().enumerate() {
        if fields[..position].iter().any(|other| other.name() == field.name()) {
            return Err(Error::plan(format!(
                "two columns of the file go into column '{}': select the columns with INSERT INTO {} SELECT ... FROM the file",
                field.name(),
                schema.name
            )));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}
