//! Tables as text: the statement that makes one, and the list of all.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array};
use lynxstore_query::sql_type;
use lynxstore_storage::engine::TierInfo;
use lynxstore_storage::types::{Dedup, SchemaMode, Setting, TableOptions, TableSchema};

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
    let tiers = &schema.options.tiers;
    let tiers = [
        option_text("hot_for", &tiers.hot_for_ns, |age_ns| format!("{age_ns}ns")),
        option_text("warm_for", &tiers.warm_for_ns, |age_ns| format!("{age_ns}ns")),
        option_text("cold", &tiers.cold, |url| url.replace('\'', "''")),
    ];
    options.extend(tiers.iter().flatten().map(String::as_str));
    let options = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
    format!("CREATE TABLE {} (\n  {}\n){options};", table_name(schema), columns.join(",\n  "))
}

/// An option as it stands in a statement; `None` when the table leaves it open.
fn option_text<T>(name: &str, setting: &Setting<T>, text: impl FnOnce(&T) -> String) -> Option<String> {
    match setting {
        Setting::Default => None,
        Setting::Off => Some(format!("{name} = 'off'")),
        Setting::Set(value) => Some(format!("{name} = '{}'", text(value))),
    }
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

/// One row per table and tier: what it has there.
pub(super) fn tier_list(tables: &[Arc<TableSchema>], tiers: &[TierInfo]) -> RecordBatch {
    let rows: Vec<(&TableSchema, &TierInfo)> = tables
        .iter()
        .flat_map(|table| tiers.iter().filter(|tier| tier.table == table.id).map(move |tier| (&**table, tier)))
        .collect();
    let count = |count: &dyn Fn(&TierInfo) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| count(row.1))))
    };
    let time = |time: &dyn Fn(&TierInfo) -> i64| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| time(row.1))))
    };
    let compression = rows.iter().map(|(_, tier)| tier.raw_bytes as f64 / tier.bytes.max(1) as f64);
    RecordBatch::try_from_iter([
        ("table", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| table_name(row.0)))) as ArrayRef),
        ("tier", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1.tier.name())))),
        ("partitions", count(&|tier| tier.partitions)),
        ("segments", count(&|tier| tier.segments)),
        ("rows", count(&|tier| tier.rows)),
        ("bytes", count(&|tier| tier.bytes)),
        ("compression", Arc::new(Float64Array::from_iter_values(compression))),
        ("oldest", time(&|tier| tier.time_range.start_ns)),
        ("newest", time(&|tier| tier.time_range.end_ns)),
    ])
    .expect("every column has one value per table and tier")
}

#[cfg(test)]
mod tests {
    use lynxstore_storage::types::{FieldType, TableId, TableSpec, TierPolicy};

    use super::*;

    #[test]
    fn the_statement_names_every_column_and_unusual_option() {
        let spec =
            TableSpec::new("CPU load").time("ts").tag("host").field("user", FieldType::I64).options(TableOptions {
                dedup: Dedup::Off,
                tiers: TierPolicy { hot_for_ns: Setting::Set(7), warm_for_ns: Setting::Off, ..TierPolicy::default() },
                ..TableOptions::default()
            });
        let schema = TableSchema::from_spec(TableId(1), &spec).unwrap();
        assert_eq!(
            create_statement(&schema),
            "CREATE TABLE \"CPU load\" (\n  ts TIMESTAMP TIME,\n  host TEXT TAG,\n  user BIGINT\n) WITH (dedup = 'off', hot_for = '7ns', warm_for = 'off');"
        );
    }
}
