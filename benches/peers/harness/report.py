"""The table of a run, as Markdown."""

from typing import Optional

# Columns in this order; a run has some of them.
SYSTEMS = [
    "lynxstore",
    "lynxstore without rollups",
    "lynxstore over HTTP",
    "duckdb",
    "chdb",
    "victoriametrics",
]
PEERS = ["duckdb", "chdb"]


def markdown(result: dict) -> str:
    """Conditions, load, and one row per query."""
    systems = [name for name in SYSTEMS if name in result["systems"]]
    parts = [
        f"# {result['data']}",
        "",
        f"`{result['command']}`",
        "",
        "| limit | value |",
        "| --- | --- |",
        *[f"| {name.replace('_', ' ')} | {value} |" for name, value in result["machine"].items()],
        f"| load average at the end | {result['load_average_at_end']} |",
        "",
        "| | " + " | ".join(result["load"]) + " |",
        "| --- |" + " --- |" * len(result["load"]),
        "| load, s | " + " | ".join(f"{figures['seconds']:.1f}" for figures in result["load"].values()) + " |",
        "| on disk, MB | " + " | ".join(f"{figures['bytes'] / 1e6:.1f}" for figures in result["load"].values()) + " |",
        "",
        "Milliseconds, median (95th percentile).",
        "",
        "| query | rows | " + " | ".join(systems) + " | better peer / ours | asked | without rollups | asked |",
        "| --- | --- |" + " --- |" * (len(systems) + 4),
        *[_row(query, systems) for query in result["queries"]],
        "",
    ]
    return "\n".join(parts)


def _row(query: dict, systems: list[str]) -> str:
    cells = [query["name"], f"{query['rows']:,}"]
    for name in systems:
        figures = query["times"].get(name)
        cells.append(f"{number(figures['median_ms'])} ({number(figures['p95_ms'])})" if figures else "")
    target = query["target"]
    ours = ratio(query, "lynxstore")
    cells += [_ratio_text(ours), _asked(ours, target["times"], query, target["milliseconds"])]
    without = ratio(query, "lynxstore without rollups")
    cells += [_ratio_text(without), _asked(without, target["times_without_rollups"], query, None)]
    return "| " + " | ".join(cells) + " |"


def ratio(query: dict, ours: str) -> Optional[float]:
    """How many times as long the better peer takes."""
    peers = [query["times"][name]["median_ms"] for name in PEERS if name in query["times"]]
    if ours not in query["times"] or not peers:
        return None
    return min(peers) / query["times"][ours]["median_ms"]


def _ratio_text(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.1f}"


def _asked(value: Optional[float], times: float, query: dict, milliseconds: Optional[float]) -> str:
    text = f"{times:g}"
    missed = value is not None and value < times
    if milliseconds is not None:
        text += f", {number(milliseconds)} ms"
        ours = query["times"].get("lynxstore")
        missed = missed or (ours is not None and ours["median_ms"] > milliseconds)
    return f"**{text}**" if missed else text


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 0.01 else f"{value:.4f}"
