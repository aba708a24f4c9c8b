//! `COPY t FROM 'file' [options]`, `COPY t TO 'file' [options]`, `COPY (query) TO 'file' [options]`.
//!
//! Options stand in brackets, with or without WITH: `(FORMAT csv, HEADER true, DELIMITER ';')`.

use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::parser::{expect, expected, parse_option_value, parse_table_name, syntax_error, take_word};
use super::statement::{CopyOptions, CopySource, Statement};
use crate::error::{Error, Result};

/// Parses from the word COPY on.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    let source = if parser.consume_token(&Token::LParen) {
        let query = parser.parse_query().map_err(syntax_error)?;
        expect(parser, &Token::RParen)?;
        CopySource::Query(query)
    } else {
        CopySource::Table(parse_table_name(parser)?)
    };
    let reads = take_word(parser, "FROM");
    if !reads && !take_word(parser, "TO") {
        return expected(parser, "FROM 'file' or TO 'file'");
    }
    if !matches!(parser.peek_token().token, Token::SingleQuotedString(_)) {
        return expected(parser, "a file name in single quotes");
    }
    let path = parser.parse_literal_string().map_err(syntax_error)?;
    let options = parse_options(parser)?;
    match (reads, source) {
        (false, source) => Ok(Statement::CopyTo { source, path, options }),
        (true, CopySource::Table(table)) => Ok(Statement::CopyFrom { table, path, options }),
        (true, CopySource::Query(_)) => {
            Err(Error::Parse { message: "COPY (query) goes TO a file, not FROM one".into() })
        }
    }
}

fn parse_options(parser: &mut Parser<'_>) -> Result<CopyOptions> {
    let mut options = CopyOptions::default();
    let with = take_word(parser, "WITH");
    if !parser.consume_token(&Token::LParen) {
        return if with { expected(parser, "options in brackets") } else { Ok(options) };
    }
    loop {
        let name = parser.parse_identifier().map_err(syntax_error)?.value.to_ascii_lowercase();
        match name.as_str() {
            "format" => options.format = Some(parse_option_value(parser)?.to_ascii_lowercase()),
            "header" => options.header = Some(parse_flag(parser)?),
            "delimiter" => {
                let text = parse_option_value(parser)?;
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(delimiter), None) if delimiter.is_ascii() => options.delimiter = Some(delimiter),
                    _ => return Err(Error::plan(format!("DELIMITER '{text}' must be one ASCII character"))),
                }
            }
            _ => return Err(Error::plan(format!("unknown COPY option '{name}': use FORMAT, HEADER or DELIMITER"))),
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    expect(parser, &Token::RParen)?;
    Ok(options)
}

/// A flag's value; the bare name means true.
fn parse_flag(parser: &mut Parser<'_>) -> Result<bool> {
    if matches!(parser.peek_token().token, Token::Comma | Token::RParen) {
        return Ok(true);
    }
    let text = parse_option_value(parser)?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(Error::plan(format!("'{text}' is no flag: use true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse_text;
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let Statement::CopyFrom { table, path, options } =
            parse_text("copy cpu from 'x.csv' with (format CSV, header)").unwrap()
        else {
            panic!()
        };
        assert_eq!((table.name.as_str(), path.as_str()), ("cpu", "x.csv"));
        assert_eq!((options.format.as_deref(), options.header), (Some("csv"), Some(true)));
        let copy = parse_text("copy (select * from cpu where a = ')') to 'x.parquet' (delimiter ';', header false)");
        let Statement::CopyTo { source: CopySource::Query(_), options, .. } = copy.unwrap() else { panic!() };
        assert_eq!((options.delimiter, options.header), (Some(';'), Some(false)));
        assert!(matches!(
            parse_text("copy cpu to 'x.csv'").unwrap(),
            Statement::CopyTo { source: CopySource::Table(_), .. }
        ));
    }

    #[test]
    fn mistakes_are_told() {
        for sql in
            ["copy t", "copy t from x", "copy (select 1) from 'x'", "copy t to 'x' (nonsense 1)", "copy t to 'x' with"]
        {
            assert!(parse_text(sql).is_err(), "{sql}");
        }
    }
}
