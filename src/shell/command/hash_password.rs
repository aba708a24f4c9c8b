//! `tsq hash-password`: hashes for the credentials file of a server.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::server::{hash_password, hash_token, new_token};
use crate::shell::cli::HashPasswordArgs;
use crate::shell::error::{CommandError, Result};

/// Prints the hash of a password that is typed or piped in, or a new token with its hash.
pub(super) fn run(args: &HashPasswordArgs) -> Result<()> {
    let lines = if args.token {
        let token = new_token().map_err(CommandError::input)?;
        format!(
            "token = \"{token}\"  # for the sender; it is shown this once\ntoken_sha256 = \"{}\"\n",
            hash_token(&token)
        )
    } else {
        format!("password_bcrypt = '{}'\n", hash_password(&read_password()?).map_err(CommandError::Input)?)
    };
    io::stdout().write_all(lines.as_bytes()).map_err(CommandError::Output)
}

/// A line of standard input; on a terminal twice, and not shown.
fn read_password() -> Result<String> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    let _hidden = HiddenInput::begin();
    let password = ask("Password: ")?;
    if ask("Again: ")? != password {
        return Err(CommandError::input("the two passwords differ"));
    }
    Ok(password)
}

fn ask(prompt: &str) -> Result<String> {
    // Standard output is for the hash.
    let _ = io::stderr().write_all(prompt.as_bytes());
    let line = read_line();
    let _ = io::stderr().write_all(b"\n");
    line
}

fn read_line() -> Result<String> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CommandError::Input(format!("cannot read a password: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Keeps what is typed off the screen until it is dropped.
struct HiddenInput {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl HiddenInput {
    #[cfg(unix)]
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        // A terminal that cannot hide what is typed is used as it is.
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &hidden);
        }
        Self { before }
    }

    #[cfg(not(unix))]
    fn begin() -> Self {
        Self {}
    }
}

#[cfg(unix)]
impl Drop for HiddenInput {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Flush, before);
        }
    }
}
