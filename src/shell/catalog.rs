//! Tables as text: the statement that makes one, and the list of all.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use lynxstore_query::sql_type;
use lynxstore_storage::types::{Dedup, SchemaMode, TableOptions, TableSchema};

/// A name as SQL reads it back: in quotes unless it is plain lower case.
pub(super) fn quote_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A name with its namespace unless that is the default one.
pub(super) fn table_name(schema: &TableSchema) -> String {
    match schema.namespace.as_str() {
        "public" => quote_name(&schema.name),
        namespace => format!("{}.{}", quote_name(namespace), quote_name(&schema.name)),
    }
}

/// The `CREATE TABLE` statement of a table.
pub(super) fn create_statement(schema: &TableSchema) -> String {
    let mut columns = vec![format!("{} TIMESTAMP TIME", quote_name(&schema.time.name))];
    columns.extend(schema.tags.iter().map(|tag| format!("{} TEXT TAG", quote_name(&tag.name))));
    columns.extend(
        schema.fields.iter().map(|field| format!("{} {}", quote_name(&field.name), sql_type(field.field_type))),
    );
    let mut options = Vec::new();
    match schema.options.dedup {
        Dedup::Last => {}
        Dedup::First => options.push("dedup = 'first'"),
        Dedup::Off => options.push("dedup = 'off'"),
    }
    if schema.options.schema_mode == SchemaMode::Strict {
        options.push("schema = 'strict'");
    }
    let partition = format!("partition = '{}s'", schema.options.partition_ns / 1_000_000_000);
    if schema.options.partition_ns != TableOptions::default().partition_ns {
        options.push(&partition);
    }
    let retention = schema.options.retention_ns.map(|retention_ns| format!("retention = '{retention_ns}ns'"));
    options.extend(retention.as_deref());
    let options = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
    format!("CREATE TABLE {} (\n  {}\n){options};", table_name(schema), columns.join(",\n  "))
}

/// One row per table: name, time column, tags, fields.
pub(super) fn table_list(tables: &[Arc<TableSchema>]) -> RecordBatch {
    let column = |text: &dyn Fn(&TableSchema) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(tables.iter().map(|schema| text(schema))))
    };
    let joined = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>().join(", ");
    RecordBatch::try_from_iter([
        ("table", column(&table_name)),
        ("time", column(&|schema| schema.time.name.clone())),
        ("tags", column(&|schema| joined(&mut schema.tags.iter().map(|tag| &tag.name)))),
        ("fields", column(&|schema| joined(&mut schema.fields.iter().map(|field| &field.name)))),
    ])
    .expect("every column has one value per table")
}

#[cfg(test)]
mod tests {
    use lynxstore_storage::types::{FieldType, TableId, TableSpec};

    use super::*;

    #[test]
    fn the_statement_names_every_column_and_unusual_option() {
        let spec = TableSpec::new("CPU load")
            .time("ts")
            .tag("host")
            .field("user", FieldType::I64)
            .options(TableOptions { dedup: Dedup::Off, ..TableOptions::default() });
        let schema = TableSchema::from_spec(TableId(1), &spec).unwrap();
        assert_eq!(
            create_statement(&schema),
            "CREATE TABLE \"CPU load\" (\n  ts TIMESTAMP TIME,\n  host TEXT TAG,\n  user BIGINT\n) WITH (dedup = 'off');"
        );
    }
}
