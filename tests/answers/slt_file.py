"""Reads files in the format of sqllogictest, as far as `testdata/slt` uses it."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Record:
    """One statement of a file."""

    line: int
    sql: str
    # "statement" is carried out, "error" is expected to fail, "query" has rows.
    kind: str
    sort_mode: str = "nosort"
    # The rows as lines of text.
    rows: list[str] = field(default_factory=list)


def read(path: Path) -> list[Record]:
    """The records of a file, in order."""
    lines = path.read_text().splitlines()
    records, at = [], 0
    while at < len(lines):
        head = lines[at].split()
        at += 1
        if not head or head[0].startswith("#") or head[0] in ("control", "halt", "subtest"):
            continue
        if head[0] not in ("statement", "query"):
            raise ValueError(f"{path}:{at}: unknown record '{head[0]}'")
        start, body = at, []
        while at < len(lines) and lines[at].strip() and lines[at] != "----":
            body.append(lines[at])
            at += 1
        record = Record(line=start, sql="\n".join(body), kind=_kind(head))
        if head[0] == "query" and record.kind == "query":
            record.sort_mode = head[2] if len(head) > 2 else "nosort"
        if at < len(lines) and lines[at] == "----":
            at += 1
            while at < len(lines) and lines[at].strip():
                record.rows.append(lines[at])
                at += 1
        records.append(record)
    return records


def _kind(head: list[str]) -> str:
    return "error" if len(head) > 1 and head[1] == "error" else head[0]
