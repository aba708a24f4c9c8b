//! Matches the columns of a record batch with those of a table and brings them to the table's types.
//!
//! A column never changes its type silently: an integer goes into an F64 field, text of any Arrow layout into a string
//! field or a tag, a timestamp of any unit into the time column. Everything else is refused with the reason.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow_buffer::ScalarBuffer;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;
use hashbrown::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::types::{ColumnId, FieldType, TableSchema};

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow_cast::display::FormatOptions::new() };

/// The columns of a batch in the types of the table.
pub(super) struct TableColumns {
    pub(super) times: ScalarBuffer<i64>,
    /// In the order of the table's tags; `None` where the batch has no such column.
    pub(super) tags: Vec<Option<TagCodes>>,
    pub(super) fields: Vec<(ColumnId, ArrayRef)>,
}

/// A tag column as codes into distinct values.
pub(super) struct TagCodes {
    /// Per row a position in `values`, or `values.len()` for NULL.
    pub(super) codes: ScalarBuffer<u32>,
    pub(super) values: StringArray,
}

/// Resolves the columns of `batch`.
pub(super) fn resolve(schema: &TableSchema, batch: &RecordBatch) -> Result<TableColumns> {
    let mut times = None;
    let mut tags: Vec<Option<TagCodes>> = schema.tags.iter().map(|_| None).collect();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut names = HashSet::with_capacity(batch.num_columns());
    for (column, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let name = column.name();
        if !names.insert(name) {
            return Err(Error::invalid(format!("the batch has two columns named '{name}': rename or drop one")));
        }
        if *name == schema.time.name {
            times = Some(time_column(schema, name, array)?);
        } else if let Some(tag) = schema.tag_index(name) {
            tags[tag] = Some(tag_column(schema, name, array)?);
        } else if let Some(field) = schema.field_index(name) {
            let field = &schema.fields[field];
            if array.null_count() < array.len() {
                fields.push((field.id, field_column(schema, name, field.field_type, array)?));
            }
        } else {
            return Err(Error::invalid(format!(
                "table '{}' has no column '{name}': add it with ALTER TABLE, or leave it out of the batch",
                schema.name
            )));
        }
    }
    let times = times.ok_or_else(|| {
        Error::invalid(format!("the batch lacks the time column '{}' of table '{}'", schema.time.name, schema.name))
    })?;
    Ok(TableColumns { times, tags, fields })
}

fn time_column(schema: &TableSchema, name: &str, array: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    if array.null_count() > 0 {
        let row = (0..array.len()).find(|&row| array.is_null(row)).unwrap_or(0);
        return Err(Error::invalid(format!(
            "row {row} has no time: column '{name}' of table '{}' is NULL",
            schema.name
        )));
    }
    match array.data_type() {
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => {
            let nanoseconds = cast_with_options(array, &TableSchema::time_type(), &STRICT).map_err(|error| {
                Error::invalid(format!("a time in column '{name}' does not fit nanoseconds since 1970: {error}"))
            })?;
            Ok(nanoseconds.as_primitive::<TimestampNanosecondType>().values().clone())
        }
        DataType::Int64 => Ok(array.as_primitive::<Int64Type>().values().clone()),
        other => Err(Error::invalid(format!(
            "column '{name}' is {other}: the time of table '{}' must be a timestamp, or nanoseconds since 1970 as Int64",
            schema.name
        ))),
    }
}

fn tag_column(schema: &TableSchema, name: &str, array: &ArrayRef) -> Result<TagCodes> {
    let text = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    if !matches!(text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null) {
        return Err(Error::invalid(format!(
            "column '{name}' is {}: tags of table '{}' are text; cast it",
            array.data_type(),
            schema.name
        )));
    }
    let was_dictionary = matches!(array.data_type(), DataType::Dictionary(_, _));
    let array = cast_with_options(array, &TableSchema::tag_type(), &STRICT)
        .map_err(|error| Error::invalid(format!("tag '{name}' cannot be read as text: {error}")))?;
    let dictionary: &DictionaryArray<Int32Type> = array.as_dictionary();
    let values = dictionary.values().as_string::<i32>().clone();
    let null_code = values.len() as u32;
    let keys = dictionary.keys();
    let codes = if keys.null_count() == 0 && values.null_count() == 0 {
        // The same bytes: a key that is there is not negative.
        ScalarBuffer::from(keys.values().inner().clone())
    } else {
        (0..keys.len())
            .map(|row| match keys.is_valid(row) {
                true if values.is_valid(keys.value(row) as usize) => keys.value(row) as u32,
                _ => null_code,
            })
            .collect()
    };
    let mut tag = TagCodes { codes, values };
    if was_dictionary {
        tag.merge_repeated_values();
    }
    Ok(tag)
}

impl TagCodes {
    /// A dictionary from outside may hold one value under two codes; gives both the first code, so that codes are equal
    /// where values are.
    fn merge_repeated_values(&mut self) {
        let mut first_codes = HashMap::with_capacity(self.values.len());
        let canonical: Vec<u32> = (0..self.values.len())
            .map(|code| *first_codes.entry(self.values.value(code)).or_insert(code as u32))
            .collect();
        if first_codes.len() < canonical.len() {
            let first_code = |code: &u32| canonical.get(*code as usize).copied().unwrap_or(*code);
            self.codes = self.codes.iter().map(first_code).collect();
        }
    }
}

fn field_column(schema: &TableSchema, name: &str, field_type: FieldType, array: &ArrayRef) -> Result<ArrayRef> {
    let wanted = field_type.arrow_type();
    let given = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    if *array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    let lossless = match field_type {
        FieldType::F64 => given.is_integer() || matches!(given, DataType::Float16 | DataType::Float32),
        FieldType::I64 => {
            given.is_signed_integer() || matches!(given, DataType::UInt8 | DataType::UInt16 | DataType::UInt32)
        }
        FieldType::U64 => given.is_unsigned_integer(),
        FieldType::Bool => false,
        FieldType::String => matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        FieldType::Binary => {
            matches!(
                given,
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
            )
        }
    };
    if !lossless && *given != wanted {
        return Err(Error::invalid(format!(
            "column '{name}' is {given}, field '{name}' of table '{}' is {wanted}: cast it before writing",
            schema.name
        )));
    }
    cast_with_options(array, &wanted, &STRICT)
        .map_err(|error| Error::invalid(format!("column '{name}' does not fit {wanted}: {error}")))
}
