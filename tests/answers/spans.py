"""Spans as LynxStore writes them: '90s', '1h30m', '5 minutes', '1 month'."""

import re

# Months, days, nanoseconds of a unit.
_UNITS = {
    "ns": (0, 0, 1),
    "us": (0, 0, 10**3),
    "ms": (0, 0, 10**6),
    "s": (0, 0, 10**9),
    "sec": (0, 0, 10**9),
    "second": (0, 0, 10**9),
    "m": (0, 0, 60 * 10**9),
    "min": (0, 0, 60 * 10**9),
    "minute": (0, 0, 60 * 10**9),
    "h": (0, 0, 3600 * 10**9),
    "hour": (0, 0, 3600 * 10**9),
    "d": (0, 1, 0),
    "day": (0, 1, 0),
    "w": (0, 7, 0),
    "week": (0, 7, 0),
    "mon": (1, 0, 0),
    "month": (1, 0, 0),
    "quarter": (3, 0, 0),
    "y": (12, 0, 0),
    "year": (12, 0, 0),
}


def parse(text: str) -> tuple[int, int, int] | None:
    """Months, days and nanoseconds; None for a text that is no span."""
    total = (0, 0, 0)
    text = text.strip()
    if not re.fullmatch(r"(\s*\d+\s*[a-z]+)+", text):
        return None
    for count, unit in re.findall(r"(\d+)\s*([a-z]+)", text):
        parts = _UNITS.get(unit) or _UNITS.get(unit.rstrip("s"))
        if parts is None:
            return None
        total = tuple(known + int(count) * part for known, part in zip(total, parts))
    return total


def interval(text: str) -> str | None:
    """A span as an interval of DuckDB, which has microseconds."""
    span = parse(text)
    if span is None or span[2] % 1000:
        return None
    months, days, nanos = span
    return f"(to_months({months}) + to_days({days}) + to_microseconds({nanos // 1000}))"
