//! The aligned table for people: numbers to the right, NULL dimmed, long and wide results cut in the middle.

use std::io::{self, Write};

use comfy_table::modifiers::UTF8_ROUND_CORNERS;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use super::cell::{CellFormatter, is_numeric, type_name};
use super::format::{Rows, format_error};

/// What a table may take up and show.
#[derive(Debug, Clone)]
pub(crate) struct TableStyle {
    /// Rows above which the middle is left out; `None` shows all.
    pub(crate) rows_max: Option<usize>,
    /// Width above which columns in the middle are left out and long texts are cut; `None` shows all.
    pub(crate) width_max: Option<usize>,
    /// Whether a line under the names says the types.
    pub(crate) types: bool,
    /// Whether to use colour.
    pub(crate) color: bool,
}

/// How much of a result was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Rows.
    pub(crate) rows: usize,
    /// Columns.
    pub(crate) columns: usize,
}

/// Characters of one value before it is cut, when the width is bounded.
const CELL_CHARS_MAX: usize = 60;
/// Two blanks and a line beside each column.
const COLUMN_FRAME_CHARS: usize = 3;
const ELLIPSIS: &str = "…";

/// The value of a cell, the mark for what was left out, or NULL.
enum CellText {
    Value(String),
    Null,
    LeftOut,
}

/// Prints the rows as a table.
pub(super) fn print(rows: &Rows<'_>, style: &TableStyle, out: &mut dyn Write) -> io::Result<Shown> {
    let total_rows = rows.count();
    if rows.schema.fields().is_empty() {
        return Ok(Shown { rows: total_rows, columns: 0 });
    }
    let (head, tail) = match style.rows_max {
        Some(max) if total_rows > max => (max.div_ceil(2), max / 2),
        _ => (total_rows, 0),
    };
    let mut lines = collect(rows, 0..head, style)?;
    let is_cut = head + tail < total_rows;
    if is_cut {
        lines.push(rows.schema.fields().iter().map(|_| CellText::LeftOut).collect());
        lines.extend(collect(rows, total_rows - tail..total_rows, style)?);
    }
    let all_columns: Vec<Option<usize>> = (0..rows.schema.fields().len()).map(Some).collect();
    let table = build(rows, &lines, &all_columns, style);
    let columns = choose_columns(&table.column_max_content_widths(), style.width_max);
    let shown = columns.iter().flatten().count();
    let table = if shown < all_columns.len() { build(rows, &lines, &columns, style) } else { table };
    writeln!(out, "{table}")?;
    Ok(Shown { rows: head + tail, columns: shown })
}

/// The texts of the rows in a range of the whole result.
fn collect(rows: &Rows<'_>, range: std::ops::Range<usize>, style: &TableStyle) -> io::Result<Vec<Vec<CellText>>> {
    let mut lines = Vec::with_capacity(range.len());
    let mut batch_start = 0;
    for batch in rows.batches {
        let start = range.start.clamp(batch_start, batch_start + batch.num_rows()) - batch_start;
        let end = range.end.clamp(batch_start, batch_start + batch.num_rows()) - batch_start;
        batch_start += batch.num_rows();
        if start == end {
            continue;
        }
        let cells = CellFormatter::new(batch).map_err(format_error)?;
        lines.extend((start..end).map(|row| {
            let text = |column| match cells.text(column, row) {
                Some(text) if style.width_max.is_some() => CellText::Value(cut(text)),
                Some(text) => CellText::Value(text),
                None => CellText::Null,
            };
            (0..batch.num_columns()).map(text).collect()
        }));
    }
    Ok(lines)
}

fn cut(text: String) -> String {
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((end, _)) => format!("{}{ELLIPSIS}", &text[..end]),
        None => text,
    }
}

/// The columns that fit, from both ends; `None` stands for those left out.
fn choose_columns(widths: &[u16], width_max: Option<usize>) -> Vec<Option<usize>> {
    let needed = |index: usize| usize::from(widths[index]) + COLUMN_FRAME_CHARS;
    let total: usize = (0..widths.len()).map(needed).sum::<usize>() + 1;
    let width_max = match width_max {
        Some(max) if total > max && widths.len() > 1 => max,
        _ => return (0..widths.len()).map(Some).collect(),
    };
    // The first column identifies the row, so it stays even when it alone is too wide.
    let mut used = 1 + needed(0) + ELLIPSIS.chars().count() + COLUMN_FRAME_CHARS;
    let (mut left, mut right) = (1, widths.len());
    while left < right {
        let take_right = widths.len() - right < left;
        let index = if take_right { right - 1 } else { left };
        if used + needed(index) > width_max {
            break;
        }
        used += needed(index);
        if take_right { right -= 1 } else { left += 1 }
    }
    (0..left).map(Some).chain([None]).chain((right..widths.len()).map(Some)).collect()
}

fn build(rows: &Rows<'_>, lines: &[Vec<CellText>], columns: &[Option<usize>], style: &TableStyle) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).apply_modifier(UTF8_ROUND_CORNERS);
    table.set_content_arrangement(ContentArrangement::Disabled);
    if style.color {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    let dim = |cell: Cell| cell.add_attribute(Attribute::Dim);
    let fields = rows.schema.fields();
    table.set_header(columns.iter().map(|column| {
        match column {
            Some(index) if style.types => {
                Cell::new(format!("{}\n{}", fields[*index].name(), type_name(fields[*index].data_type())))
                    .add_attribute(Attribute::Bold)
            }
            Some(index) => Cell::new(fields[*index].name()).add_attribute(Attribute::Bold),
            None => dim(Cell::new(ELLIPSIS)),
        }
    }));
    for line in lines {
        table.add_row(columns.iter().map(|column| match column.map(|index| &line[index]) {
            Some(CellText::Value(text)) => Cell::new(text),
            Some(CellText::Null) => dim(Cell::new("NULL")).fg(Color::DarkGrey),
            Some(CellText::LeftOut) | None => dim(Cell::new(ELLIPSIS)),
        }));
    }
    for (position, column) in columns.iter().enumerate() {
        if let (Some(index), Some(target)) = (column, table.column_mut(position))
            && is_numeric(fields[*index].data_type())
        {
            target.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests;
