//! Markdown tables and one line per value.

use std::io::{self, Write};

use super::cell::{CellFormatter, is_numeric};
use super::format::{Rows, format_error};

/// Prints a Markdown table.
pub(super) fn print_markdown(rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::from("|");
    for field in rows.schema.fields() {
        line.push_str(&format!(" {} |", field.name().replace('|', "\\|")));
    }
    line.push_str("\n|");
    for field in rows.schema.fields() {
        line.push_str(if is_numeric(field.data_type()) { " ---: |" } else { " --- |" });
    }
    line.push('\n');
    out.write_all(line.as_bytes())?;
    for chunk in rows.chunks() {
        let cells = CellFormatter::new(&chunk).map_err(format_error)?;
        for row in 0..chunk.num_rows() {
            line.clear();
            line.push('|');
            for column in 0..chunk.num_columns() {
                let text = cells.text(column, row).unwrap_or_else(|| "NULL".into());
                line.push_str(&format!(" {} |", text.replace('|', "\\|")));
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
    }
    Ok(())
}

/// Prints each value on a line of its own; an empty line stands between rows.
pub(super) fn print_lines(rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let width = rows.schema.fields().iter().map(|field| field.name().chars().count()).max().unwrap_or(0);
    let mut is_first = true;
    for chunk in rows.chunks() {
        let cells = CellFormatter::new(&chunk).map_err(format_error)?;
        for row in 0..chunk.num_rows() {
            if !is_first {
                out.write_all(b"\n")?;
            }
            is_first = false;
            for (column, field) in rows.schema.fields().iter().enumerate() {
                let text = cells.text(column, row).unwrap_or_else(|| "NULL".into());
                writeln!(out, "{:>width$} = {text}", field.name())?;
            }
        }
    }
    Ok(())
}
