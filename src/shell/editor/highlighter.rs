//! Colours SQL while it is typed.

use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

use super::completer::is_keyword;
use crate::shell::lexer::{Lexer, TokenKind};

/// Colours by the kind of token; eight basic colours, so that every terminal theme stays readable.
pub(super) struct SqlHighlighter;

impl Highlighter for SqlHighlighter {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        if line.starts_with('.') {
            styled.push((Style::new().fg(Color::Cyan), line.to_owned()));
            return styled;
        }
        for token in Lexer::new(line) {
            let text = &line[token.span];
            let style = match token.kind {
                TokenKind::Word if is_keyword(text) => Style::new().fg(Color::Blue).bold(),
                TokenKind::Text => Style::new().fg(Color::Green),
                TokenKind::Number => Style::new().fg(Color::Yellow),
                TokenKind::Comment => Style::new().dimmed(),
                _ => Style::new(),
            };
            styled.push((style, text.to_owned()));
        }
        styled
    }
}
