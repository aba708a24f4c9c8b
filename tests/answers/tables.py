"""The tables of one file in DuckDB: the same columns, and the rows that the rule for duplicates leaves."""

import re
from dataclasses import dataclass

import duckdb

from . import gapfill
from .rewrites import NotTranslatable, Scope, translate
from .syntax import split_commas, tokens

_TYPES = {
    "TIMESTAMP": "TIMESTAMP_NS",
    "DATETIME": "TIMESTAMP_NS",
    "STRING": "VARCHAR",
    "TEXT": "VARCHAR",
    "BIGINT UNSIGNED": "UBIGINT",
    "BYTEA": "BLOB",
}


@dataclass
class Table:
    """A table as LynxStore knows it."""

    time: str
    tags: list[str]
    fields: list[str]
    dedup: str


class Database:
    """A DuckDB database in memory that follows the statements of a file."""

    def __init__(self) -> None:
        self._duckdb = duckdb.connect()
        # NULLs sort last in ascending and first in descending order, and integers divide as integers.
        self._duckdb.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
        self._duckdb.execute("SET integer_division = true")
        # Rows come out in the order of a subquery's ORDER BY.
        self._duckdb.execute("SET threads = 1")
        self._tables: dict[str, Table] = {}

    def run(self, sql: str) -> None:
        """Carries out a statement that has no rows."""
        words = [token for token in tokens(sql) if not token.isspace()]
        start = " ".join(word.upper() for word in words[:2])
        if start.split()[0] in ("CHECKPOINT", "OPTIMIZE"):
            return
        if start == "CREATE TABLE":
            self._create(sql)
        elif start == "INSERT INTO":
            self._insert(sql)
        elif start == "DROP TABLE":
            self._duckdb.execute(sql)
            for name in words[2:]:
                self._tables.pop(name.lower(), None)
        elif start in ("DELETE FROM", "TRUNCATE TABLE"):
            self._duckdb.execute(translate(sql, Scope()))
        elif start == "ALTER TABLE":
            self._alter(sql)
        else:
            raise NotTranslatable(f"the statement {start}")

    def rows(self, sql: str) -> list[str]:
        """The rows of a query as lines of text, in the words of an slt file."""
        scope = self._scope(sql)
        query = translate(gapfill.replace(sql), scope)
        names = [f"c{column}" for column in range(len(self._duckdb.execute(query).description))]
        shown = ", ".join(f"{name}::VARCHAR, typeof({name})" for name in names)
        self._duckdb.execute(f"SELECT {shown} FROM ({query}) AS rows({', '.join(names)})")
        return [
            " ".join(_shown(text, kind) for text, kind in zip(row[::2], row[1::2]))
            for row in self._duckdb.fetchall()
        ]

    def _scope(self, sql: str) -> Scope:
        for token in tokens(sql):
            table = self._tables.get(token.lower().strip('"'))
            if table:
                return Scope(table.time, tuple(table.tags))
        return Scope()

    def _create(self, sql: str) -> None:
        sql, _, options = sql.partition(" WITH (")
        found = re.fullmatch(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+|\"[^\"]+\") \((.*)\)", sql, re.DOTALL)
        if not found:
            raise NotTranslatable("this CREATE TABLE")
        name = found[1].strip('"').lower()
        if name in self._tables:
            return
        table = Table("", [], [], "last")
        types: dict[str, str] = {}
        for part in split_commas(tokens(found[2])):
            column, kind = re.fullmatch(r'\s*("[^"]+"|\w+)\s+(.*?)\s*', "".join(part), re.DOTALL).groups()
            column = column.strip('"')
            words = kind.upper().split()
            if words[-1] == "TIME":
                table.time = column
            elif words[-1] == "TAG":
                table.tags.append(column)
            else:
                table.fields.append(column)
                words.append("")
            kind = " ".join(words[:-1])
            types[column] = _TYPES.get(kind, kind)
        option = re.search(r"dedup\s*=\s*'(\w+)'", options)
        table.dedup = option[1] if option else "last"
        columns = [table.time, *table.tags, *table.fields]
        self._duckdb.execute(f'CREATE TABLE "{name}" ({", ".join(f"{_name(c)} {types[c]}" for c in columns)})')
        self._tables[name] = table

    def _alter(self, sql: str) -> None:
        found = re.fullmatch(r"ALTER TABLE (?:IF EXISTS )?(\w+) (.*)", sql, re.DOTALL)
        table = self._tables.get(found[1].lower()) if found else None
        if found is None or re.match(r"(RE)?SET\b", found[2]):
            raise NotTranslatable("ALTER TABLE ... SET: DuckDB has no such options")
        if table is None:
            return
        change = re.sub(r"\b(DOUBLE|BIGINT|TEXT)\b", lambda kind: _TYPES.get(kind[1], kind[1]), found[2])
        self._duckdb.execute(f"ALTER TABLE {found[1]} {change.removesuffix(' TAG')}")
        if added := re.match(r"ADD (?:COLUMN )?(?:IF NOT EXISTS )?(\w+)(.*)", found[2]):
            known = table.tags if added[2].endswith(" TAG") else table.fields
            known.extend([] if added[1] in known else [added[1]])
        elif dropped := re.match(r"DROP (?:COLUMN )?(\w+)", found[2]):
            table.fields.remove(dropped[1])
        elif renamed := re.match(r"RENAME COLUMN (\w+) TO (\w+)", found[2]):
            table.fields = [renamed[2] if field == renamed[1] else field for field in table.fields]
        elif renamed := re.match(r"RENAME TO (\w+)", found[2]):
            self._tables[renamed[1].lower()] = self._tables.pop(found[1].lower())

    def _insert(self, sql: str) -> None:
        found = re.fullmatch(r"INSERT INTO (\w+|\"[^\"]+\")\s*(\([^()']*\))?\s*((?:VALUES|SELECT|WITH)\b.*)", sql, re.DOTALL)
        if not found:
            raise NotTranslatable("this INSERT")
        name = found[1].strip('"').lower()
        table = self._tables.get(name)
        if table is None:
            raise NotTranslatable(f"an INSERT into {name}, which is not there")
        columns = [table.time, *table.tags, *table.fields]
        if found[2]:
            columns = [column.strip().strip('"') for column in found[2][1:-1].split(",")]
        source = translate(found[3], self._scope(found[3]))
        given = self._duckdb.execute(f"SELECT * FROM ({source})").description
        columns = columns[: len(given)]
        values = [
            # A number is a time in nanoseconds.
            f"make_timestamp_ns({_name(column)})"
            if column == table.time and str(description[1]) in ("BIGINT", "INTEGER", "NUMBER", "HUGEINT")
            else _name(column)
            for column, description in zip(columns, given)
        ]
        names = ", ".join(_name(column) for column in columns)
        self._duckdb.execute(
            f'INSERT INTO "{name}" ({names}) SELECT {", ".join(values)} FROM ({source}) AS given({names})'
        )
        self._resolve_duplicates(name, table)

    def _resolve_duplicates(self, name: str, table: Table) -> None:
        """Rows of equal tags and time become one: the first row, or the last value of each field that is not NULL."""
        if table.dedup == "off":
            return
        keys = [_name(column) for column in [table.time, *table.tags]]
        if table.dedup == "first":
            kept = f"SELECT * FROM \"{name}\" QUALIFY row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY rowid) = 1"
        else:
            fields = [
                f"arg_max({_name(field)}, rowid) FILTER (WHERE {_name(field)} IS NOT NULL) AS {_name(field)}"
                for field in table.fields
            ]
            kept = f"SELECT {', '.join(keys + fields)} FROM \"{name}\" GROUP BY {', '.join(keys)}"
        self._duckdb.execute(f"CREATE TEMP TABLE kept AS {kept}")
        self._duckdb.execute(f'DELETE FROM "{name}"')
        self._duckdb.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM kept')
        self._duckdb.execute("DROP TABLE kept")


def _name(column: str) -> str:
    return f'"{column}"'


def _shown(text: str | None, kind: str) -> str:
    if text is None:
        return "NULL"
    if kind.startswith("TIMESTAMP"):
        return text.replace(" ", "T")
    if kind == "BLOB":
        return re.sub(r"\\x(..)|(.)", lambda c: c[1].lower() if c[1] else f"{ord(c[2]):02x}", text, flags=re.DOTALL)
    return text if text else "(empty)"
