//! The schema of a table as bytes, the same in the manifest and in segments. Format: `docs/format/manifest.md`.
//!
//! Decoding is for untrusted bytes: vectors grow with what is there, not with what is announced.

use std::collections::BTreeSet;

use super::{ByteReader, ByteWriter, decode_tier_policy, encode_tier_policy};
use crate::types::{
    ColumnId, Dedup, FieldColumn, FieldType, SchemaMode, TableId, TableOptions, TableSchema, TagColumn, TierPolicy,
    TimeColumn,
};

/// Added to the code of the schema mode when a tier policy stands behind the fields. A table without one has the bytes of
/// before there were tiers.
const HAS_TIER_POLICY: u8 = 128;

/// Appends `schema`.
pub(crate) fn encode_schema(schema: &TableSchema, out: &mut ByteWriter) {
    out.u64(schema.id.0);
    out.text(&schema.namespace);
    out.text(&schema.name);
    out.u8(match schema.options.dedup {
        Dedup::Last => 0,
        Dedup::First => 1,
        Dedup::Off => 2,
    });
    let mode = match schema.options.schema_mode {
        SchemaMode::Evolving => 0,
        SchemaMode::Strict => 1,
    };
    let has_tier_policy = schema.options.tiers != TierPolicy::default();
    out.u8(mode | if has_tier_policy { HAS_TIER_POLICY } else { 0 });
    out.i64(schema.options.partition_ns);
    // A retention is positive: zero stands for none.
    out.i64(schema.options.retention_ns.unwrap_or(0));
    out.u32(schema.version);
    out.u32(schema.next_column_id.0);
    out.u32(schema.time.id.0);
    out.text(&schema.time.name);
    out.u32(u32::try_from(schema.tags.len()).expect("column ids are u32"));
    for tag in &schema.tags {
        out.u32(tag.id.0);
        out.text(&tag.name);
    }
    out.u32(u32::try_from(schema.fields.len()).expect("column ids are u32"));
    for field in &schema.fields {
        out.u32(field.id.0);
        out.u8(field.field_type.code());
        out.text(&field.name);
    }
    if has_tier_policy {
        encode_tier_policy(&schema.options.tiers, out);
    }
}

/// Reads what [`encode_schema`] appended; `None` when the bytes are anything else.
pub(crate) fn decode_schema(reader: &mut ByteReader<'_>) -> Option<TableSchema> {
    let id = TableId(reader.u64()?);
    let namespace = reader.text()?.to_owned();
    let name = reader.text()?.to_owned();
    let dedup = match reader.u8()? {
        0 => Dedup::Last,
        1 => Dedup::First,
        2 => Dedup::Off,
        _ => return None,
    };
    let mode = reader.u8()?;
    let schema_mode = match mode & !HAS_TIER_POLICY {
        0 => SchemaMode::Evolving,
        1 => SchemaMode::Strict,
        _ => return None,
    };
    let partition_ns = reader.i64().filter(|width| *width >= 1)?;
    let retention_ns = match reader.i64()? {
        0 => None,
        retention_ns if retention_ns > 0 => Some(retention_ns),
        _ => return None,
    };
    let version = reader.u32()?;
    let next_column_id = ColumnId(reader.u32()?);
    let time = TimeColumn { id: ColumnId(reader.u32()?), name: reader.text()?.to_owned() };
    let mut tags = Vec::new();
    for _ in 0..reader.u32()? {
        tags.push(TagColumn { id: ColumnId(reader.u32()?), name: reader.text()?.to_owned() });
    }
    let mut fields = Vec::new();
    for _ in 0..reader.u32()? {
        let id = ColumnId(reader.u32()?);
        let field_type = FieldType::from_code(reader.u8()?)?;
        fields.push(FieldColumn { id, field_type, name: reader.text()?.to_owned() });
    }
    let tiers = if mode & HAS_TIER_POLICY == 0 { TierPolicy::default() } else { decode_tier_policy(reader)? };
    let options = TableOptions { dedup, schema_mode, partition_ns, retention_ns, tiers };
    let schema = TableSchema { id, namespace, name, time, tags, fields, options, version, next_column_id };
    has_sound_columns(&schema).then_some(schema)
}

/// Whether ids and names of columns are distinct and the ids below the next one.
fn has_sound_columns(schema: &TableSchema) -> bool {
    let columns = || {
        let tags = schema.tags.iter().map(|tag| (tag.id, tag.name.as_str()));
        let fields = schema.fields.iter().map(|field| (field.id, field.name.as_str()));
        std::iter::once((schema.time.id, schema.time.name.as_str())).chain(tags).chain(fields)
    };
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    !schema.name.is_empty()
        && !schema.namespace.is_empty()
        && columns()
            .all(|(id, name)| id < schema.next_column_id && !name.is_empty() && ids.insert(id) && names.insert(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Setting, TableSpec};

    fn schema() -> TableSchema {
        let spec = TableSpec::new("cpu").tag("host").tag("région").field("usage", FieldType::F64);
        let spec = spec.field("note", FieldType::String).options(TableOptions {
            dedup: Dedup::Off,
            schema_mode: SchemaMode::Strict,
            partition_ns: 5,
            retention_ns: Some(7),
            tiers: TierPolicy {
                hot_for_ns: Setting::Set(7),
                warm_for_ns: Setting::Off,
                cold: Setting::Set("s3://bucket/x".into()),
            },
        });
        TableSchema::from_spec(TableId(9), &spec).unwrap()
    }

    #[test]
    fn a_schema_round_trips() {
        let mut out = ByteWriter::default();
        encode_schema(&schema(), &mut out);
        let mut reader = ByteReader::new(&out.bytes);
        assert_eq!(decode_schema(&mut reader), Some(schema()));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn a_schema_without_a_tier_policy_has_the_bytes_of_before_there_were_tiers() {
        let mut schema = schema();
        let encoded = |schema: &TableSchema| {
            let mut out = ByteWriter::default();
            encode_schema(schema, &mut out);
            out.bytes
        };
        let with_policy = encoded(&schema);
        schema.options.tiers = TierPolicy::default();
        let without = encoded(&schema);
        // Behind id, namespace, name and the rule for duplicates.
        let mode = 8 + (4 + 6) + (4 + 3) + 1;
        assert_eq!((without[mode], with_policy[mode]), (1, 129));
        assert_eq!(without[mode + 1..], with_policy[mode + 1..without.len()]);
        assert_eq!(decode_schema(&mut ByteReader::new(&without)), Some(schema));
    }

    #[test]
    fn a_schema_cut_anywhere_is_refused() {
        let mut out = ByteWriter::default();
        encode_schema(&schema(), &mut out);
        for len in 0..out.bytes.len() {
            assert_eq!(decode_schema(&mut ByteReader::new(&out.bytes[..len])), None, "{len}");
        }
    }
}
