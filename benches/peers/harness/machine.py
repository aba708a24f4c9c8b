"""The limits of the machine beside the figures. `benches/machine.rs` measures the same with the store's own kernels."""

import os
import platform
import tempfile
import time
from pathlib import Path

from .figures import median

MIB = 1 << 20


def limits(disk: Path) -> dict:
    """Processor, memory bandwidth, sync latency, disk bandwidth, and how busy the machine is."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "python": platform.python_version(),
        "sum_of_i64_from_memory_gb_per_s": _memory_bandwidth(),
        **_disk(disk),
        "load_average_1_min": os.getloadavg()[0],
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory_bandwidth() -> float:
    try:
        import numpy
    except ImportError:  # Without peers nothing brings numpy along.
        return float("nan")
    values = numpy.ones(256 * MIB // 8, dtype=numpy.int64)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        values.sum()
        times.append(time.perf_counter() - start)
    return round(values.nbytes / min(times) / 1e9, 1)


def _disk(directory: Path) -> dict:
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        times = []
        for _ in range(30):
            start = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
        start = time.perf_counter()
        os.write(file.fileno(), bytes(256 * MIB))
        os.fdatasync(file.fileno())
        seconds = time.perf_counter() - start
    return {
        "append_4_kib_and_fdatasync_us": round(median(times) * 1e6),
        "sequential_write_gb_per_s": round(256 * MIB / seconds / 1e9, 2),
    }
