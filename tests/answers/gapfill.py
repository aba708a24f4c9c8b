"""Queries with `time_bucket_gapfill` as queries of DuckDB: the groups, beside them every bucket of every group, and windows
over both for `locf` and `interpolate`."""

import re

from . import spans
from .rewrites import NotTranslatable
from .syntax import Call, Select, closing, is_word, next_token, rewrite_calls, split_commas, tokens

FUNCTION = "time_bucket_gapfill"
_AGGREGATES = {"count", "sum", "avg", "min", "max", "first", "last"}
# Buckets are found by walking from the start to the finish in steps that are narrower than every bucket.
_STEP_SECONDS, _STEP_SECONDS_OF_DAYS = 10, 3600


def replace(sql: str) -> str:
    """The text with each SELECT that fills gaps replaced; those in brackets and branches of UNION too."""
    if FUNCTION not in sql:
        return sql
    found = tokens(sql)
    for at, token in enumerate(found):
        if token == "(":
            end = closing(found, at)
            inner = "".join(found[at + 1 : end])
            if FUNCTION in inner and re.match(r"\s*SELECT\b", inner):
                replaced = replace(inner)
                return replace("".join(found[:at]) + "(" + replaced + ")" + "".join(found[end + 1 :]))
    branches = re.split(r"\bUNION ALL\b", sql)
    if len(branches) > 1:
        return " UNION ALL ".join(f"({replace(branch)})" for branch in branches)
    return _fill(Select.read(sql))


def _fill(select: Select) -> str:
    items = [_item(item) for item in select.items("select")]
    distinct = items[0][0].startswith("DISTINCT ")
    items[0] = (items[0][0].removeprefix("DISTINCT ").strip(), items[0][1])
    aliases = {alias: expr for expr, alias in items if alias}
    keys = []
    for key in select.items("group by"):
        keys.append(items[int(key) - 1][0] if key.isdigit() else aliases.get(key, key))
    times = [key for key in keys if key.startswith(FUNCTION)]
    if len(times) != 1:
        raise NotTranslatable("gap filling without one bucket in GROUP BY")
    others = [key for key in keys if key != times[0]]
    call = tokens(times[0])
    args = ["".join(part).strip() for part in _arguments(call)]
    start, finish, args = _bounds(args, select.clauses.get("where", ""))
    width = spans.parse(args[0].strip("'"))
    step = _STEP_SECONDS_OF_DAYS if width and width[2] == 0 else _STEP_SECONDS

    aggregates: list[str] = []
    names = {key: f"k{number}" for number, key in enumerate(others)} | {times[0]: "b"}

    def over_rows(text: str) -> str:
        """An expression over the filled rows."""
        text = _aggregates_as_columns(aliases.get(text, text), aggregates)
        for key, name in names.items():
            text = text.replace(key, name) if not key.isidentifier() else re.sub(rf"\b{key}\b", name, text)
        return rewrite_calls(text, lambda inner: _filled(inner, others))

    shown = [over_rows(expr) for expr, _ in items]
    having = over_rows(select.clauses["having"]) if "having" in select.clauses else "true"
    order = []
    for item in select.items("order by"):
        expr, direction = re.fullmatch(r"(.*?)((?:\s+(?:DESC|ASC))?(?:\s+NULLS \w+)?)", item, re.DOTALL).groups()
        order.append((over_rows(items[int(expr) - 1][0] if expr.isdigit() else expr), direction))
    where = f"WHERE {select.clauses['where']}" if "where" in select.clauses else ""
    group_keys = [f"{key} AS k{number}" for number, key in enumerate(others)] + [f"{_bucket(args)} AS b"]
    columns = ", ".join(group_keys + [f"{text} AS a{number}" for number, text in enumerate(aggregates)])
    other_names = [f"k{number}" for number in range(len(others))]
    spine = (
        f"SELECT DISTINCT {_bucket([args[0], 'moment', *args[2:]])} AS b FROM (SELECT unnest(generate_series("
        f"{start}::TIMESTAMP, {finish}::TIMESTAMP - to_microseconds(1), to_seconds({step}))) AS moment)"
    )
    if others:
        spine = f"SELECT * FROM (SELECT DISTINCT {', '.join(other_names)} FROM groups) CROSS JOIN ({spine})"
    all_names = ", ".join(other_names + ["b"])
    values = ", ".join(f"a{number}" for number in range(len(aggregates)))
    same = " AND ".join(f"groups.{name} IS NOT DISTINCT FROM every.{name}" for name in other_names + ["b"])
    results = [f"{expr} AS x{number}" for number, expr in enumerate(shown)]
    results += [f"{expr} AS o{number}" for number, (expr, _) in enumerate(order)]
    names_out = [f"x{number}" + (f" AS {alias}" if alias else "") for number, (_, alias) in enumerate(items)]
    text = (
        f"WITH groups AS (SELECT {columns} FROM {select.clauses['from']} {where} GROUP BY ALL),"
        f" every AS (SELECT {all_names} FROM groups UNION SELECT {all_names} FROM ({spine})),"
        f" filled AS (SELECT every.*{', ' + values if values else ''} FROM every LEFT JOIN groups ON {same})"
        f" SELECT {'DISTINCT ' if distinct else ''}{', '.join(names_out)}"
        f" FROM (SELECT {', '.join(results)}, {having} AS kept FROM filled) WHERE kept"
    )
    if order:
        # Of DISTINCT rows the order can only be by what is selected.
        places = [
            f"{'x' + str(shown.index(expr)) if expr in shown else f'o{number}'}{direction}"
            for number, (expr, direction) in enumerate(order)
        ]
        text += f" ORDER BY {', '.join(place if not distinct else '1' for place in places)}"
    for clause in ("limit", "offset"):
        if clause in select.clauses:
            text += f" {clause.upper()} {select.clauses[clause]}"
    return text


