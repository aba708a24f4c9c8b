"""Runs the queries of the slt files on DuckDB and compares its rows with those that stand in the files."""

import argparse
import sys
from collections import Counter
from pathlib import Path

import duckdb

from . import rows, slt_file
from .rewrites import NotTranslatable
from .tables import Database


def main() -> int:
    """1 when a row differs, or fewer queries were checked than asked for."""
    parser = argparse.ArgumentParser(prog=".ci/check-answers.sh", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="slt files [default: all of testdata/slt]")
    parser.add_argument("--checked-min", type=int, default=0, help="fail when fewer queries were checked")
    parser.add_argument("--reasons", action="store_true", help="show each query that could not be translated")
    options = parser.parse_args()
    project = Path(__file__).parent.parent.parent
    files = options.files or sorted((project / "testdata/slt").glob("*.slt"))
    total, reasons, failures = Counter(), Counter(), []
    for file in files:
        counts = Counter()
        for what, detail in _check(file):
            counts[what] += 1
            if what == "not translatable":
                reasons[detail.splitlines()[0]] += 1
                if options.reasons:
                    print(f"not translatable: {detail}\n")
            elif what == "differing":
                failures.append(detail)
        total += counts
        print(f"{file.name}: " + ", ".join(f"{counts[what]} {what}" for what in _OUTCOMES))
    print("\nnot translatable, by reason:")
    for reason, count in reasons.most_common():
        print(f"{count:6} {reason}")
    for failure in failures:
        print(f"\nDIFFERENT {failure}", file=sys.stderr)
    print(f"\nDuckDB {duckdb.__version__}: " + ", ".join(f"{total[what]} {what}" for what in _OUTCOMES))
    checked = total["checked"]
    if checked < options.checked_min:
        print(f"{checked} queries were checked, {options.checked_min} are expected", file=sys.stderr)
        return 1
    return 1 if failures else 0


_OUTCOMES = ["checked", "differing", "not translatable"]


def _check(file: Path):
    """Per query of a file the outcome and what to say about it."""
    database, lost = Database(), None
    for record in slt_file.read(file):
        where = f"{file.name}:{record.line}"
        if record.kind == "statement" and lost is None:
            try:
                database.run(record.sql)
            except (NotTranslatable, duckdb.Error) as error:
                # What the tables hold from here on is not what LynxStore's hold.
                lost = f"after a statement that DuckDB did not follow: {_first_line(error)}"
        if record.kind != "query":
            continue
        if lost is not None:
            yield "not translatable", f"{lost}\n{where}: {record.sql}"
            continue
        try:
            found = database.rows(record.sql)
        except (NotTranslatable, duckdb.Error, ValueError) as error:
            yield "not translatable", f"{_first_line(error)}\n{where}: {record.sql}"
            continue
        if rows.equal(record.rows, found, record.sort_mode):
            yield "checked", ""
        else:
            shown = "\n".join(["LynxStore:", *record.rows, "DuckDB:", *found])
            yield "differing", f"{where}: {record.sql}\n{shown}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
