//! What each column of the files becomes in the table: its time, a tag, a field, or nothing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::epoch::can_be_time;
use crate::shell::cli::ImportArgs;
use crate::shell::error::{CommandError, Result};
use crate::{Database, Dedup, ErrorKind, FieldType, SchemaMode, TableSchema, TableSpec};

/// Names that a time column bears, when no column has a timestamp type.
const TIME_NAMES: [&str; 5] = ["time", "timestamp", "ts", "datetime", "date"];

/// The columns of the table and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Column of the files that holds the time.
    pub(super) time_source: String,
    /// Its name in the table.
    pub(super) time: String,
    /// Tags that are the same in every row of a file.
    pub(super) constants: Vec<String>,
    /// Tags that are columns of the files.
    pub(super) tags: Vec<String>,
    /// Fields.
    pub(super) fields: Vec<(String, FieldType)>,
}

impl Layout {
    /// Decides by what was asked for, by the table when it exists, and by the columns. `looks_like_tag` is asked about
    /// text columns of which neither of the former says anything.
    pub(super) fn choose(
        args: &ImportArgs,
        columns: &[Arc<Field>],
        table: Option<&TableSchema>,
        looks_like_tag: impl Fn(&Field) -> bool,
    ) -> Result<Self> {
        let time_source = choose_time(args, columns, table)?;
        let constants: Vec<String> = args
            .tag_from_path
            .iter()
            .map(|(name, _)| name)
            .chain(args.tag.iter().map(|(name, _)| name))
            .cloned()
            .collect();
        for (index, name) in constants.iter().enumerate() {
            if constants[..index].contains(name) || columns.iter().any(|column| column.name() == name) {
                return Err(CommandError::input(format!(
                    "tag '{name}' is given twice, or is a column of the files too"
                )));
            }
        }
        for name in args.tags.iter().flatten().chain(args.fields.iter().flatten()).filter(|name| !name.is_empty()) {
            if !columns.iter().any(|column| column.name() == name) {
                return Err(unknown_column(name, columns));
            }
        }
        let is_tag = |column: &Field| match (&args.tags, table) {
            (_, Some(table)) if table.tag_index(column.name()).is_some() => true,
            (_, Some(table)) if table.field_index(column.name()).is_some() => false,
            (Some(tags), _) => tags.contains(column.name()),
            (None, _) => is_text(column.data_type()) && looks_like_tag(column),
        };
        let mut layout = Self {
            time: table.map_or_else(|| time_source.clone(), |table| table.time.name.clone()),
            time_source,
            constants,
            tags: Vec::new(),
            fields: Vec::new(),
        };
        for column in columns.iter().filter(|column| *column.name() != layout.time_source) {
            if is_tag(column) {
                layout.tags.push(column.name().clone());
            } else if args.fields.as_ref().is_none_or(|fields| fields.contains(column.name())) {
                let known = table.and_then(|table| Some(table.fields[table.field_index(column.name())?].field_type));
                let field_type = known.map_or_else(|| field_type(column), Ok)?;
                layout.fields.push((column.name().clone(), field_type));
            }
        }
        if let Some(order) = &args.tags {
            // The order of tags is the sort order of series, so the one that was asked for counts.
            layout.tags.sort_by_key(|name| order.iter().position(|tag| tag == name));
        }
        if layout.fields.is_empty() {
            return Err(CommandError::input("no column is left to be a field: see --tags and --fields"));
        }
        Ok(layout)
    }

    /// Makes the table what the layout needs; whether it was created is returned with it.
    pub(super) fn apply(&self, database: &Database, name: &str, dedup: Dedup) -> Result<(Arc<TableSchema>, bool)> {
        let tags: Vec<String> = self.constants.iter().chain(&self.tags).cloned().collect();
        let Some(table) = find_table(database, name)? else {
            let mut spec = TableSpec::new(name).time(&self.time);
            spec.tags = tags;
            spec.fields = self.fields.clone();
            spec.options.dedup = dedup;
            return Ok((database.create_table(&spec)?, true));
        };
        let new_tags: Vec<String> = tags.into_iter().filter(|tag| table.tag_index(tag).is_none()).collect();
        let new_fields: Vec<_> =
            self.fields.iter().filter(|(name, _)| table.field_index(name).is_none()).cloned().collect();
        if new_tags.is_empty() && new_fields.is_empty() {
            return Ok((table, false));
        }
        if table.options.schema_mode == SchemaMode::Strict {
            let names: Vec<&str> =
                new_tags.iter().chain(new_fields.iter().map(|(name, _)| name)).map(String::as_str).collect();
            return Err(CommandError::input(format!(
                "table '{name}' is strict and has no column {}: choose columns with --fields",
                names.join(", ")
            )));
        }
        let extended = database.engine().add_columns(table.id, &new_tags, &new_fields).map_err(crate::Error::from)?;
        Ok((extended, false))
    }

    /// The decision in words.
    pub(super) fn describe(&self) -> String {
        let tags: Vec<&str> = self.constants.iter().chain(&self.tags).map(String::as_str).collect();
        let fields: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_str()).collect();
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("time {}; tags {}; fields {}", self.time, list(&tags), list(&fields))
    }
}

