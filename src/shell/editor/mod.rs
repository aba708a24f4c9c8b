//! The prompt: line editing, history, completion and colours.

mod completer;
mod highlighter;
mod history;
mod prompt;
mod read_loop;

pub(super) use read_loop::run;
