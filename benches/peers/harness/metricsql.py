"""The devops queries that MetricsQL can say, after the suite's text for VictoriaMetrics.

Its buckets end at the steps of the range and so do not begin at whole minutes or hours: the work is the same, the rows
are not, and they are not compared. It cannot say `high-cpu`, which returns rows of ten fields, nor
`groupby-orderby-limit`, which returns a part of its buckets.
"""

from datetime import datetime, timezone

from .devops import FIELDS
from .query import Draw


def _seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp()


def _metrics(fields: int, hosts: list[str]) -> str:
    names = "|".join(FIELDS[:fields])
    where = f", hostname=~\"{'|'.join(hosts)}\"" if hosts else ""
    return f'{{__name__=~"cpu_({names})"{where}}}'


def _max_per(step: int, fields: int, hosts: int, hours: float):
    def request(draw: Draw) -> dict:
        start, end = draw.window(hours)
        expression = f"max(max_over_time({_metrics(fields, draw.names('host', hosts))}[{step}s])) by (__name__)"
        return _range(expression, start, end, step)

    return request


def _double_groupby(fields: int):
    def request(draw: Draw) -> dict:
        start, end = draw.window(12)
        expression = f"avg(avg_over_time({_metrics(fields, [])}[1h])) by (__name__, hostname)"
        return _range(expression, start, end, 3600)

    return request


def _range(expression: str, start: str, end: str, step: int) -> dict:
    # The value at a step is of the time before it.
    first = _seconds(start) + step
    return {"path": "query_range", "query": expression, "start": first, "end": _seconds(end), "step": f"{step}s"}


def _whole(expression: str):
    def request(draw: Draw) -> dict:
        _, end = draw.window(1_000_000)
        return {"path": "query", "query": expression, "time": _seconds(end)}

    return request


REQUESTS = {
    "single-groupby-1-1-1": _max_per(60, 1, 1, 1),
    "single-groupby-1-1-12": _max_per(60, 1, 1, 12),
    "single-groupby-1-8-1": _max_per(60, 1, 8, 1),
    "single-groupby-5-1-1": _max_per(60, 5, 1, 1),
    "single-groupby-5-1-12": _max_per(60, 5, 1, 12),
    "single-groupby-5-8-1": _max_per(60, 5, 8, 1),
    "cpu-max-all-1": _max_per(3600, 10, 1, 8),
    "cpu-max-all-8": _max_per(3600, 10, 8, 8),
    "cpu-max-all-32-24": _max_per(3600, 10, 32, 24),
    "double-groupby-1": _double_groupby(1),
    "double-groupby-5": _double_groupby(5),
    "double-groupby-all": _double_groupby(10),
    "lastpoint": _whole(f"last_over_time({_metrics(10, [])}[1000d])"),
    "whole-table": _whole("avg(avg_over_time(cpu_usage_user[1000d]))"),
    "by-region-os": _whole("avg(avg_over_time(cpu_usage_user[1000d])) by (region, os)"),
}
