"""What of LynxStore's SQL DuckDB writes otherwise. Each rewrite is one entry of a table below.

Where both have a function of the same name and meaning nothing stands here. A rewrite that knows that it cannot give the same
meaning raises `NotTranslatable`, with the reason that the report shows.
"""

import re
from dataclasses import dataclass
from typing import Callable

from . import spans
from .syntax import Call, rewrite_calls

EPOCH = "TIMESTAMP '1970-01-01'"


class NotTranslatable(Exception):
    """DuckDB has no words for it."""


@dataclass
class Scope:
    """What the names in a statement mean where a call does not say so."""

    time: str = "time"
    # The tags of its first table: they tell series apart.
    tags: tuple[str, ...] = ()


def translate(sql: str, scope: Scope) -> str:
    """A statement in the words of DuckDB."""
    for pattern, replacement in _TEXTS:
        sql = pattern.sub(replacement, sql)
    if re.search(r"\bTOLERANCE\b", sql):
        raise NotTranslatable("an ASOF JOIN of DuckDB has no tolerance")
    if re.search(r"\bMATCH_CONDITION\b", sql):
        raise NotTranslatable("MATCH_CONDITION is Snowflake's")
    for word in ("system.", "$__TEST_DIR__"):
        if word in sql:
            raise NotTranslatable(f"{word} is outside of DuckDB")

    def rewrite(call: Call) -> str | None:
        rule = _CALLS.get(call.name.lower())
        return rule(call, scope) if rule else None

    return rewrite_calls(sql, rewrite)


_TEXTS = [
    # The last row of each series: DuckDB asks for a window. It stands where WHERE ends, which is where QUALIFY goes.
    (
        re.compile(r"LATEST ON (\w+) PARTITION BY ((?:\w+, )*\w+)", re.IGNORECASE),
        r"QUALIFY row_number() OVER (PARTITION BY \2 ORDER BY \1 DESC) = 1",
    ),
    (re.compile(r"INTERVAL '([^']*)'", re.IGNORECASE), lambda found: spans.interval(found[1]) or found[0]),
    (re.compile(r"X'([0-9a-fA-F]*)'"), r"unhex('\1')"),
]


def _ordered_by(call: Call) -> tuple[str, str | None, bool]:
    """The first argument, what it is ordered by, and whether in descending order."""
    found = re.fullmatch(r"(.*?)\s+ORDER\s+BY\s+(.*?)(\s+DESC|\s+ASC)?", call.args[0], re.IGNORECASE | re.DOTALL)
    if not found:
        return call.args[0], None, False
    return found[1], found[2], (found[3] or "").strip().lower() == "desc"


def _end(function: str) -> Callable[[Call, Scope], str | None]:
    """`first` and `last`: by time, of equal times the least or the greatest value."""

    def rule(call: Call, scope: Scope) -> str | None:
        if call.over is not None:
            return None
        value, order, descending = _ordered_by(call)
        order = order or (call.args[1] if len(call.args) > 1 else scope.time)
        other = {"arg_min": "arg_max", "arg_max": "arg_min"}
        return f"{other[function] if descending else function}({value}, row({order}, {value})){call.behind()}"

    return rule


def _extreme(function: str) -> Callable[[Call, Scope], str]:
    """`min_by` and `max_by`: of equal orders the least or the greatest value."""

    def rule(call: Call, _: Scope) -> str:
        value, order = call.args
        return f"{function}({value}, row({order}, {value})){call.behind(f'{order} IS NOT NULL')}"

    return rule


def _renamed(name: str) -> Callable[[Call, Scope], str]:
    def rule(call: Call, _: Scope) -> str:
        return f"{name}({', '.join(call.args)}){call.behind()}"

    return rule


def _quantile(name: str) -> Callable[[Call, Scope], str]:
    """Percentiles in their three ways of writing."""

    def rule(call: Call, _: Scope) -> str:
        if call.more_args is not None:
            value, share = call.more_args[0], call.args[0]
        elif call.within is not None:
            value, share = re.sub(r"^ORDER\s+BY\s+", "", call.within, flags=re.IGNORECASE), call.args[0]
            if re.search(r"\sDESC$", value, re.IGNORECASE):
                value, share = re.sub(r"\s+DESC$", "", value, flags=re.IGNORECASE), f"1 - {share}"
                if name == "quantile_disc":
                    raise NotTranslatable("quantile_disc in descending order")
            call.within = None
        elif len(call.args) == 2:
            value, share = call.args
        else:
            return f"{name}({call.args[0]}, 0.5){call.behind()}"
        if name == "quantile_cont":
            # DuckDB interpolates integers as integers of higher scale.
            value = f"({value})::DOUBLE"
        return f"{name}({value}, {share}){call.behind()}"

    return rule


