"""A peer in a process of its own: JSON lines in, JSON lines out, as `tsq bench DIR --lines` speaks them.

`python -m harness.worker duckdb DIR load FILE...` loads and prints its figures; without `load` it answers requests.
"""

import importlib
import json
import sys
import time
from pathlib import Path

import pyarrow.parquet

# Module and class; only the one that is asked for is imported.
PEERS = {"duckdb": ("duckdb", "DuckDb"), "chdb": ("chdb", "ChDb")}


def answer(peer, request: dict) -> dict:
    """Runs the statements one after the other; from SQL text to Arrow rows is what is timed."""
    times, rows = [], []
    files = request.get("files") or []
    for index, statement in enumerate(request["statements"]):
        start = time.perf_counter_ns()
        result = peer.run(statement)
        times.append((time.perf_counter_ns() - start) / 1e6)
        # Some give the rows as Arrow bytes; making a table of them copies nothing and is not timed.
        table = peer.table(result)
        rows.append(table.num_rows)
        if index < len(files):
            pyarrow.parquet.write_table(table, files[index])
    return {"times_ms": times, "rows": rows}


def main() -> None:
    """Loads files, or answers requests until the input ends."""
    name, directory, *rest = sys.argv[1:]
    module, peer_class = PEERS[name]
    peer_class = getattr(importlib.import_module(f".systems.{module}", __package__), peer_class)
    if rest[:1] == ["load"]:
        start = time.perf_counter()
        peer_class.load(Path(directory), [Path(file) for file in rest[1:]])
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "bytes": peer_class.settle(Path(directory))}))
        return
    peer = peer_class(Path(directory))
    for line in sys.stdin:
        try:
            reply = answer(peer, json.loads(line))
        except Exception as error:  # The harness prints it and goes on or gives up.
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
