//! `CREATE TABLE [IF NOT EXISTS] name (column TYPE [TIME | TAG | NULL | NOT NULL], ...) [WITH (option = value, ...)]`.
//!
//! Without markers, plain SQL is understood: the time column is the first TIMESTAMP column, and `PRIMARY KEY (a, time)`
//! or `TAGS (a, b)` names the tags. A text column without a marker is a field.

use lynxstore_storage::types::{Dedup, FieldType, SchemaMode, TableOptions, TableSpec, TierChange};
use sqlparser::ast::DataType;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::interval::parse_interval;
use super::parser::{
    expect, expected, fold_ident, parse_option_value, parse_table_name, syntax_error, take_word, word_at,
};
use super::statement::Statement;
use super::tier_options::{DropAge, take_tier_option};
use crate::error::{Error, Result};

/// What the text says a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnRole {
    Unmarked,
    Time,
    Tag,
}

#[derive(Debug)]
struct ColumnClause {
    name: String,
    data_type: DataType,
    role: ColumnRole,
}

/// Parses from the word CREATE on.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    parser.next_token();
    let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parse_table_name(parser)?;
    if word_at(parser, 0, "AS") {
        return Err(Error::Unsupported {
            what: "CREATE TABLE AS".into(),
            hint: "create the table with its time column and tags, then INSERT INTO it with the query".into(),
        });
    }
    expect(parser, &Token::LParen)?;
    let mut columns = Vec::new();
    let mut tags: Vec<String> = Vec::new();
    loop {
        if word_at(parser, 0, "PRIMARY") && word_at(parser, 1, "KEY") {
            parser.next_token();
            parser.next_token();
            tags.extend(parse_names(parser)?);
        } else if word_at(parser, 0, "TAGS") && parser.peek_nth_token(1).token == Token::LParen {
            parser.next_token();
            tags.extend(parse_names(parser)?);
        } else {
            columns.push(parse_column(parser)?);
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)?;
    let options = if take_word(parser, "WITH") { parse_options(parser)? } else { TableOptions::default() };
    let mut spec = build_spec(name.name, columns, &tags)?;
    spec.options = options;
    // An empty namespace means the one of the query options.
    spec.namespace = name.namespace.unwrap_or_default();
    Ok(Statement::CreateTable { spec: Box::new(spec), if_not_exists })
}

fn parse_names(parser: &mut Parser<'_>) -> Result<Vec<String>> {
    expect(parser, &Token::LParen)?;
    let mut names = Vec::new();
    loop {
        names.push(fold_ident(&parser.parse_identifier().map_err(syntax_error)?));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)?;
    Ok(names)
}

fn parse_column(parser: &mut Parser<'_>) -> Result<ColumnClause> {
    let name = fold_ident(&parser.parse_identifier().map_err(syntax_error)?);
    let data_type = parser.parse_data_type().map_err(syntax_error)?;
    let mut role = ColumnRole::Unmarked;
    loop {
        let marked = if take_word(parser, "TIME") {
            ColumnRole::Time
        } else if take_word(parser, "TAG") {
            ColumnRole::Tag
        } else if parser.parse_keywords(&[Keyword::NOT, Keyword::NULL]) || parser.parse_keyword(Keyword::NULL) {
            // Only the time column is never NULL; the words are accepted so that plain SQL works.
            continue;
        } else if matches!(parser.peek_token().token, Token::Comma | Token::RParen) {
            break;
        } else {
            return expected(parser, "TIME, TAG, NULL, NOT NULL, a comma or a closing bracket");
        };
        if role != ColumnRole::Unmarked {
            return expected(parser, &format!("one marker for column '{name}'"));
        }
        role = marked;
    }
    Ok(ColumnClause { name, data_type, role })
}

