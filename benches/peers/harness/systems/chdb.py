"""chDB (ClickHouse in-process): MergeTree ordered by host or truck and time, one part after the load."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
from chdb import session

from .. import devops, iot

class ChDb:
    """One session over one directory."""

    def __init__(self, directory: Path):
        self._session = session.Session(str(directory))
        self._session.query("USE peer")

    @staticmethod
    def load(directory: Path, files: list[Path]) -> None:
        directory.mkdir(parents=True)
        with session.Session(str(directory)) as connection:
            connection.query("CREATE DATABASE peer")
            for file in files:
                connection.query(f"CREATE TABLE peer.{_definition(file)}")
                connection.query(f"INSERT INTO peer.{file.stem.split('-')[0]} SELECT * FROM file('{file}', Parquet)")

    @staticmethod
    def settle(directory: Path) -> int:
        """Merges each table to one part, which is not counted as load, and gives the bytes of the parts."""
        with session.Session(str(directory)) as connection:
            for table in str(connection.query("SHOW TABLES FROM peer", "TSV")).split():
                connection.query(f"OPTIMIZE TABLE peer.{table} FINAL")
            parts = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'peer'"
            return int(str(connection.query(parts, "TSV")))

    def run(self, statement: str):
        return self._session.query(statement, "Arrow").bytes()

    @staticmethod
    def table(result) -> pyarrow.Table:
        return pyarrow.ipc.open_file(pyarrow.py_buffer(result)).read_all()


def _definition(file: Path) -> str:
    """Table of the columns of a file. Codecs were chosen by trial: small and fast to read."""
    table = file.stem.split("-")[0]
    tags = devops.TAGS if table == "cpu" else iot.TAGS
    # The cpu table has no NULL.
    wrap = "{}" if table == "cpu" else "Nullable({})"
    columns = []
    for field in pyarrow.parquet.read_schema(file):
        if field.name == "time":
            columns.append("time DateTime CODEC(DoubleDelta, LZ4)")
        elif field.name in tags:
            columns.append(f"{field.name} LowCardinality({wrap.format('String')})")
        elif pyarrow.types.is_integer(field.type):
            columns.append(f"{field.name} {wrap.format('Int64')} CODEC(T64, LZ4)")
        else:
            columns.append(f"{field.name} {wrap.format('Float64')} CODEC(ZSTD(1))")
    return (
        f"{table} ({', '.join(columns)}) ENGINE = MergeTree ORDER BY ({tags[0]}, time) "
        "SETTINGS allow_nullable_key = 1, old_parts_lifetime = 1, fsync_after_insert = 1"
    )
