"""Compares lines of rows."""

# Sums of floats add in another order.
TOLERANCE = 1e-9


def equal(expected: list[str], found: list[str], sort_mode: str) -> bool:
    """Whether rows are the same, in the same order unless the file sorts them."""
    if sort_mode == "rowsort":
        expected, found = sorted(expected), sorted(found)
    elif sort_mode == "valuesort":
        expected = sorted(value for line in expected for value in line.split())
        found = sorted(value for line in found for value in line.split())
    return len(expected) == len(found) and all(_equal_line(*lines) for lines in zip(expected, found))


def _equal_line(expected: str, found: str) -> bool:
    left, right = expected.split(), found.split()
    return len(left) == len(right) and all(_equal_value(*values) for values in zip(left, right))


def _equal_value(expected: str, found: str) -> bool:
    if expected == found:
        return True
    brackets = "[],"
    if expected.strip(brackets) == expected and expected.lstrip("-").isdigit() and found.lstrip("-").isdigit():
        return False
    try:
        left, right = float(expected.strip(brackets)), float(found.strip(brackets))
    except ValueError:
        return False
    if left != left or right != right:
        return left != left and right != right
    return left == right or abs(left - right) <= TOLERANCE * max(abs(left), abs(right))
