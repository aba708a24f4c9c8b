"""Compares the rows of two systems: sorted, floats within a relative 1e-9, everything else exactly."""

from pathlib import Path
from typing import Optional

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

TOLERANCE = 1e-9


def difference(first: Path, second: Path) -> Optional[str]:
    """What differs between two files of rows, in words and with rows of both; None when they agree."""
    left, right = _plain(first), _plain(second)
    if left.num_rows != right.num_rows:
        return f"{left.num_rows} rows and {right.num_rows} rows\n{_show(left)}\n{_show(right)}"
    if sorted(left.column_names) != sorted(right.column_names):
        return f"columns {left.column_names} and {right.column_names}"
    right = right.select(left.column_names)
    # Floats go last into the order of rows, since their last digits may differ.
    floats = {
        name
        for name in left.column_names
        if pa.types.is_floating(left[name].type) or pa.types.is_floating(right[name].type)
    }
    order = [(name, "ascending") for name in left.column_names if name not in floats]
    order += [(name, "ascending") for name in left.column_names if name in floats]
    left, right = left.sort_by(order), right.sort_by(order)
    for name in left.column_names:
        row = _first_unequal(left[name], right[name], name in floats)
        if row is not None:
            return f"column {name} of row {row} (sorted)\n{left.slice(row, 3)}\n{right.slice(row, 3)}"
    return None


def _plain(path: Path) -> pa.Table:
    """The rows with one type per kind of value: text, 64-bit integers, floats, times in nanoseconds."""
    table = pyarrow.parquet.read_table(path)
    columns = {}
    for field in table.schema:
        column, kind = table[field.name], field.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
        elif kind == pa.uint32():
            # Times of ClickHouse are seconds in Arrow.
            column = pc.multiply(column.cast(pa.int64()), 1_000_000_000)
        elif pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            column = column.cast(pa.int64())
        elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            column = column.cast(pa.float64())
        else:
            column = column.cast(pa.string())
        columns[field.name] = column
    return pa.table(columns)


def _first_unequal(left: pa.ChunkedArray, right: pa.ChunkedArray, is_float: bool) -> Optional[int]:
    if is_float:
        left, right = left.cast(pa.float64()), right.cast(pa.float64())
        size = pc.max_element_wise(pc.abs(left), pc.abs(right))
        close = pc.less_equal(pc.abs(pc.subtract(left, right)), pc.multiply(size, TOLERANCE))
        equal = pc.or_(close, pc.equal(left, right))
    else:
        equal = pc.equal(left, right)
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    one_null = pc.xor(pc.is_null(left), pc.is_null(right))
    same = pc.if_else(both_null, True, pc.if_else(one_null, False, equal))
    index = pc.index(same, False).as_py()
    return None if index < 0 else index


def _show(table: pa.Table) -> str:
    return str(table.slice(0, 5))
