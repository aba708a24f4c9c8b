"""The TSBS devops queries over `cpu`, as its code defines them (its README errs on three ranges), and three queries
over the whole table."""

from .query import Dialect, Draw, Query, Target

TAGS = [
    "hostname",
    "region",
    "datacenter",
    "rack",
    "os",
    "arch",
    "team",
    "service",
    "service_version",
    "service_environment",
]
FIELDS = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
]


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _max_per(width: str, fields: int, hosts: int, hours: float):
    def text(dialect: Dialect, draw: Draw) -> str:
        start, end = draw.window(hours)
        values = ", ".join(f"max({field}) AS max_{field}" for field in FIELDS[:fields])
        return (
            f"SELECT {dialect.bucket(width, 'time')} AS bucket, {values} FROM cpu "
            f"WHERE hostname IN ({_quoted(draw.names('host', hosts))}) AND time >= '{start}' AND time < '{end}' "
            f"GROUP BY bucket ORDER BY bucket"
        )

    return text


def _double_groupby(fields: int):
    def text(dialect: Dialect, draw: Draw) -> str:
        start, end = draw.window(12)
        values = ", ".join(f"avg({field}) AS avg_{field}" for field in FIELDS[:fields])
        return (
            f"SELECT {dialect.bucket('1 hour', 'time')} AS hour, hostname, {values} FROM cpu "
            f"WHERE time >= '{start}' AND time < '{end}' GROUP BY hour, hostname ORDER BY hour, hostname"
        )

    return text


def _high_cpu(hosts: int):
    def text(dialect: Dialect, draw: Draw) -> str:
        start, end = draw.window(12)
        chosen = f" AND hostname IN ({_quoted(draw.names('host', hosts))})" if hosts else ""
        return f"SELECT * FROM cpu WHERE usage_user > 90.0 AND time >= '{start}' AND time < '{end}'{chosen}"

    return text


def _groupby_orderby_limit(dialect: Dialect, draw: Draw) -> str:
    _, end = draw.window(1)
    return (
        f"SELECT {dialect.bucket('1 minute', 'time')} AS minute, max(usage_user) AS max_usage_user FROM cpu "
        f"WHERE time < '{end}' GROUP BY minute ORDER BY minute DESC LIMIT 5"
    )


def _point_parameters(draw: Draw) -> list:
    start, end = draw.window(1)
    return [draw.names("host", 1)[0], start, end]


_POINT_PREPARED = (
    "SELECT time_bucket('1 minute', time) AS bucket, max(usage_user) AS max_usage_user FROM cpu "
    "WHERE hostname = $1 AND time >= $2 AND time < $3 GROUP BY bucket ORDER BY bucket",
    _point_parameters,
)

_POINT = Target(1 / 20)

QUERIES = [
    Query("single-groupby-1-1-1", "cpu", _max_per("1 minute", 1, 1, 1), Target(1 / 20, milliseconds=0.064), 40),
    Query(
        "single-groupby-1-1-1 prepared",
        "cpu",
        _max_per("1 minute", 1, 1, 1),
        Target(1 / 80, milliseconds=0.016),
        40,
        prepared=_POINT_PREPARED,
    ),
    Query("single-groupby-1-1-12", "cpu", _max_per("1 minute", 1, 1, 12), _POINT, 40),
    Query("single-groupby-1-8-1", "cpu", _max_per("1 minute", 1, 8, 1), _POINT, 40),
    Query("single-groupby-5-1-1", "cpu", _max_per("1 minute", 5, 1, 1), _POINT, 40),
    Query("single-groupby-5-1-12", "cpu", _max_per("1 minute", 5, 1, 12), _POINT, 40),
    Query("single-groupby-5-8-1", "cpu", _max_per("1 minute", 5, 8, 1), _POINT, 40),
    Query("cpu-max-all-1", "cpu", _max_per("1 hour", 10, 1, 8), _POINT, 40),
    Query("cpu-max-all-8", "cpu", _max_per("1 hour", 10, 8, 8), _POINT, 40),
    Query("cpu-max-all-32-24", "cpu", _max_per("1 hour", 10, 32, 24), _POINT, 20),
    Query("double-groupby-1", "cpu", _double_groupby(1), Target(1 / 25, 1 / 12), 7),
    Query("double-groupby-5", "cpu", _double_groupby(5), Target(1 / 25, 1 / 12), 7),
    Query("double-groupby-all", "cpu", _double_groupby(10), Target(1 / 25, 1 / 12), 7),
    Query("high-cpu-1", "cpu", _high_cpu(1), Target(1 / 10), 40),
    Query("high-cpu-all", "cpu", _high_cpu(0), Target(1 / 20), 5),
    Query("lastpoint", "cpu", lambda dialect, draw: dialect.lastpoint(FIELDS), Target(1 / 1000), 5),
    Query("groupby-orderby-limit", "cpu", _groupby_orderby_limit, Target(1 / 100), 7),
    Query(
        "whole-table",
        "cpu",
        lambda dialect, draw: "SELECT avg(usage_user) AS a, max(usage_user) AS b, min(usage_user) AS c, "
        "count(*) AS n FROM cpu",
        Target(1 / 50, 1 / 8),
        7,
    ),
    Query(
        "by-region-os",
        "cpu",
        lambda dialect, draw: "SELECT region, os, avg(usage_user) AS a, max(usage_user) AS b FROM cpu "
        "GROUP BY region, os",
        Target(1 / 100, 1 / 20),
        7,
    ),
    Query(
        "p99-by-region",
        "cpu",
        lambda dialect, draw: f"SELECT region, {dialect.percentile(0.99, 'usage_user')} AS p99 FROM cpu "
        "GROUP BY region",
        Target(1 / 5),
        5,
    ),
]
