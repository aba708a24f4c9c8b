"""Generates, loads, asks, compares, prints. Started by `run.sh`, which prepares Python and `tsq`."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Optional

from . import devops, iot, machine, metricsql, report
from .dialects import DIALECTS, Dialect
from .figures import median, percentile
from .process import AnswerError, System
from .query import Draw, Query
from .systems import lynxstore

OURS = "lynxstore"
OURS_WITHOUT_ROLLUPS = "lynxstore without rollups"
OURS_OVER_HTTP = "lynxstore over HTTP"
VICTORIA = "victoriametrics"

SEED = 123


def main() -> int:
    """One run; 1 when rows differ or a system could not answer."""
    options = _options()
    options.dir.mkdir(parents=True, exist_ok=True)
    workloads = {"cpu": devops.QUERIES, "iot": iot.QUERIES}
    failures = []
    for workload in ["cpu", "iot"] if options.workload == "all" else [options.workload]:
        queries = [query for query in workloads[workload] if not options.only or query.name in options.only.split(",")]
        failures += _run(options, workload, queries)
    for failure in failures:
        print(f"\nFAILED {failure}", file=sys.stderr)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/peers/run.sh", description=__doc__)
    parser.add_argument("--workload", choices=["cpu", "iot", "all"], default="all")
    parser.add_argument("--hosts", type=int, default=1000, help="hosts of cpu, trucks of iot")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--floats", action="store_true", help="two-decimal floats in cpu instead of integers")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rounds", type=int, default=3, help="each system takes its turn that often per query")
    parser.add_argument(
        "--systems",
        default="lynxstore,without-rollups,duckdb,chdb",
        help="any of these, http (`tsq serve`) and victoriametrics (the program that LYNX_VICTORIA_METRICS names)",
    )
    parser.add_argument("--only", help="names of queries, separated by commas")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "lynxstore-peers")
    parser.add_argument("--out", type=Path, help="directory of the report [default: that of the data]")
    parser.add_argument("--tsq", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.systems = options.systems.split(",")
    known = [*DIALECTS, "without-rollups", "http", VICTORIA]
    unknown = set(options.systems) - set(known)
    if unknown:
        parser.error(f"no such system: {', '.join(unknown)}; there are {', '.join(known)}")
    if VICTORIA in options.systems and "LYNX_VICTORIA_METRICS" not in os.environ:
        parser.error("LYNX_VICTORIA_METRICS names no program; .ci/install-peers.sh gets one")
    return options


def _run(options: argparse.Namespace, workload: str, queries: list[Query]) -> list[str]:
    kind = "-floats" if options.floats and workload == "cpu" else ""
    kind += f"-seed-{options.seed}" if options.seed != SEED else ""
    name = f"{workload}-{options.hosts}-{options.hours:g}h{kind}"
    directory = options.dir / name
    files = _generate(options, workload, directory)
    result = {
        "data": name,
        "command": "benches/peers/run.sh " + " ".join(sys.argv[1:]),
        "machine": machine.limits(directory),
        "load": {
            system: _load(options, system, directory, files)
            for system in options.systems
            if system in DIALECTS or (system == VICTORIA and workload == "cpu")
        },
        "queries": [],
    }
    systems = {}
    failures = []
    try:
        _start(options, workload, directory, systems)
        result["systems"] = list(systems)
        for query in queries:
            print(f"{name}: {query.name}", file=sys.stderr)
            measured, failed = _measure(options, query, systems)
            result["queries"].append(measured)
            failures += failed
    finally:
        for system, _ in systems.values():
            system.stop()
    result["load_average_at_end"] = os.getloadavg()[0]
    out = options.out or directory
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(result, indent=1))
    text = report.markdown(result)
    (out / f"{name}.md").write_text(text)
    print(text)
    return failures


def _generate(options: argparse.Namespace, workload: str, directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    size = ["--hours", str(options.hours), "--seed", str(options.seed)]
    if workload == "cpu":
        files = [directory / "cpu.parquet"]
        command = ["generate", "cpu", "--hosts", str(options.hosts), "--order", "host", "--out", files[0], *size]
        command += ["--floats"] if options.floats else []
    else:
        files = [directory / f"{table}.parquet" for table in iot.FIELDS]
        command = ["generate", "iot", "--trucks", str(options.hosts), "--out", directory, *size]
    if not all(file.exists() for file in files):
        subprocess.run([options.tsq, *command], check=True, stdout=sys.stderr)
    return files


def _load(options: argparse.Namespace, system: str, directory: Path, files: list[Path]) -> dict:
    """Loads, unless an earlier run did: its figures lie beside the data."""
    figures = directory / f"{system}.load.json"
    if not figures.exists():
        print(f"{directory.name}: load into {system}", file=sys.stderr)
        target = directory / system
        shutil.rmtree(target, ignore_errors=True)
        for copy in ["copy", "http"]:
            shutil.rmtree(directory / f"{system}-{copy}", ignore_errors=True)
        if system == OURS:
            loaded = lynxstore.load(options.tsq, target, files)
        elif system == VICTORIA:
            from .systems.http import VictoriaMetrics

            loaded = VictoriaMetrics.load(os.environ["LYNX_VICTORIA_METRICS"], target, files[0])
        else:
            command = [sys.executable, "-m", "harness.worker", system, target, "load", *files]
            loaded = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        figures.write_text(json.dumps(loaded))
    return json.loads(figures.read_text())


def _start(options: argparse.Namespace, workload: str, directory: Path, systems: dict) -> None:
    """Adds the processes and what they speak, in the order of their turns."""
    for name in options.systems:
        if name in ("http", VICTORIA):
            # Not before it is needed: LynxStore alone wants no Python package.
            from .systems.http import LynxServe, VictoriaMetrics

            if name == "http":
                copy = lynxstore.copy(directory / OURS, "http")
                systems[OURS_OVER_HTTP] = (LynxServe(options.tsq, copy), DIALECTS[OURS])
            elif workload == "cpu":
                program = os.environ["LYNX_VICTORIA_METRICS"]
                systems[name] = (VictoriaMetrics(program, directory / name), None)
            continue
        if name == OURS:
            systems[name] = (System(name, lynxstore.command(options.tsq, directory / OURS, True)), DIALECTS[OURS])
        elif name == "without-rollups":
            copy = lynxstore.copy(directory / OURS, "copy")
            command = lynxstore.command(options.tsq, copy, False)
            systems[OURS_WITHOUT_ROLLUPS] = (System(OURS_WITHOUT_ROLLUPS, command), DIALECTS[OURS])
        else:
            command = [sys.executable, "-m", "harness.worker", name, str(directory / name)]
            systems[name] = (System(name, command), DIALECTS[name])


def _measure(options: argparse.Namespace, query: Query, systems: dict) -> tuple[dict, list[str]]:
    """Times of all systems, in turns, and what went wrong."""
    draws = options.rounds * query.draws
    table = [Draw(f"{options.seed} {query.name} {draw}", options.hosts, options.hours) for draw in range(draws)]
    times, failures = {}, []
    # What is compared runs first, and so everything is warm.
    rows, able = _compare(query, systems, table, failures)
    for turn in range(options.rounds):
        part = table[turn * query.draws : (turn + 1) * query.draws]
        for name in list(able):
            system, dialect = systems[name]
            try:
                times.setdefault(name, []).extend(system.ask(**_request(query, name, dialect, part))["times_ms"])
            except AnswerError as error:
                failures.append(f"{query.name}: {error}")
                able.remove(name)
    target = query.target
    measured = {
        "name": query.name,
        "rows": rows,
        "statement": query.text(DIALECTS[OURS], table[0].restart()),
        "times": {name: _figures(values) for name, values in times.items() if values},
        "target": {
            "times": round(1 / target.part),
            "times_without_rollups": round(1 / (target.part_without_rollups or target.part)),
            "milliseconds": target.milliseconds,
        },
    }
    return measured, failures


def _request(query: Query, name: str, dialect: Optional[Dialect], draws: list[Draw]) -> dict:
    """The same draws in the words of a system."""
    if name == VICTORIA:
        return {"statements": [metricsql.REQUESTS[query.name](draw.restart()) for draw in draws]}
    if query.prepared and name in (OURS, OURS_WITHOUT_ROLLUPS):
        text, parameters = query.prepared
        return {"prepare": text, "parameters": [parameters(draw.restart()) for draw in draws]}
    return {"statements": [query.text(dialect, draw.restart()) for draw in draws]}


def _compare(query: Query, systems: dict, table: list[Draw], failures: list[str]) -> tuple[int, list[str]]:
    """Runs three draws on every system and compares their rows. The rows of the first draw, and who could answer."""
    able, count = [], 0
    draws = table[:3]
    with tempfile.TemporaryDirectory() as scratch:
        files = {}
        for name, (system, dialect) in systems.items():
            if name == VICTORIA:
                # Its rows are of other buckets and cannot be compared.
                if query.name in metricsql.REQUESTS:
                    able.append(name)
                continue
            files[name] = [Path(scratch) / f"{name}-{index}.parquet".replace(" ", "-") for index in range(len(draws))]
            request = _request(query, name, dialect, draws)
            try:
                answer = system.ask(**request, files=[str(file) for file in files[name]])
            except AnswerError as error:
                failures.append(f"{query.name}: {error}\n{query.text(dialect, draws[0].restart())}")
                continue
            able.append(name)
            if name == OURS_OVER_HTTP:
                del files[name]
            else:
                count = answer["rows"][0]
        compared = [name for name in able if name in files]
        for name in compared[1:]:
            for first, second, draw in zip(files[compared[0]], files[name], draws):
                found = _difference(first, second)
                if found:
                    statement = query.text(systems[name][1], draw.restart())
                    failures.append(f"{query.name}: {compared[0]} and {name} differ: {found}\n{statement}")
                    break
    return count, able


def _difference(first: Path, second: Path) -> Optional[str]:
    """What differs between two files of rows. LynxStore alone wants no Python package, and is then not compared."""
    try:
        from .rows import difference
    except ImportError:
        return None
    return difference(first, second)


def _figures(values: list[float]) -> dict:
    return {
        "median_ms": median(values),
        "p95_ms": percentile(values, 0.95),
        "min_ms": min(values),
        "runs": len(values),
    }


if __name__ == "__main__":
    sys.exit(main())
