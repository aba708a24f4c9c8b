"""DuckDB in-process: tags as enums, rows ordered by host or truck and time, so that zone maps exclude most of them."""

from pathlib import Path

import duckdb
import pyarrow

from .. import devops, iot


class DuckDb:
    """One connection to one database file."""

    def __init__(self, directory: Path):
        self._connection = duckdb.connect(directory / "peer.duckdb")

    @staticmethod
    def load(directory: Path, files: list[Path]) -> None:
        directory.mkdir(parents=True)
        with duckdb.connect(directory / "peer.duckdb") as connection:
            for file in files:
                table = file.stem.split("-")[0]
                tags = devops.TAGS if table == "cpu" else iot.TAGS
                for tag in tags:
                    connection.execute(
                        f"CREATE TYPE {table}_{tag} AS ENUM (SELECT DISTINCT {tag} FROM '{file}' "
                        f"WHERE {tag} IS NOT NULL ORDER BY 1)"
                    )
                columns = ", ".join(f"{tag}::{table}_{tag} AS {tag}" for tag in tags)
                connection.execute(
                    f"CREATE TABLE {table} AS SELECT time::TIMESTAMP AS time, {columns}, "
                    f"* EXCLUDE (time, {', '.join(tags)}) FROM '{file}' ORDER BY {tags[0]}, time"
                )
            connection.execute("CHECKPOINT")

    @staticmethod
    def settle(directory: Path) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in directory.iterdir())

    def run(self, statement: str):
        return self._connection.sql(statement).to_arrow_table()

    @staticmethod
    def table(result) -> pyarrow.Table:
        return result
