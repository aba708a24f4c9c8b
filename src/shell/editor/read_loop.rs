//! Reads statements at the prompt and runs them until the user leaves.

use std::path::Path;

use reedline::{
    ColumnarMenu, Emacs, KeyCode, KeyModifiers, MenuBuilder, Reedline, ReedlineEvent, ReedlineMenu, Signal,
    default_emacs_keybindings,
};

use super::completer::ShellCompleter;
use super::highlighter::SqlHighlighter;
use super::history;
use super::prompt::{ShellPrompt, StatementValidator, is_plain_word};
use crate::shell::error::{CommandError, Result};
use crate::shell::session::{Flow, Session};
use crate::shell::terminal;

const COMPLETION_MENU: &str = "completion";

/// Reads and runs until Ctrl-D or `.quit`. An error is printed and the prompt comes back.
pub(in crate::shell) fn run(session: &mut Session) -> Result<()> {
    let mut editor = line_editor(session);
    let prompt = ShellPrompt::new("tsq");
    loop {
        let signal = editor
            .read_line(&prompt)
            .map_err(|error| CommandError::io("read from", Path::new("the terminal"), std::io::Error::other(error)))?;
        let text = match signal {
            Signal::Success(text) => text,
            Signal::CtrlD => return Ok(()),
            // Ctrl-C gives the line up.
            _ => continue,
        };
        let text = if is_plain_word(&text) { word_command(&text) } else { &text };
        match session.run_script(None, text) {
            Ok(Flow::Continue) => {}
            Ok(Flow::Quit) => return Ok(()),
            Err(error) => {
                error.report(terminal::stderr_has_color());
            }
        }
    }
}

fn word_command(word: &str) -> &'static str {
    if word.trim().eq_ignore_ascii_case("help") { ".help" } else { ".quit" }
}

fn line_editor(session: &Session) -> Reedline {
    let mut keys = default_emacs_keybindings();
    let complete =
        ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(COMPLETION_MENU.into()), ReedlineEvent::MenuNext]);
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    let menu = ColumnarMenu::default().with_name(COMPLETION_MENU);
    let mut editor = Reedline::create()
        .with_ansi_colors(terminal::stdout_has_color())
        .with_validator(Box::new(StatementValidator))
        .with_highlighter(Box::new(SqlHighlighter))
        .with_completer(Box::new(ShellCompleter::new(session.database().clone())))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_edit_mode(Box::new(Emacs::new(keys)));
    if let Some(history) = history::open() {
        editor = editor.with_history(history);
    }
    editor
}