/// The table, when it exists.
pub(super) fn find_table(database: &Database, name: &str) -> Result<Option<Arc<TableSchema>>> {
    match database.table(name) {
        Ok(table) => Ok(Some(table)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn choose_time(args: &ImportArgs, columns: &[Arc<Field>], table: Option<&TableSchema>) -> Result<String> {
    let find = |name: &str| columns.iter().find(|column| column.name().eq_ignore_ascii_case(name));
    let column = match (&args.time, table) {
        (Some(name), _) => {
            columns.iter().find(|column| column.name() == name).ok_or_else(|| unknown_column(name, columns))?
        }
        (None, Some(table)) if find(&table.time.name).is_some_and(|column| can_be_time(column.data_type())) => {
            find(&table.time.name).ok_or_else(|| unknown_column(&table.time.name, columns))?
        }
        (None, _) => columns
            .iter()
            .find(|column| matches!(column.data_type(), DataType::Timestamp(_, _)))
            .or_else(|| TIME_NAMES.iter().find_map(|name| find(name)))
            .ok_or_else(|| {
                CommandError::input(format!(
                    "no column looks like a time: name one with --time; the columns are {}",
                    names(columns)
                ))
            })?,
    };
    if can_be_time(column.data_type()) {
        Ok(column.name().clone())
    } else {
        Err(CommandError::input(format!("column '{}' is {} and cannot be the time", column.name(), column.data_type())))
    }
}

fn unknown_column(name: &str, columns: &[Arc<Field>]) -> CommandError {
    CommandError::input(format!("no column is called '{name}'; the columns are {}", names(columns)))
}

fn names(columns: &[Arc<Field>]) -> String {
    columns.iter().map(|column| column.name().as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether a column holds text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_text(value),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

fn field_type(column: &Field) -> Result<FieldType> {
    Ok(match column.data_type() {
        text if is_text(text) => FieldType::String,
        DataType::Boolean => FieldType::Bool,
        DataType::UInt64 => FieldType::U64,
        number if number.is_integer() => FieldType::I64,
        number if number.is_numeric() => FieldType::F64,
        // A second time of a row is kept as nanoseconds.
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => FieldType::I64,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            FieldType::Binary
        }
        // A column without any value; text can hold what may come later.
        DataType::Null => FieldType::String,
        other => {
            return Err(CommandError::input(format!(
                "column '{}' is {other}, which no field can hold: choose columns with --fields",
                column.name()
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;
    use clap::Parser;

    use super::*;
    use crate::shell::cli::{Cli, Subcommands};

    fn args(options: &str) -> ImportArgs {
        let line = format!("tsq import db f.csv --table t {options}");
        match Cli::parse_from(line.split_whitespace()).command {
            Some(Subcommands::Import(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    fn columns() -> Vec<Arc<Field>> {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        [
            ("id", DataType::Int64),
            ("host", dictionary),
            ("message", DataType::Utf8),
            ("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ("value", DataType::Float32),
        ]
        .into_iter()
        .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
        .collect()
    }

    fn is_dictionary(column: &Field) -> bool {
        matches!(column.data_type(), DataType::Dictionary(..))
    }

    #[test]
    fn types_decide_when_nothing_is_said() {
        let layout = Layout::choose(&args(""), &columns(), None, is_dictionary).unwrap();
        assert_eq!(layout.time, "at");
        assert_eq!(layout.tags, ["host"]);
        let fields = [("id", FieldType::I64), ("message", FieldType::String), ("value", FieldType::F64)];
        assert_eq!(layout.fields, fields.map(|(name, field_type)| (name.to_owned(), field_type)));
    }

    #[test]
    fn options_decide_first() {
        let options = args("--time id --tags message,host --fields value --tag site=x --tag-from-path file=stem");
        let layout = Layout::choose(&options, &columns(), None, is_dictionary).unwrap();
        assert_eq!(layout.time_source, "id");
        assert_eq!(layout.constants, ["file", "site"]);
        assert_eq!(layout.tags, ["message", "host"]);
        assert_eq!(layout.fields, [("value".to_owned(), FieldType::F64)]);
        assert!(Layout::choose(&args("--tags="), &columns(), None, is_dictionary).unwrap().tags.is_empty());
    }

    #[test]
    fn the_table_decides_about_its_columns() {
        let spec = TableSpec::new("t").time("time").tag("message").field("host", FieldType::String);
        let table = TableSchema::from_spec(lynxstore_storage::types::TableId(1), &spec).unwrap();
        let layout = Layout::choose(&args(""), &columns(), Some(&table), is_dictionary).unwrap();
        assert_eq!((layout.time_source.as_str(), layout.time.as_str()), ("at", "time"));
        assert_eq!(layout.tags, ["message"]);
        assert!(layout.fields.contains(&("host".into(), FieldType::String)));
    }

    #[test]
    fn mistakes_name_the_columns() {
        let error =
            |options: &str| Layout::choose(&args(options), &columns(), None, is_dictionary).unwrap_err().to_string();
        assert_eq!(error("--time when"), "no column is called 'when'; the columns are id, host, message, at, value");
        assert!(error("--tags nope").contains("'nope'"));
        assert!(error("--tag host=a").contains("given twice"));
        assert!(error("--fields host").contains("no column is left"));
        let no_time: Vec<_> = columns().into_iter().filter(|column| column.name() != "at").collect();
        let error = Layout::choose(&args(""), &no_time, None, is_dictionary).unwrap_err().to_string();
        assert!(error.contains("--time"), "{error}");
    }
}
