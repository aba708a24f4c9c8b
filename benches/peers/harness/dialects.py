"""Where the SQL of the systems differs. Everything else of a query is the same text for all of them."""

class Dialect:
    """SQL of LynxStore; the peers override what they say differently."""

    name = "lynxstore"

    def bucket(self, width: str, column: str) -> str:
        """The start of the bucket that holds a time; width is '1 minute', '10 minutes', '1 hour' or '1 day'."""
        return f"time_bucket('{width}', {column})"

    def last(self, column: str) -> str:
        """The value of the newest row that has one."""
        return f"last({column})"

    def lastpoint(self, fields: list[str]) -> str:
        """The newest row of each host. Every gauge always has a value, so the last values are those of the last row."""
        values = ", ".join(f"last({field}) AS {field}" for field in fields)
        return f"SELECT hostname, max(time) AS time, {values} FROM cpu GROUP BY hostname"

    def percentile(self, share: float, column: str) -> str:
        """The interpolated percentile, exact."""
        return f"percentile_cont({column}, {share})"

    def seconds(self, time: str) -> str:
        """A time as seconds since the epoch."""
        return f"CAST({time} AS BIGINT) / 1000000000"

    def nullable(self, expression: str) -> str:
        """An expression that lag() and lead() answer with NULL beyond the first and last row."""
        return expression


class DuckDb(Dialect):
    """What DuckDB says differently."""

    name = "duckdb"

    def bucket(self, width, column):
        # date_trunc is faster than time_bucket, and there is none of ten minutes.
        if width.startswith("1 "):
            return f"date_trunc('{width[2:]}', {column})"
        return f"time_bucket(INTERVAL '{width}', {column})"

    def last(self, column):
        return f"arg_max({column}, time)"

    def lastpoint(self, fields):
        # Four times as fast as arg_max of ten columns.
        values = ", ".join(f"cpu.{field}" for field in fields)
        return (
            f"SELECT cpu.hostname, cpu.time, {values} FROM cpu JOIN (SELECT hostname, max(time) AS time FROM cpu "
            "GROUP BY hostname) AS newest ON cpu.hostname = newest.hostname AND cpu.time = newest.time"
        )

    def percentile(self, share, column):
        return f"quantile_cont({column}, {share})"

    def seconds(self, time):
        return f"epoch({time})"


_CHDB_BUCKETS = {"1 minute": "toStartOfMinute", "1 hour": "toStartOfHour", "1 day": "toStartOfDay"}


class ChDb(Dialect):
    """What ClickHouse says differently."""

    name = "chdb"

    def bucket(self, width, column):
        if width in _CHDB_BUCKETS:
            return f"{_CHDB_BUCKETS[width]}({column})"
        return f"toStartOfInterval({column}, INTERVAL {width})"

    def last(self, column):
        return f"argMax({column}, time)"

    def lastpoint(self, fields):
        # Faster than argMax of ten columns and than LIMIT 1 BY.
        values = ", ".join(fields)
        return (
            f"SELECT hostname, time, {values} FROM cpu WHERE (hostname, time) IN "
            "(SELECT hostname, max(time) FROM cpu GROUP BY hostname)"
        )

    def percentile(self, share, column):
        return f"quantileExactInclusive({share})({column})"

    def seconds(self, time):
        return f"toUnixTimestamp({time})"

    def nullable(self, expression):
        return f"toNullable({expression})"


DIALECTS = {dialect.name: dialect for dialect in [Dialect(), DuckDb(), ChDb()]}