def _bucket(args: list[str]) -> str:
    return f"time_bucket({', '.join(args)})"


def _item(text: str) -> tuple[str, str | None]:
    found = re.fullmatch(r"(.*?)\s+AS\s+(\w+)", text, re.DOTALL | re.IGNORECASE)
    if found:
        return found[1], found[2]
    return text, text if text.isidentifier() else None


def _arguments(call: list[str]):
    opening = next_token(call, 1)
    return split_commas(call[opening + 1 : closing(call, opening)])


def _bounds(args: list[str], where: str) -> tuple[str, str, list[str]]:
    """Start and finish as literals, and the arguments without them."""
    literals = [arg for arg in args[2:] if re.match(r"(TIMESTAMP )?'\d{4}-", arg)]
    if len(literals) == 2:
        return literals[0], literals[1], [arg for arg in args if arg not in literals]
    start = re.search(r"\btime >= ('[^']*')", where)
    finish = re.search(r"\btime < ('[^']*')", where)
    if not start or not finish:
        raise NotTranslatable("gap filling without bounds of the form time >= 'a' AND time < 'b'")
    return start[1], finish[1], args


def _aggregates_as_columns(text: str, aggregates: list[str]) -> str:
    """The text with each outermost aggregate replaced by the column that it becomes."""
    found, out, at = tokens(text), [], 0
    while at < len(found):
        opening = next_token(found, at + 1)
        if is_word(found[at]) and found[at].lower() in _AGGREGATES and opening < len(found) and found[opening] == "(":
            end = closing(found, opening)
            aggregate = "".join(found[at : end + 1])
            if aggregate not in aggregates:
                aggregates.append(aggregate)
            out.append(f"a{aggregates.index(aggregate)}")
            at = end + 1
        else:
            out.append(found[at])
            at += 1
    return "".join(out)


def _filled(call: Call, others: list[str]) -> str | None:
    partition = ", ".join(f"k{number}" for number in range(len(others)))
    window = (f"PARTITION BY {partition} " if partition else "") + "ORDER BY b ROWS BETWEEN "
    before, after = window + "UNBOUNDED PRECEDING AND CURRENT ROW", window + "CURRENT ROW AND UNBOUNDED FOLLOWING"
    if call.name.lower() not in ("locf", "interpolate"):
        return None
    value = call.args[0]
    time = f"CASE WHEN {value} IS NOT NULL THEN b END"
    last, last_time = f"last_value({value} IGNORE NULLS) OVER ({before})", f"last_value({time} IGNORE NULLS) OVER ({before})"
    next_, next_time = f"first_value({value} IGNORE NULLS) OVER ({after})", f"first_value({time} IGNORE NULLS) OVER ({after})"
    limit = None
    if len(call.args) > 1:
        limit = f"INTERVAL {call.args[1]}" if call.args[1].startswith("'") else call.args[1]
    if call.name.lower() == "locf":
        within = f"b - {last_time} <= {limit}" if limit else "true"
        return f"(CASE WHEN {within} THEN {last} END)"
    within = f"{next_time} - {last_time} <= {limit}" if limit else "true"
    share = f"(epoch_us(b) - epoch_us({last_time}))::DOUBLE / (epoch_us({next_time}) - epoch_us({last_time}))"
    line = f"{last}::DOUBLE + ({next_} - {last})::DOUBLE * {share}"
    return f"coalesce(({value})::DOUBLE, CASE WHEN {within} THEN {line} END)"
