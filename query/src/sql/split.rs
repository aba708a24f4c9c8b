//! Cuts a script into statements at the semicolons that stand outside strings, quoted names, comments and dollar quotes.
//!
//! It works on text that need not be valid SQL, so that a shell can tell whether a statement is complete: what follows
//! the last semicolon is returned too, when it holds more than blanks and comments.

use crate::error::{Error, Result};

/// The statements of `sql`, without their semicolons, blank ones left out.
///
/// # Errors
/// `Parse` for a string, quoted name, block comment or dollar quote that does not end.
pub(crate) fn split_statements(sql: &str) -> Result<Vec<String>> {
    let bytes = sql.as_bytes();
    let mut statements = Vec::new();
    let mut start = 0;
    let mut position = 0;
    let mut has_content = false;
    while position < bytes.len() {
        let byte = bytes[position];
        match byte {
            b'\'' | b'"' | b'`' => {
                position = end_of_quoted(bytes, position)?;
                has_content = true;
            }
            b'-' if bytes.get(position + 1) == Some(&b'-') => {
                position = bytes[position..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| position + n + 1);
            }
            b'/' if bytes.get(position + 1) == Some(&b'*') => position = end_of_comment(bytes, position)?,
            b'$' => {
                position = end_of_dollar_quote(sql, position)?;
                has_content = true;
            }
            b';' => {
                if has_content {
                    statements.push(sql[start..position].trim().to_owned());
                }
                position += 1;
                start = position;
                has_content = false;
            }
            _ => {
                has_content |= !byte.is_ascii_whitespace();
                position += 1;
            }
        }
    }
    if has_content {
        statements.push(sql[start..].trim().to_owned());
    }
    Ok(statements)
}

fn unterminated(what: &str, bytes: &[u8], position: usize) -> Error {
    let line = bytes[..position].iter().filter(|&&b| b == b'\n').count() + 1;
    Error::Parse { message: format!("the {what} that starts on line {line} does not end") }
}

/// The position after the closing quote; a doubled quote stands for itself.
fn end_of_quoted(bytes: &[u8], start: usize) -> Result<usize> {
    let quote = bytes[start];
    let mut position = start + 1;
    while position < bytes.len() {
        if bytes[position] == quote {
            if bytes.get(position + 1) != Some(&quote) {
                return Ok(position + 1);
            }
            position += 1;
        }
        position += 1;
    }
    Err(unterminated(if quote == b'\'' { "string" } else { "quoted name" }, bytes, start))
}

/// The position after a block comment; comments nest, as in PostgreSQL.
fn end_of_comment(bytes: &[u8], start: usize) -> Result<usize> {
    let mut depth = 0usize;
    let mut position = start;
    while position + 1 < bytes.len() {
        match (bytes[position], bytes[position + 1]) {
            (b'/', b'*') => {
                depth += 1;
                position += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                position += 2;
                if depth == 0 {
                    return Ok(position);
                }
            }
            _ => position += 1,
        }
    }
    Err(unterminated("comment", bytes, start))
}

/// The position after `$tag$ ... $tag$`, or after the `$` when it opens none (a parameter such as `$1`).
fn end_of_dollar_quote(sql: &str, start: usize) -> Result<usize> {
    let rest = &sql[start + 1..];
    let Some(tag_len) = rest.find(|c: char| !c.is_alphanumeric() && c != '_') else { return Ok(start + 1) };
    let starts_with_digit = rest.starts_with(|c: char| c.is_ascii_digit());
    if starts_with_digit || !rest[tag_len..].starts_with('$') {
        return Ok(start + 1);
    }
    let delimiter = &sql[start..start + tag_len + 2];
    let body_start = start + delimiter.len();
    match sql[body_start..].find(delimiter) {
        Some(body_len) => Ok(body_start + body_len + delimiter.len()),
        None => Err(unterminated("dollar-quoted string", sql.as_bytes(), start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_inside_strings_names_comments_and_dollar_quotes_do_not_split() {
        let script = "select ';'';', \"a;b\" -- ; x\n from t; /* ; /* nested ; */ */ select $$ ; $$, $q$ $$; $q$, $1;;\n-- end;\n";
        let statements = split_statements(script).unwrap();
        assert_eq!(statements.len(), 2, "{statements:?}");
        assert!(statements[0].starts_with("select ';'';'") && statements[0].ends_with("from t"));
        assert!(statements[1].ends_with("$1"));
    }

    #[test]
    fn an_open_string_or_comment_is_an_error_with_its_line() {
        for (script, what) in
            [("select 'a", "string"), ("\n/* a", "comment"), ("select \"a", "name"), ("$x$ a $$", "dollar")]
        {
            let message = split_statements(script).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
        }
    }

    #[test]
    fn blanks_and_comments_are_no_statements() {
        assert!(split_statements(" ;; -- x\n ; /* y */ ").unwrap().is_empty());
    }
}
