"""Medians and percentiles."""

import math


def median(values: list[float]) -> float:
    """The middle value."""
    return percentile(values, 0.5)


def percentile(values: list[float], share: float) -> float:
    """The interpolated percentile."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = math.ceil(position)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
