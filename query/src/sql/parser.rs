//! Reads one statement.
//!
//! Queries, INSERT and DELETE are read by `sqlparser`; CREATE, ALTER, DROP, SHOW, DESCRIBE and COPY have a grammar of our
//! own over its tokens, because they carry words (`TIME`, `TAG`, options) that no dialect of it knows.

use sqlparser::ast::{Ident, ObjectName, Query, SetExpr, Statement as SqlStatement, TableObject};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, Tokenizer};

use super::size::{check_bytes, check_tokens};
use super::statement::{Insert, InsertSource, Statement, TableName};
use super::{alter_table, copy, create_table, delete, series_syntax, tier_options};
use crate::error::{Error, Result};
use crate::options::SqlLimits;

/// The dialect of every statement, the one that DataFusion uses by default.
static DIALECT: GenericDialect = GenericDialect {};

/// Parses exactly one statement, perhaps with a semicolon at its end.
///
/// # Errors
/// `Parse` for text that is no statement, or more than one; `LimitExceeded`.
pub(crate) fn parse_statement(sql: &str, limits: &SqlLimits) -> Result<Statement> {
    check_bytes(sql, limits)?;
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location().map_err(|error| syntax_error(error.into()))?;
    check_tokens(&tokens, limits)?;
    let tokens = series_syntax::rewrite(tokens)?;
    // `sqlparser` counts calls of the parser, not brackets.
    let depth_max = limits.depth_max.min(SqlLimits::DEPTH_CAP);
    let mut parser = Parser::new(&DIALECT).with_recursion_limit(depth_max).with_tokens_with_locations(tokens);
    while parser.consume_token(&Token::SemiColon) {}
    if parser.peek_token().token == Token::EOF {
        return Err(Error::Parse { message: "the statement is empty".into() });
    }
    let statement = parse_one(&mut parser)?;
    while parser.consume_token(&Token::SemiColon) {}
    if parser.peek_token().token != Token::EOF {
        if matches!(statement, Statement::Other { .. }) {
            return Ok(statement);
        }
        return expected(&parser, "the end of the statement (one statement at a time)");
    }
    Ok(statement)
}

fn parse_one(parser: &mut Parser<'_>) -> Result<Statement> {
    let Token::Word(first) = parser.peek_token().token else {
        return parse_query(parser).map(Statement::Query);
    };
    match first.keyword {
        Keyword::CREATE if is_create_table(parser) => create_table::parse(parser),
        Keyword::DROP if word_at(parser, 1, "TABLE") => parse_drop(parser),
        Keyword::SHOW if word_at(parser, 1, "TABLES") => {
            parser.next_token();
            parser.next_token();
            Ok(Statement::ShowTables)
        }
        Keyword::DESCRIBE | Keyword::DESC => {
            parser.next_token();
            let _optional = parser.parse_keyword(Keyword::TABLE);
            Ok(Statement::Describe(parse_table_name(parser)?))
        }
        Keyword::ALTER if word_at(parser, 1, "TABLE") => alter_table::parse(parser),
        Keyword::ALTER if word_at(parser, 1, "NAMESPACE") || word_at(parser, 1, "DATABASE") => {
            tier_options::parse_alter(parser)
        }
        Keyword::DELETE => delete::parse(parser),
        Keyword::TRUNCATE => delete::parse_truncate(parser),
        Keyword::OPTIMIZE => {
            parser.next_token();
            Ok(Statement::Optimize)
        }
        _ if word_at(parser, 0, "CHECKPOINT") => {
            parser.next_token();
            Ok(Statement::Checkpoint)
        }
        Keyword::EXPLAIN => parse_explain(parser),
        Keyword::INSERT => parse_insert(parser),
        Keyword::COPY => copy::parse(parser),
        Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM | Keyword::TABLE => {
            parse_query(parser).map(Statement::Query)
        }
        Keyword::NoKeyword => {
            expected(parser, "a statement, such as SELECT, INSERT, CREATE TABLE, ALTER TABLE or DELETE")
        }
        _ => {
            let second = parser.peek_nth_token(1).token;
            Ok(Statement::Other { what: format!("'{first} {second}'") })
        }
    }
}

fn is_create_table(parser: &Parser<'_>) -> bool {
    // CREATE TABLE ... AS is told apart by the grammar itself; EXTERNAL, TEMPORARY and OR REPLACE are not ours.
    word_at(parser, 1, "TABLE")
}

