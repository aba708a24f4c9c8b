//! Completes keywords, functions, tables, columns, dot commands and file names.
//!
//! The catalogue is read at each Tab, so that a table is offered as soon as it exists.

use std::path::Path;

use reedline::{Completer, Span, Suggestion};

use crate::Database;
use crate::shell::catalog::quote_name;
use crate::shell::dot::DOT_COMMANDS;
use crate::shell::lexer::{Lexer, TokenKind, is_name_part};
use crate::shell::output::Format;

const KEYWORDS: [&str; 76] = [
    "ALL",
    "AND",
    "ANALYZE",
    "AS",
    "ASC",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FIRST",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "ROWS",
    "SELECT",
    "SHOW",
    "TABLE",
    "TABLES",
    "TAG",
    "TEXT",
    "THEN",
    "TIME",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "UNION",
    "UNSIGNED",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "BYTEA",
];

const FUNCTIONS: [&str; 20] = [
    "abs(",
    "avg(",
    "ceil(",
    "coalesce(",
    "count(",
    "date_bin(",
    "date_trunc(",
    "first(",
    "floor(",
    "last(",
    "lower(",
    "max(",
    "min(",
    "now(",
    "round(",
    "stddev(",
    "sum(",
    "time_bucket(",
    "upper(",
    "var_samp(",
];

/// Commands whose argument is `on` or `off`.
const SWITCHES: [&str; 2] = [".timer", ".types"];

/// Whether a word is one of the keywords, in any case.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Completes over the catalogue of a database.
pub(super) struct ShellCompleter {
    database: Database,
}

impl ShellCompleter {
    /// A completer for the tables of `database`.
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The texts that may replace what begins at the returned position.
    fn candidates(&self, text: &str) -> (usize, Vec<String>) {
        if text.trim_start().starts_with('.') {
            return self.dot_candidates(text);
        }
        let last = Lexer::new(text).last();
        if let Some(token) = &last {
            match token.kind {
                TokenKind::Text if !token.closed => {
                    let start = token.span.start + 1;
                    return (start, file_candidates(&text[start..]));
                }
                TokenKind::Comment if !token.closed || text[token.span.clone()].starts_with("--") => {
                    return (text.len(), Vec::new());
                }
                _ => {}
            }
        }
        let start = text.char_indices().rev().find(|(_, c)| !is_name_part(*c)).map_or(0, |(i, c)| i + c.len_utf8());
        let prefix = &text[start..];
        if prefix.is_empty() {
            return (start, Vec::new());
        }
        (start, self.word_candidates(text, prefix))
    }

    fn word_candidates(&self, text: &str, prefix: &str) -> Vec<String> {
        let tables = self.database.tables();
        let words: Vec<&str> = Lexer::new(text).filter(|t| t.kind == TokenKind::Word).map(|t| &text[t.span]).collect();
        // Columns of the tables that the text names; while it names none, as in SELECT before FROM, those of all.
        let named: Vec<_> = tables.iter().filter(|table| words.contains(&table.name.as_str())).cloned().collect();
        let sources = if named.is_empty() { &tables } else { &named };
        let mut names: Vec<String> = Vec::new();
        for table in sources {
            names.push(quote_name(&table.time.name));
            names.extend(table.tags.iter().map(|tag| quote_name(&tag.name)));
            names.extend(table.fields.iter().map(|field| quote_name(&field.name)));
        }
        names.extend(tables.iter().map(|table| quote_name(&table.name)));
        names.retain(|name| starts_with_ignoring_case(name.trim_start_matches('"'), prefix));
        names.sort();
        names.dedup();
        let is_upper = prefix.chars().all(|c| !c.is_lowercase());
        let cased = |word: &&str| if is_upper { (*word).to_owned() } else { word.to_lowercase() };
        let fits = |word: &&&str| starts_with_ignoring_case(word, prefix);
        names.extend(FUNCTIONS.iter().filter(fits).map(|name| (*name).to_owned()));
        names.extend(KEYWORDS.iter().filter(fits).map(cased));
        names
    }

    fn dot_candidates(&self, text: &str) -> (usize, Vec<String>) {
        let Some((command, argument)) = text.split_once(char::is_whitespace) else {
            let names = DOT_COMMANDS.iter().map(|(name, ..)| (*name).to_owned());
            return (0, names.filter(|name| name.starts_with(text)).collect());
        };
        let start = text.len() - argument.len();
        let candidates: Vec<String> = match command {
            ".schema" => self.database.tables().iter().map(|table| table.name.clone()).collect(),
            ".mode" => Format::ALL.iter().map(|(name, _)| (*name).to_owned()).collect(),
            ".read" => file_candidates(argument),
            command if SWITCHES.contains(&command) => vec!["on".into(), "off".into()],
            _ => Vec::new(),
        };
        (start, candidates.into_iter().filter(|candidate| candidate.starts_with(argument)).collect())
    }
}

impl Completer for ShellCompleter {
    fn complete(&mut self, line: &str, position: usize) -> Vec<Suggestion> {
        let (start, candidates) = self.candidates(&line[..position]);
        let suggestion = |value: String| Suggestion {
            append_whitespace: !value.ends_with(['(', '/']),
            value,
            span: Span::new(start, position),
            ..Suggestion::default()
        };
        candidates.into_iter().map(suggestion).collect()
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Files and folders whose path begins with `prefix`; hidden ones only when asked for.
fn file_candidates(prefix: &str) -> Vec<String> {
    let (folder, name) =
        prefix.rsplit_once('/').map_or(("", prefix), |(folder, name)| (&prefix[..=folder.len()], name));
    let Ok(entries) = std::fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) }) else {
        return Vec::new();
    };
    let mut paths: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let file_name = entry.file_name().into_string().ok()?;
            let is_wanted = file_name.starts_with(name) && (!file_name.starts_with('.') || name.starts_with('.'));
            let slash = if entry.path().is_dir() { "/" } else { "" };
            is_wanted.then(|| format!("{folder}{file_name}{slash}"))
        })
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FieldType, TableSpec};

    fn values(completer: &mut ShellCompleter, text: &str) -> Vec<String> {
        completer.complete(text, text.len()).into_iter().map(|suggestion| suggestion.value).collect()
    }

    #[test]
    fn words_complete_from_the_catalogue_and_the_language() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path()).unwrap();
        database.create_table(&TableSpec::new("cpu").tag("host").field("Usage", FieldType::F64)).unwrap();
        database.create_table(&TableSpec::new("disk").tag("device").field("used", FieldType::F64)).unwrap();
        let mut completer = ShellCompleter::new(database);
        assert_eq!(values(&mut completer, "SEL"), ["SELECT"]);
        assert_eq!(values(&mut completer, "sel"), ["select"]);
        assert_eq!(values(&mut completer, "select * from c")[0], "cpu");
        assert_eq!(values(&mut completer, "select us"), ["\"Usage\"", "used", "using"]);
        assert_eq!(values(&mut completer, "select d from cpu where ho"), ["host"]);
        assert_eq!(values(&mut completer, ".sch"), [".schema"]);
        assert_eq!(values(&mut completer, ".schema d"), ["disk"]);
        assert_eq!(values(&mut completer, ".mode j"), ["json", "jsonl"]);
        assert!(values(&mut completer, "-- sel").is_empty());
    }
}
