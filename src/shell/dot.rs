//! Dot commands: their names, their arguments and what they do. An unambiguous beginning of a name is enough.

use super::output::Format;

/// A dot command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DotCommand {
    /// Lists the commands.
    Help,
    /// Lists the tables.
    Tables,
    /// Shows what each table has in each tier.
    Tiers,
    /// Prints the statements that make one table or all.
    Schema(Option<String>),
    /// Sets the format, or prints it.
    Mode(Option<Format>),
    /// Switches the timer.
    Timer(bool),
    /// Switches the line of types under the names.
    Types(bool),
    /// Sets the number of rows that a table shows; `None` shows all.
    MaxRows(Option<usize>),
    /// Runs a file.
    Read(String),
    /// Moves a database that is open read-only to the newest state.
    Refresh,
    /// Leaves the shell.
    Quit,
}

/// Name, arguments and purpose of each command, in the order of `.help`.
pub(super) const DOT_COMMANDS: [(&str, &str, &str); 12] = [
    (".help", "", "show this list"),
    (".tables", "", "list the tables"),
    (".tiers", "", "show what each table has in each tier: partitions, rows, bytes, compression, age"),
    (".schema", "[TABLE]", "show the CREATE TABLE statement of a table, or of all"),
    (".mode", "[FORMAT]", "print rows as table, csv, json, jsonl, markdown or line"),
    (".maxrows", "N|all", "show at most N rows of a table (40)"),
    (".timer", "on|off", "show the time of each statement"),
    (".types", "on|off", "show the types of columns in tables"),
    (".read", "FILE", "run the statements and dot commands of a file"),
    (".refresh", "", "see what another process has written since, in a database that is open read-only"),
    (".quit", "", "leave the shell, as Ctrl-D does"),
    (".exit", "", "the same"),
];

impl DotCommand {
    /// Reads a command from a line that begins with a dot; a `;` at its end does no harm.
    ///
    /// # Errors
    /// One line that says what would have been right.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (word, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = Some(unquote(argument.trim())).filter(|text| !text.is_empty());
        let command = match full_name(word)? {
            ".help" => Self::Help,
            ".tables" => Self::Tables,
            ".tiers" => Self::Tiers,
            ".schema" => return Ok(Self::Schema(argument.map(str::to_owned))),
            ".mode" => return argument.map(parse_format).transpose().map(Self::Mode),
            ".maxrows" => return parse_rows(argument).map(Self::MaxRows),
            ".refresh" => Self::Refresh,
            ".timer" => return parse_switch(".timer", argument).map(Self::Timer),
            ".types" => return parse_switch(".types", argument).map(Self::Types),
            ".read" => {
                let path = argument.ok_or("which file? as in: .read queries.sql")?;
                return Ok(Self::Read(path.to_owned()));
            }
            _ => Self::Quit,
        };
        match argument {
            Some(argument) => Err(format!("{word} takes no argument, but there is '{argument}'")),
            None => Ok(command),
        }
    }
}

fn full_name(word: &str) -> Result<&'static str, String> {
    let names = || DOT_COMMANDS.iter().map(|(name, ..)| *name);
    if let Some(exact) = names().find(|name| *name == word) {
        return Ok(exact);
    }
    let candidates: Vec<&str> = names().filter(|name| name.starts_with(word)).collect();
    match candidates.as_slice() {
        [only] => Ok(only),
        [] => Err(format!("unknown command {word}: see .help")),
        several => Err(format!("{word} could be {}: type one more letter", several.join(" or "))),
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    let text = text.to_lowercase();
    let candidates: Vec<_> = Format::ALL.iter().filter(|(name, _)| name.starts_with(&text)).collect();
    match candidates.as_slice() {
        _ if text == "json" => Ok(Format::Json),
        [(_, format)] => Ok(*format),
        _ => Err(format!("unknown format '{text}': use {}", Format::ALL.map(|(name, _)| name).join(", "))),
    }
}

fn parse_switch(name: &str, argument: Option<&str>) -> Result<bool, String> {
    match argument {
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        _ => Err(format!("{name} takes on or off")),
    }
}

fn parse_rows(argument: Option<&str>) -> Result<Option<usize>, String> {
    match argument {
        Some("all" | "0") => Ok(None),
        Some(number) => number.parse().map(Some).map_err(|_| format!("'{number}' is no number of rows")),
        None => Err(".maxrows takes a number of rows, or all".into()),
    }
}

fn unquote(text: &str) -> &str {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_shortened() {
        assert_eq!(DotCommand::parse(".q"), Ok(DotCommand::Quit));
        assert_eq!(DotCommand::parse(".mo ma"), Ok(DotCommand::Mode(Some(Format::Markdown))));
        assert_eq!(DotCommand::parse(".mode json"), Ok(DotCommand::Mode(Some(Format::Json))));
        assert_eq!(DotCommand::parse(".sc \"my table\";"), Ok(DotCommand::Schema(Some("my table".into()))));
        assert_eq!(DotCommand::parse(".maxrows all"), Ok(DotCommand::MaxRows(None)));
        assert_eq!(DotCommand::parse(".tim on"), Ok(DotCommand::Timer(true)));
        assert_eq!(DotCommand::parse(".tie"), Ok(DotCommand::Tiers));
        assert_eq!(DotCommand::parse(".exit "), Ok(DotCommand::Quit));
        assert_eq!(DotCommand::parse(".ref"), Ok(DotCommand::Refresh));
    }

    #[test]
    fn mistakes_are_explained() {
        let error = |line| DotCommand::parse(line).unwrap_err();
        assert_eq!(error(".t"), ".t could be .tables or .tiers or .timer or .types: type one more letter");
        assert_eq!(error(".foo"), "unknown command .foo: see .help");
        assert_eq!(error(".timer maybe"), ".timer takes on or off");
        assert!(error(".mode xml").contains("markdown"));
        assert!(error(".quit now").contains("no argument"));
        assert!(error(".read").contains("which file"));
    }
}