fn parse_query(parser: &mut Parser<'_>) -> Result<Box<Query>> {
    parser.parse_query().map_err(syntax_error)
}

fn parse_explain(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    let is_analyze = word_at(parser, 0, "ANALYZE");
    if is_analyze && !word_at(parser, 1, "VERBOSE") && !word_at(parser, 1, "FORMAT") {
        parser.next_token();
        return parse_query(parser).map(Statement::Analyze);
    }
    if is_analyze || word_at(parser, 0, "VERBOSE") || word_at(parser, 0, "FORMAT") {
        let option = parser.peek_token().token;
        return Ok(Statement::Other { what: format!("'EXPLAIN {option}'") });
    }
    parse_query(parser).map(Statement::Explain)
}

fn parse_drop(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    parser.next_token();
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let mut names = vec![parse_table_name(parser)?];
    while parser.consume_token(&Token::Comma) {
        names.push(parse_table_name(parser)?);
    }
    Ok(Statement::DropTable { names, if_exists })
}

fn parse_insert(parser: &mut Parser<'_>) -> Result<Statement> {
    let statement = parser.parse_statement().map_err(syntax_error)?;
    let SqlStatement::Insert(insert) = statement else {
        return Err(Error::unsupported("this form of INSERT"));
    };
    let plain = insert.or.is_none()
        && !insert.ignore
        && !insert.overwrite
        && insert.assignments.is_empty()
        && insert.partitioned.is_none()
        && insert.on.is_none()
        && insert.returning.is_none()
        && !insert.replace_into
        && insert.table_alias.is_none();
    if !plain {
        return Err(Error::Unsupported {
            what: "INSERT with ON CONFLICT, RETURNING, OVERWRITE or SET".into(),
            hint: "rows of the same tags and time are merged by the table's dedup option; use INSERT INTO t VALUES or SELECT"
                .into(),
        });
    }
    let TableObject::TableName(name) = &insert.table else {
        return Err(Error::unsupported("INSERT into a table function"));
    };
    let columns = insert.columns.iter().map(column_name).collect::<Result<_>>()?;
    let Some(query) = insert.source else {
        return Err(Error::Parse { message: "INSERT needs VALUES or a query".into() });
    };
    let source = match *query.body {
        SetExpr::Values(values) if query.order_by.is_none() && query.limit_clause.is_none() && query.with.is_none() => {
            InsertSource::Values(values.rows.into_iter().map(|row| row.content).collect())
        }
        _ => InsertSource::Query(query),
    };
    Ok(Statement::Insert(Box::new(Insert { table: table_name(name)?, columns, source })))
}

fn column_name(name: &ObjectName) -> Result<String> {
    match name.0.last().and_then(|part| part.as_ident()) {
        Some(ident) => Ok(fold_ident(ident)),
        None => Err(Error::Parse { message: format!("'{name}' is no column name") }),
    }
}

/// Reads a table name, perhaps qualified by a namespace.
pub(super) fn parse_table_name(parser: &mut Parser<'_>) -> Result<TableName> {
    let name = parser.parse_object_name(false).map_err(syntax_error)?;
    table_name(&name)
}

/// The table that an object name means.
pub(crate) fn table_name(name: &ObjectName) -> Result<TableName> {
    let idents: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    if idents.len() != name.0.len() {
        return Err(Error::unsupported(format!("the table name {name}")));
    }
    match idents.as_slice() {
        [table] => Ok(TableName { namespace: None, name: fold_ident(table), written: table.value.clone() }),
        [namespace, table] => Ok(TableName {
            namespace: Some(fold_ident(namespace)),
            name: fold_ident(table),
            written: table.value.clone(),
        }),
        _ => Err(Error::unsupported(format!("the table name {name} of {} parts", idents.len()))),
    }
}

