//! Cuts SQL text into tokens, coarsely: enough to find the end of a statement, to colour it and to complete it.
//!
//! Invariant: the spans of the tokens follow each other without a gap and cover the text, whatever the text is. What a
//! token means is the parser's business; only quoting and comments must be recognised exactly as it does.

use std::ops::Range;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Blanks and line ends.
    Space,
    /// `-- to the end of the line`, or `/* nested */`.
    Comment,
    /// `'text'` or `$tag$text$tag$`.
    Text,
    /// `"identifier"`, or the same in backticks.
    QuotedName,
    /// A keyword or an identifier.
    Word,
    /// A number.
    Number,
    /// `;`
    Semicolon,
    /// Any other character.
    Symbol,
}

/// A piece of SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: TokenKind,
    /// Where it is, in bytes.
    pub(super) span: Range<usize>,
    /// False when the text ended inside the quotes or the comment.
    pub(super) closed: bool,
}

impl Token {
    /// Whether the token says anything to the parser.
    pub(super) fn is_significant(&self) -> bool {
        !matches!(self.kind, TokenKind::Space | TokenKind::Comment)
    }
}

/// Iterates over the tokens of a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// Continues at a byte position, which must lie between two characters.
    pub(super) fn at(text: &'a str, position: usize) -> Self {
        Self { text, position }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    /// Length of a token that runs to the first character for which `is_part` does not hold.
    fn run(rest: &str, is_part: impl Fn(char) -> bool) -> usize {
        rest.find(|c: char| !is_part(c)).unwrap_or(rest.len())
    }

    /// Length of a quoted token at the start of `rest`; a doubled quote stands for itself.
    fn quoted(rest: &str, quote: u8) -> (usize, bool) {
        let bytes = rest.as_bytes();
        let mut position = 1;
        while position < bytes.len() {
            if bytes[position] == quote {
                if bytes.get(position + 1) != Some(&quote) {
                    return (position + 1, true);
                }
                position += 1;
            }
            position += 1;
        }
        (rest.len(), false)
    }

    /// Length of a block comment at the start of `rest`; comments nest.
    fn block_comment(rest: &str) -> (usize, bool) {
        let bytes = rest.as_bytes();
        let mut depth = 0;
        let mut position = 0;
        while position + 1 < bytes.len() {
            match &bytes[position..position + 2] {
                b"/*" => depth += 1,
                b"*/" => depth -= 1,
                _ => {
                    position += 1;
                    continue;
                }
            }
            position += 2;
            if depth == 0 {
                return (position, true);
            }
        }
        (rest.len(), false)
    }

    /// Length of a dollar-quoted text at the start of `rest`, or `None` when the dollar begins a parameter such as `$1`.
    fn dollar_quoted(rest: &str) -> Option<(usize, bool)> {
        let tag_len = Self::run(&rest[1..], is_name_part);
        if rest[1..].starts_with(|c: char| c.is_ascii_digit()) || !rest[1 + tag_len..].starts_with('$') {
            return None;
        }
        let delimiter = &rest[..tag_len + 2];
        let body = &rest[delimiter.len()..];
        Some(body.find(delimiter).map_or((rest.len(), false), |end| (delimiter.len() * 2 + end, true)))
    }
}

/// Whether a word or a number goes on with this character.
pub(super) fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let rest = self.rest();
        let first = rest.chars().next()?;
        let whole = |kind, len| (kind, len, true);
        let (kind, len, closed) = match first {
            ';' => whole(TokenKind::Semicolon, 1),
            '\'' => {
                let (len, closed) = Self::quoted(rest, b'\'');
                (TokenKind::Text, len, closed)
            }
            '"' | '`' => {
                let (len, closed) = Self::quoted(rest, first as u8);
                (TokenKind::QuotedName, len, closed)
            }
            '-' if rest.starts_with("--") => whole(TokenKind::Comment, Self::run(rest, |c| c != '\n')),
            '/' if rest.starts_with("/*") => {
                let (len, closed) = Self::block_comment(rest);
                (TokenKind::Comment, len, closed)
            }
            '$' => match Self::dollar_quoted(rest) {
                Some((len, closed)) => (TokenKind::Text, len, closed),
                None => whole(TokenKind::Symbol, 1),
            },
            c if c.is_whitespace() => whole(TokenKind::Space, Self::run(rest, char::is_whitespace)),
            c if c.is_ascii_digit() => whole(TokenKind::Number, Self::run(rest, |c| is_name_part(c) || c == '.')),
            c if is_name_part(c) => whole(TokenKind::Word, Self::run(rest, is_name_part)),
            c => whole(TokenKind::Symbol, c.len_utf8()),
        };
        let start = self.position;
        self.position += len;
        Some(Token { kind, span: start..self.position, closed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        Lexer::new(text).filter(Token::is_significant).map(|t| (t.kind, &text[t.span])).collect()
    }

    #[test]
    fn tokens_cover_any_text() {
        for text in ["", "SELECT 'a''b' -- x\n;", "/* /* */ é \"q", "$a$ ; $a$ $1 $", "'open", "1.5e3≠x", "-/*"] {
            let mut position = 0;
            for token in Lexer::new(text) {
                assert_eq!(token.span.start, position, "{text}");
                assert!(token.span.end > position, "{text}");
                position = token.span.end;
            }
            assert_eq!(position, text.len(), "{text}");
        }
    }

    #[test]
    fn quotes_and_comments_are_single_tokens() {
        use TokenKind::{QuotedName, Semicolon, Symbol, Text, Word};
        assert_eq!(
            kinds("a 'x;''y' \"t;\" -- c;\n /* ; /* ; */ */ $q$;$q$ $1;"),
            [
                (Word, "a"),
                (Text, "'x;''y'"),
                (QuotedName, "\"t;\""),
                (Text, "$q$;$q$"),
                (Symbol, "$"),
                (TokenKind::Number, "1"),
                (Semicolon, ";")
            ]
        );
    }

    #[test]
    fn an_open_quote_is_reported() {
        assert!(!Lexer::new("'abc").last().unwrap().closed);
        assert!(!Lexer::new("/* /* */").last().unwrap().closed);
        assert!(Lexer::new("/**/").last().unwrap().closed);
        assert!(!Lexer::new("$$ x").last().unwrap().closed);
    }
}