def _mode(call: Call, _: Scope) -> str:
    # Of several values that are equally frequent the least one; DuckDB takes the one that came first.
    entries = f"map_entries(histogram({call.args[0]}){call.behind()})"
    return f"list_sort(list_transform({entries}, lambda e: {{'n': -e.value::BIGINT, 'k': e.key}}))[1].k"


def _histogram(call: Call, _: Scope) -> str:
    value, low, high, buckets = call.args
    width, low = f"(({high})::DOUBLE - ({low})) / {buckets}::DOUBLE", f"({low})::DOUBLE"
    counts = [f"count(*){call.behind(f'{value} < {low}')}"]
    for bucket in range(int(buckets)):
        begin, end = f"{low} + {bucket} * {width}", f"{low} + {bucket + 1} * {width}"
        counts.append(f"count(*){call.behind(f'{value} >= {begin} AND {value} < {end}')}")
    counts.append(f"count(*){call.behind(f'{value} >= {high}')}")
    return f"CASE WHEN count({value}){call.behind()} > 0 THEN [{', '.join(counts)}] END"


def _moving_average(call: Call, _: Scope) -> str:
    return f"avg({call.args[0]}) OVER ({call.over} ROWS BETWEEN {int(call.args[1]) - 1} PRECEDING AND CURRENT ROW)"


def _pairs(call: Call, scope: Scope) -> tuple[str, str]:
    """Pairs of consecutive rows of a series, and the method of `time_weight`."""
    value, rest, method = call.args[0], call.args[1:], "locf"
    if rest and rest[0].startswith("'"):
        method, rest = rest[0].strip("'"), rest[1:]
    time = rest[0] if rest else scope.time
    series = rest[1:] if rest else list(scope.tags)
    key = f"[{', '.join(f'{tag}::VARCHAR' for tag in series)}]::VARCHAR[]"
    row = f"{{'s': {key}, 't': epoch_ns({time}), 'v': ({value})::DOUBLE}}"
    rows = f"list_sort(list({row}){call.behind(f'{value} IS NOT NULL AND NOT isnan(({value})::DOUBLE)')})"
    # Of equal times the greatest value, which is the last one.
    kept = (
        f"list_transform(list_filter(list_zip({rows}, {rows}[2:]),"
        " lambda p: p[2] IS NULL OR p[1].s <> p[2].s OR p[1].t <> p[2].t), lambda p: p[1])"
    )
    pairs = (
        f"list_transform(list_filter(list_zip({kept}, {kept}[2:]), lambda p: p[2] IS NOT NULL AND p[1].s = p[2].s),"
        " lambda p: {'s': p[1].s, 'dt': (p[2].t - p[1].t) / 1e9, 'dv': p[2].v - p[1].v, 'a': p[1].v, 'b': p[2].v,"
        " 'inc': CASE WHEN p[2].v >= p[1].v THEN p[2].v - p[1].v ELSE p[2].v END})"
    )
    return pairs, method


def _sum(pairs: str, what: str) -> str:
    return f"list_sum(list_transform({pairs}, lambda p: {what}))"


def _increase(call: Call, scope: Scope) -> str:
    return _sum(_pairs(call, scope)[0], "p.inc")


def _delta(call: Call, scope: Scope) -> str:
    return _sum(_pairs(call, scope)[0], "p.dv")


def _irate(call: Call, scope: Scope) -> str:
    pairs = _pairs(call, scope)[0]
    last = f"list_filter(list_zip({pairs}, {pairs}[2:]), lambda q: q[2] IS NULL OR q[1].s <> q[2].s)"
    return _sum(last, "p[1].inc / p[1].dt")


def _rate(call: Call, scope: Scope) -> str:
    pairs = _pairs(call, scope)[0]
    steps = f"list_transform({pairs}, lambda p: {{'s': p.s, 'inc': p.inc, 'dt': p.dt, 'done': 0.0::DOUBLE}})"
    whole = (
        f"list_reduce({steps}, lambda a, p: {{'s': p.s,"
        " 'inc': CASE WHEN a.s = p.s THEN a.inc ELSE 0.0 END + p.inc,"
        " 'dt': CASE WHEN a.s = p.s THEN a.dt ELSE 0.0 END + p.dt,"
        " 'done': a.done + CASE WHEN a.s = p.s THEN 0.0 ELSE a.inc / a.dt END})"
    )
    return f"CASE WHEN len({pairs}) > 0 THEN {whole}.done + {whole}.inc / {whole}.dt END"


