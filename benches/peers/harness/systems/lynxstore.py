"""LynxStore: `tsq import` loads, `tsq bench DIR --lines` answers in one process without a server in between."""

import shutil
import subprocess
import time
from pathlib import Path


def load(tsq: Path, directory: Path, files: list[Path]) -> dict:
    """Loads the files with the settings that a user gets; durable at the end."""
    start = time.perf_counter()
    for file in files:
        table = file.stem.split("-")[0]
        command = [tsq, "import", directory, file, "--table", table]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return {"seconds": seconds, "bytes": size}


def copy(directory: Path, suffix: str) -> Path:
    """A copy, so that several modes stay open at the same time: one process writes a database."""
    copy = directory.with_name(f"{directory.name}-{suffix}")
    if not copy.exists():
        shutil.copytree(directory, copy)
    return copy


def command(tsq: Path, directory: Path, rollups: bool) -> list[str]:
    """The process that answers requests."""
    return [str(tsq), "bench", str(directory), "--lines", *([] if rollups else ["--no-rollups"])]
