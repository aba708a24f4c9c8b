//! `DELETE FROM table [WHERE condition]` and `TRUNCATE [TABLE] table`.

use sqlparser::ast::{FromTable, Statement as SqlStatement, TableFactor};
use sqlparser::parser::Parser;

use super::parser::{parse_table_name, syntax_error, table_name, take_word};
use super::statement::{Delete, Statement};
use crate::error::{Error, Result};

/// Parses from the word DELETE on.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Statement> {
    let SqlStatement::Delete(delete) = parser.parse_statement().map_err(syntax_error)? else {
        return Err(Error::unsupported("this form of DELETE"));
    };
    let is_plain = delete.tables.is_empty()
        && delete.using.is_none()
        && delete.returning.is_none()
        && delete.order_by.is_empty()
        && delete.limit.is_none();
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let ([only], true) = (from.as_slice(), is_plain) else { return Err(unsupported()) };
    let (TableFactor::Table { name, alias: None, args: None, .. }, true) = (&only.relation, only.joins.is_empty())
    else {
        return Err(unsupported());
    };
    Ok(Statement::Delete(Box::new(Delete { table: table_name(name)?, condition: delete.selection })))
}

/// Parses from the word TRUNCATE on.
pub(super) fn parse_truncate(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    let _optional = take_word(parser, "TABLE");
    Ok(Statement::Delete(Box::new(Delete { table: parse_table_name(parser)?, condition: None })))
}

fn unsupported() -> Error {
    Error::Unsupported {
        what: "DELETE with USING, RETURNING, ORDER BY, LIMIT, an alias or several tables".into(),
        hint: "write DELETE FROM t WHERE with conditions on the time and the tags".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse_text;
    use super::*;

    #[test]
    fn a_delete_names_one_table_and_perhaps_a_condition() {
        for (sql, has_condition) in [
            ("delete from t where host = 'a' and time < '2026-01-01'", true),
            ("delete from t", false),
            ("truncate table t", false),
            ("truncate t", false),
        ] {
            let Statement::Delete(delete) = parse_text(sql).unwrap() else { panic!("{sql}") };
            assert_eq!((delete.table.name.as_str(), delete.condition.is_some()), ("t", has_condition));
        }
        for sql in ["delete from t using u", "delete from t, u", "delete from t limit 1", "delete from t as x"] {
            assert!(matches!(parse_text(sql), Err(Error::Unsupported { .. } | Error::Parse { .. })), "{sql}");
        }
    }
}