def _time_weight(call: Call, scope: Scope) -> str:
    pairs, method = _pairs(call, scope)
    height = {"locf": "p.a", "linear": "(p.a + p.b) / 2"}[method]
    return f"{_sum(pairs, f'{height} * p.dt')} / {_sum(pairs, 'p.dt')}"


def _micros(time: str) -> str:
    """A time in microseconds, which DuckDB's buckets are made of. Its cast rounds; a bucket must not begin too late."""
    ns = f"epoch_ns({time})"
    return f"make_timestamp(({ns} - ({ns} % 1000 + 1000) % 1000) // 1000)"


def bucket(args: list[str]) -> str:
    """The start of a bucket: of `time_bucket(width, time [, origin] [, zone] [, offset])`."""
    width = spans.interval(args[0].strip("'")) if args[0].startswith("'") else args[0]
    if width is None:
        raise NotTranslatable(f"a width of {args[0]}")
    time, origin, zone, offset = _micros(args[1]), EPOCH, None, None
    for argument in args[2:]:
        text = argument[1:-1] if argument.startswith("'") else None
        if text is not None and spans.parse(text):
            offset = spans.interval(text)
        elif argument.startswith("(to_months"):
            offset = argument
        elif text is not None and not text[:1].isdigit():
            zone = text
        else:
            origin = _micros(f"{argument}::TIMESTAMP_NS")
    if zone is None:
        return _shifted(f"time_bucket({width}, {{}}, {origin})", time, offset)
    if re.search(r"to_days\(0\)", width) and re.search(r"to_months\(0\)", width):
        raise NotTranslatable("buckets of hours in a time zone: DuckDB's are of the clock's face")
    local = f"timezone('{zone}', timezone('UTC', {{}}))"
    if origin != EPOCH:
        origin = local.format(origin)
    start = _shifted(f"time_bucket({width}, {{}}, {origin})", local.format(time), offset)
    return f"timezone('UTC', timezone('{zone}', {start}))"


def _shifted(start: str, time: str, offset: str | None) -> str:
    if offset is None:
        return start.format(time)
    return f"({start.format(f'({time} - {offset})')} + {offset})"


def _bucket(call: Call, _: Scope) -> str:
    return bucket(call.args)


def _trunc(call: Call, _: Scope) -> str:
    if len(call.args) < 3:
        return f"date_trunc({call.args[0]}, {_micros(call.args[1])})"
    zone = call.args[2]
    start = f"date_trunc({call.args[0]}, timezone({zone}, timezone('UTC', {_micros(call.args[1])})))"
    return f"timezone('UTC', timezone({zone}, {start}))"


def _refuse(reason: str) -> Callable[[Call, Scope], str]:
    def rule(_: Call, __: Scope) -> str:
        raise NotTranslatable(reason)

    return rule


_CALLS: dict[str, Callable[[Call, Scope], str | None]] = {
    "first": _end("arg_min"),
    "first_value": _end("arg_min"),
    "last": _end("arg_max"),
    "last_value": _end("arg_max"),
    "min_by": _extreme("arg_min"),
    "arg_min": _extreme("arg_min"),
    "max_by": _extreme("arg_max"),
    "arg_max": _extreme("arg_max"),
    # The least value: which one is free, but always the same.
    "any_value": _renamed("min"),
    "var": _renamed("var_samp"),
    "mean": _renamed("avg"),
    "median": _quantile("quantile_cont"),
    "quantile": _quantile("quantile_cont"),
    "quantile_cont": _quantile("quantile_cont"),
    "percentile_cont": _quantile("quantile_cont"),
    "quantile_disc": _quantile("quantile_disc"),
    "percentile_disc": _quantile("quantile_disc"),
    # The groups of the corpus are so small that the approximate ones are exact.
    "approx_median": _quantile("quantile_cont"),
    "approx_percentile_cont": _quantile("quantile_cont"),
    "approx_percentile": _quantile("quantile_cont"),
    "approx_quantile": _quantile("quantile_cont"),
    "approx_distinct": lambda call, _: f"count(DISTINCT {call.args[0]}){call.behind()}",
    "mode": _mode,
    "histogram": _histogram,
    "moving_avg": _moving_average,
    "increase": _increase,
    "delta": _delta,
    "rate": _rate,
    "irate": _irate,
    "time_weight": _time_weight,
    "time_bucket": _bucket,
    "date_bin": _bucket,
    "date_trunc": _trunc,
    "to_timestamp_nanos": _renamed("make_timestamp_ns"),
    "lttb": _refuse("lttb is not in DuckDB"),
}