fn build_spec(name: String, columns: Vec<ColumnClause>, tags: &[String]) -> Result<TableSpec> {
    let marked = columns.iter().filter(|column| column.role == ColumnRole::Time).count();
    if marked > 1 {
        return Err(Error::plan(format!("table '{name}' has {marked} columns marked TIME: keep one")));
    }
    let time = columns
        .iter()
        .position(|column| column.role == ColumnRole::Time)
        .or_else(|| columns.iter().position(|column| is_timestamp(&column.data_type)))
        .or_else(|| {
            columns.iter().position(|column| {
                ["time", "timestamp", "ts"].contains(&column.name.as_str()) && is_i64(&column.data_type)
            })
        })
        .ok_or_else(|| {
            Error::plan(format!("table '{name}' needs a time column: mark one, as in 'time TIMESTAMP TIME'"))
        })?;
    if !is_timestamp(&columns[time].data_type) && !is_i64(&columns[time].data_type) {
        let (column, data_type) = (&columns[time].name, &columns[time].data_type);
        return Err(Error::plan(format!("time column '{column}' must be TIMESTAMP, not {data_type}")));
    }
    for tag in tags {
        if !columns.iter().any(|column| column.name == *tag) {
            return Err(Error::plan(format!("table '{name}' has no column '{tag}' to be a tag")));
        }
    }
    let mut spec = TableSpec::new(name).time(&columns[time].name);
    // Tags named in a list stand in the order of the list: it is the sort order of series.
    for tag in tags.iter().filter(|tag| **tag != columns[time].name) {
        spec = spec.tag(tag);
    }
    for (index, column) in columns.iter().enumerate() {
        if index == time || tags.contains(&column.name) {
            if index != time {
                check_tag_type(column)?;
            }
        } else if column.role == ColumnRole::Tag {
            check_tag_type(column)?;
            spec = spec.tag(&column.name);
        } else {
            spec = spec.field(&column.name, field_type(&column.name, &column.data_type)?);
        }
    }
    Ok(spec)
}

fn check_tag_type(column: &ColumnClause) -> Result<()> {
    match field_type(&column.name, &column.data_type)? {
        FieldType::String => Ok(()),
        _ => Err(Error::plan(format!("tag '{}' must be TEXT, not {}", column.name, column.data_type))),
    }
}

fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Datetime(_) | DataType::TimestampNtz(_))
}

fn is_i64(data_type: &DataType) -> bool {
    matches!(data_type, DataType::BigInt(_) | DataType::Int64 | DataType::Int8(_))
}

