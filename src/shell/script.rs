//! Cuts a script into its statements and dot commands, with the line on which each begins.
//!
//! A statement ends at a `;` outside quotes and comments. A line that begins with `.` where a statement could begin is
//! a dot command and ends with the line.

use super::lexer::{Lexer, TokenKind};

/// One thing to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// SQL without its `;`, or a dot command with its dot.
    pub(super) text: &'a str,
    /// The comments before it.
    pub(super) leading: &'a str,
    /// Line of its first character, from 1.
    pub(super) line: usize,
    /// Whether its end was seen: `;`, or the end of the line of a dot command.
    pub(super) complete: bool,
}

impl<'a> Command<'a> {
    /// Whether it is a dot command.
    pub(super) fn is_dot(&self) -> bool {
        self.text.starts_with('.')
    }

    /// The name given in a `-- name: X` line before the statement; the last such line counts.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.leading
            .lines()
            .filter_map(|line| line.trim().strip_prefix("--")?.trim_start().strip_prefix("name:"))
            .map(str::trim)
            .rfind(|name| !name.is_empty())
    }
}

/// Iterates over the commands of a script.
pub(super) struct Script<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Script<'a> {
    /// Starts at the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// Whether nothing is missing at the end of `text`: each statement has its `;`.
    pub(super) fn is_complete(text: &str) -> bool {
        let mut open_comment = false;
        // A comment that is still open holds back the line even when no statement has begun.
        for token in Lexer::new(text) {
            open_comment = token.kind == TokenKind::Comment && !token.closed;
        }
        !open_comment && Script::new(text).all(|command| command.complete)
    }

    fn line_of(&self, position: usize) -> usize {
        self.text[..position].matches('\n').count() + 1
    }
}

impl<'a> Iterator for Script<'a> {
    type Item = Command<'a>;

    fn next(&mut self) -> Option<Command<'a>> {
        let mut leading_start = self.position;
        let mut tokens = Lexer::at(self.text, self.position);
        let first = loop {
            let token = tokens.next()?;
            match token.kind {
                // Empty statements say nothing; what stood before them belongs to them.
                TokenKind::Semicolon => leading_start = token.span.end,
                _ if token.is_significant() => break token,
                _ => {}
            }
        };
        let start = first.span.start;
        let leading = &self.text[leading_start..start];
        let line = self.line_of(start);
        if self.text[start..].starts_with('.') {
            let len = self.text[start..].find('\n').unwrap_or(self.text.len() - start);
            self.position = start + len;
            return Some(Command { text: self.text[start..start + len].trim_end(), leading, line, complete: true });
        }
        let mut end = first.span.end;
        for token in tokens {
            if token.kind == TokenKind::Semicolon {
                self.position = token.span.end;
                return Some(Command { text: &self.text[start..end], leading, line, complete: true });
            }
            if token.is_significant() {
                end = token.span.end;
            }
        }
        self.position = self.text.len();
        Some(Command { text: &self.text[start..end], leading, line, complete: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        Script::new(script).map(|command| command.text).collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes_and_comments() {
        assert_eq!(
            texts("SELECT ';' ; SELECT 1 -- ;\n, 2; /* ; */ SELECT \";\""),
            ["SELECT ';'", "SELECT 1 -- ;\n, 2", "SELECT \";\""]
        );
        assert_eq!(texts(" ;; -- nothing\n ; "), [""; 0]);
    }

    #[test]
    fn the_comment_after_the_last_token_is_left_out() {
        assert_eq!(texts("SELECT 1 -- end"), ["SELECT 1"]);
    }

    #[test]
    fn dot_commands_end_with_their_line() {
        assert_eq!(
            texts(".mode csv\nSELECT 1;\n  .tables  \nSELECT 2"),
            [".mode csv", "SELECT 1", ".tables", "SELECT 2"]
        );
        assert_eq!(texts("SELECT 1\n.5;"), ["SELECT 1\n.5"]);
    }

    #[test]
    fn a_command_knows_its_line_and_name() {
        let script = "-- name: first\nSELECT 1;\n\n-- name: old\n-- name: second one \n-- why\nSELECT 2;\nSELECT 3;";
        let commands: Vec<_> = Script::new(script).collect();
        assert_eq!(commands.iter().map(|c| c.line).collect::<Vec<_>>(), [2, 7, 8]);
        assert_eq!(commands.iter().map(Command::name).collect::<Vec<_>>(), [Some("first"), Some("second one"), None]);
    }

    #[test]
    fn completeness_needs_the_semicolon() {
        for complete in ["", "  ", "SELECT 1;", "SELECT 1; -- done", ".tables", "-- only a comment", "SELECT ';';"] {
            assert!(Script::is_complete(complete), "{complete}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT 2", "/* open", "SELECT 1 -- ;", "SELECT $$;"] {
            assert!(!Script::is_complete(open), "{open}");
        }
    }
}
