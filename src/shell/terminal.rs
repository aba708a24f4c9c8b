//! What the terminal can do.

use std::io::{self, IsTerminal};

/// Characters in a line of standard output; `None` when it is no terminal.
pub(super) fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    // comfy-table asks the terminal whose output it prints to.
    comfy_table::Table::new().width().map(usize::from)
}

/// Whether standard output shows colours.
pub(super) fn stdout_has_color() -> bool {
    io::stdout().is_terminal() && color_is_wanted()
}

/// Whether standard error shows colours.
pub(super) fn stderr_has_color() -> bool {
    io::stderr().is_terminal() && color_is_wanted()
}

/// See <https://no-color.org>.
fn color_is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}
