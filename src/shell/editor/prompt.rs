//! What stands before the text that is typed.

use std::borrow::Cow;

use reedline::{Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, ValidationResult, Validator};

use crate::shell::script::Script;

/// `name> `, and dots of the same width on the following lines.
pub(super) struct ShellPrompt {
    first: String,
    following: String,
}

impl ShellPrompt {
    /// A prompt with a name of at most a few characters.
    pub(super) fn new(name: &str) -> Self {
        let width = name.chars().count();
        Self { first: format!("{name}> "), following: format!("{}> ", ".".repeat(width)) }
    }
}

impl Prompt for ShellPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.first)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.following)
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let state = match search.status {
            PromptHistorySearchStatus::Passing => "search",
            PromptHistorySearchStatus::Failing => "not found",
        };
        Cow::Owned(format!("({state} '{}') ", search.term))
    }
}

/// Enter runs the text when its last statement has its `;`, and begins a new line otherwise.
pub(super) struct StatementValidator;

impl Validator for StatementValidator {
    fn validate(&self, text: &str) -> ValidationResult {
        if is_plain_word(text) || Script::is_complete(text) {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}

/// The words with which people leave or ask for help elsewhere; no SQL statement is one of them.
pub(super) fn is_plain_word(text: &str) -> bool {
    ["quit", "exit", "help", "\\q"].contains(&text.trim().to_lowercase().as_str())
}