/// The field type that a SQL type means; `name` is that of the column, for the error.
pub(super) fn field_type(name: &str, data_type: &DataType) -> Result<FieldType> {
    Ok(match data_type {
        DataType::Double(_)
        | DataType::DoublePrecision
        | DataType::Float(_)
        | DataType::Float4
        | DataType::Float8
        | DataType::Float32
        | DataType::Float64
        | DataType::Real => FieldType::F64,
        DataType::BigIntUnsigned(_)
        | DataType::UBigInt
        | DataType::UInt64
        | DataType::UInt32
        | DataType::UInt16
        | DataType::UInt8
        | DataType::IntUnsigned(_)
        | DataType::IntegerUnsigned(_)
        | DataType::UnsignedInteger => FieldType::U64,
        DataType::BigInt(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::SmallInt(_)
        | DataType::TinyInt(_)
        | DataType::Int2(_)
        | DataType::Int4(_)
        | DataType::Int8(_)
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64 => FieldType::I64,
        DataType::Bool | DataType::Boolean => FieldType::Bool,
        DataType::Text
        | DataType::String(_)
        | DataType::Varchar(_)
        | DataType::Char(_)
        | DataType::Character(_)
        | DataType::CharVarying(_)
        | DataType::CharacterVarying(_) => FieldType::String,
        DataType::Bytea | DataType::Blob(_) | DataType::Binary(_) | DataType::Varbinary(_) => FieldType::Binary,
        other => {
            return Err(Error::plan(format!(
                "column '{name}' has the type {other}: use DOUBLE, BIGINT, BIGINT UNSIGNED, BOOLEAN, TEXT or BYTEA"
            )));
        }
    })
}

fn parse_options(parser: &mut Parser<'_>) -> Result<TableOptions> {
    let mut options = TableOptions::default();
    let (mut tiers, mut drop_age) = (TierChange::default(), DropAge::default());
    parse_option_list(parser, |name, value| {
        match name {
            "dedup" => {
                options.dedup = match value {
                    "last" => Dedup::Last,
                    "first" => Dedup::First,
                    "off" => Dedup::Off,
                    _ => return Err(wrong_option(name, value, "'last', 'first' or 'off'")),
                }
            }
            "schema" => options.schema_mode = parse_schema_mode(value)?,
            "partition" => {
                options.partition_ns = parse_width(value)
                    .ok_or_else(|| wrong_option(name, value, "a positive width without months, such as '1d'"))?;
            }
            _ if drop_age.take(name, value)? || take_tier_option(&mut tiers, name, value)? => {}
            _ => {
                let message = format!(
                    "unknown table option '{name}': use dedup, partition, schema, retention (or drop_after), hot_for, \
                     warm_for or cold"
                );
                return Err(Error::plan(message));
            }
        }
        Ok(())
    })?;
    options.retention_ns = drop_age.given().flatten();
    options.tiers = options.tiers.changed(&tiers)?;
    Ok(options)
}

/// Reads `(name = value, ...)` and hands each pair on.
pub(super) fn parse_option_list(
    parser: &mut Parser<'_>,
    mut on_option: impl FnMut(&str, &str) -> Result<()>,
) -> Result<()> {
    expect(parser, &Token::LParen)?;
    loop {
        let name = fold_ident(&parser.parse_identifier().map_err(syntax_error)?);
        expect(parser, &Token::Eq)?;
        on_option(&name, &parse_option_value(parser)?)?;
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)
}

/// Fails with what the option takes.
pub(super) fn wrong_option(name: &str, value: &str, expected: &str) -> Error {
    Error::plan(format!("option {name} = '{value}': expected {expected}"))
}

fn parse_width(value: &str) -> Option<i64> {
    parse_interval(value).ok()?.fixed_ns().filter(|width_ns| *width_ns > 0)
}

/// The value of the option `schema`.
pub(super) fn parse_schema_mode(value: &str) -> Result<SchemaMode> {
    match value {
        "evolving" => Ok(SchemaMode::Evolving),
        "strict" => Ok(SchemaMode::Strict),
        _ => Err(wrong_option("schema", value, "'evolving' or 'strict'")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse_text;
    use super::*;

    fn spec(sql: &str) -> TableSpec {
        match parse_text(sql).unwrap() {
            Statement::CreateTable { spec, .. } => *spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn markers_and_options_are_read() {
        let spec = spec(
            "CREATE TABLE IF NOT EXISTS cpu (time TIMESTAMP TIME, host TEXT TAG, region TEXT TAG NOT NULL, usage DOUBLE, \
             n BIGINT, u BIGINT UNSIGNED, ok BOOLEAN, msg TEXT, raw BYTEA) \
             WITH (dedup = 'off', partition = '1h', schema = 'strict')",
        );
        assert_eq!((spec.time.as_str(), spec.tags.len(), spec.fields.len()), ("time", 2, 6));
        assert_eq!(spec.fields[2], ("u".to_owned(), FieldType::U64));
        assert_eq!(spec.options.dedup, Dedup::Off);
        assert_eq!(spec.options.schema_mode, SchemaMode::Strict);
        assert_eq!(spec.options.partition_ns, 3_600_000_000_000);
    }

    #[test]
    fn tiers_and_both_names_of_the_retention_are_read() {
        const DAY_NS: i64 = 86_400_000_000_000;
        let spec = spec(
            "create table t (time timestamp) with (hot_for = '7d', warm_for = '90d', cold = 's3://bucket/prefix', \
             drop_after = '5y', retention = '1825 days')",
        );
        let tiers = &spec.options.tiers;
        assert_eq!(spec.options.retention_ns, Some(5 * 365 * DAY_NS));
        assert_eq!(tiers.hot_for_ns.value(), Some(&(7 * DAY_NS)));
        assert_eq!(tiers.warm_for_ns.value(), Some(&(90 * DAY_NS)));
        assert_eq!(tiers.cold.value().map(String::as_str), Some("s3://bucket/prefix"));
    }

    #[test]
    fn plain_sql_finds_the_time_column_and_the_tags() {
        let spec =
            spec("create table t (b text, a varchar(20), v double precision, at timestamp, primary key (a, b, at))");
        assert_eq!((spec.time.as_str(), spec.tags.as_slice()), ("at", &["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(spec.fields, [("v".to_owned(), FieldType::F64)]);
    }

    #[test]
    fn mistakes_say_what_to_do() {
        for (sql, part) in [
            ("create table t (v double)", "needs a time column"),
            ("create table t (time timestamp time, at timestamp time)", "keep one"),
            ("create table t (time timestamp, v decimal(3,1))", "use DOUBLE"),
            ("create table t (time timestamp, n bigint tag)", "must be TEXT"),
            ("create table t (time timestamp) with (dedup = 'x')", "expected 'last'"),
            ("create table t (time timestamp) with (x = 1)", "unknown table option"),
            ("create table t (time timestamp) with (retention = '1d', drop_after = '2d')", "give one of them"),
            ("create table t (time timestamp) with (hot_for = '9d', warm_for = '8d')", "longer than hot_for"),
            ("create table t (time timestamp) with (cold = 's3://a:b@c/d')", "must not hold credentials"),
            ("create table t (time timestamp, primary key (q))", "no column 'q'"),
            ("create table t as select 1", "INSERT INTO"),
            ("create table t (time timestamp tag tag)", "one marker"),
        ] {
            let message = parse_text(sql).unwrap_err().to_string();
            assert!(message.contains(part), "{sql}: {message}");
        }
    }
}