/// A name as SQL means it: lower case unless quoted.
pub(crate) fn fold_ident(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Whether the token `offset` tokens ahead is this unquoted word.
pub(super) fn word_at(parser: &Parser<'_>, offset: usize, word: &str) -> bool {
    matches!(parser.peek_nth_token(offset).token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// Takes the next token when it is this unquoted word.
pub(super) fn take_word(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = word_at(parser, 0, word);
    if found {
        parser.next_token();
    }
    found
}

/// Takes a token that must be there.
pub(super) fn expect(parser: &mut Parser<'_>, token: &Token) -> Result<()> {
    parser.expect_token(token).map(|_| ()).map_err(syntax_error)
}

/// Fails with what was expected and what was found where.
pub(super) fn expected<T>(parser: &Parser<'_>, what: &str) -> Result<T> {
    let found = parser.peek_token();
    parser.expected(what, found).map_err(syntax_error)
}

/// A literal of an option list as text: string, number, word.
pub(super) fn parse_option_value(parser: &mut Parser<'_>) -> Result<String> {
    match parser.next_token().token {
        Token::SingleQuotedString(text) | Token::Number(text, _) => Ok(text),
        Token::Word(word) => Ok(word.value),
        other => Err(Error::Parse { message: format!("an option needs a value, found {other}") }),
    }
}

/// Parses one statement under the default limits.
#[cfg(test)]
pub(super) fn parse_text(sql: &str) -> Result<Statement> {
    parse_statement(sql, &SqlLimits::default())
}

/// Parses a bare expression.
#[cfg(test)]
pub(crate) fn parse_condition(text: &str) -> Result<sqlparser::ast::Expr> {
    Parser::new(&DIALECT).try_with_sql(text).map_err(syntax_error)?.parse_expr().map_err(syntax_error)
}

/// A parser's complaint in our words.
pub(crate) fn syntax_error(error: ParserError) -> Error {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => Error::Parse { message },
        ParserError::RecursionLimitExceeded => Error::LimitExceeded {
            what: "the depth of the statement (sql.depth_max)",
            limit: SqlLimits::DEPTH_CAP as u64,
            hint: "nest fewer brackets and subqueries, for instance by WITH",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_is_one_statement() {
        assert!(matches!(parse_text("select 1;").unwrap(), Statement::Query(_)));
        assert!(matches!(parse_text(" show tables ").unwrap(), Statement::ShowTables));
        assert!(matches!(parse_text("explain select 1").unwrap(), Statement::Explain(_)));
        for sql in ["", ";", "select 1; select 2", "selec 1 from", "drop table", "show tables x", "insert into t"] {
            match parse_text(sql) {
                Err(Error::Parse { .. }) | Ok(Statement::Other { .. }) => {}
                other => panic!("{sql}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_word_that_begins_no_statement_is_a_syntax_error() {
        let message = parse_text("selec 1").unwrap_err().to_string();
        assert!(message.starts_with("syntax error") && message.contains("selec"), "{message}");
    }

    #[test]
    fn names_fold_to_lower_case_unless_quoted() {
        let Statement::Describe(name) = parse_text("DESC Prod.\"Cpu\"").unwrap() else { panic!() };
        assert_eq!((name.namespace.as_deref(), name.name.as_str()), (Some("prod"), "Cpu"));
        let Statement::DropTable { names, if_exists } = parse_text("drop table if exists A, b").unwrap() else {
            panic!()
        };
        assert!(if_exists && names[0].name == "a" && names[0].written == "A");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        let sql = format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(matches!(parse_text(&sql), Err(Error::LimitExceeded { .. })));
        for (operator, terms) in [("+", 100_000), (" or ", 100_000), ("::int", 100_000)] {
            let sql = format!("select 1{}", format!("{operator}1").repeat(terms));
            assert!(matches!(parse_text(&sql), Err(Error::LimitExceeded { .. })), "{operator}");
        }
        let long_enough = format!("select 1{}", " or 1 = 1".repeat(SqlLimits::CHAIN_CAP / 2));
        assert!(parse_text(&long_enough).is_ok());
        let values = format!("insert into t values {}", "(-1, 2),".repeat(10_000));
        assert!(parse_text(values.trim_end_matches(',')).is_ok());
    }

    #[test]
    fn insert_takes_values_or_a_query() {
        let Statement::Insert(insert) = parse_text("insert into t (Time, \"Host\") values (1, 'a'), (2, 'b')").unwrap()
        else {
            panic!()
        };
        assert_eq!(insert.columns, ["time", "Host"]);
        assert!(matches!(&insert.source, InsertSource::Values(rows) if rows.len() == 2));
        let Statement::Insert(insert) = parse_text("insert into t select * from s").unwrap() else { panic!() };
        assert!(matches!(insert.source, InsertSource::Query(_)));
    }
}
