"""Servers on loopback: `tsq serve` and VictoriaMetrics. What is timed is a request, to the last byte of its answer."""

import http.client
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet

from .. import devops
from ..process import AnswerError


class Server:
    """A running server with one connection to it."""

    def __init__(self, name: str, command: list[str], port: int, ready: str):
        self.name = name
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(300):
            try:
                self._request("GET", ready)
                return
            except (OSError, AnswerError):
                self._connection.close()
                time.sleep(0.1)
        raise AnswerError(f"{name} did not start: {' '.join(map(str, command))}")

    def ask(self, statements: list, files: list[str] = ()) -> dict:
        """Sends the statements one after the other. Rows are not kept, and so `files` stay absent."""
        times = []
        for statement in statements:
            start = time.perf_counter_ns()
            self._send(statement)
            times.append((time.perf_counter_ns() - start) / 1e6)
        return {"times_ms": times, "rows": []}

    def stop(self) -> None:
        """Ends the server."""
        self._connection.close()
        self._process.terminate()
        self._process.wait(60)

    def _send(self, statement) -> None:
        raise NotImplementedError

    def _request(self, method: str, path: str, body=None) -> bytes:
        try:
            self._connection.request(method, path, body)
            response = self._connection.getresponse()
            answer = response.read()
        except http.client.HTTPException as error:
            self._connection.close()
            raise AnswerError(f"{self.name}: {type(error).__name__} {error}") from error
        if response.status >= 300:
            raise AnswerError(f"{self.name}: {response.status} {answer[:300]}")
        return answer


class LynxServe(Server):
    """`tsq serve`; answers are CSV."""

    PORT = 19393

    def __init__(self, tsq: Path, directory: Path):
        command = [tsq, "serve", directory, "--listen", f"127.0.0.1:{self.PORT}"]
        super().__init__("lynxstore over HTTP", command, self.PORT, "/-/ready")

    def _send(self, statement: str) -> None:
        self._request("POST", "/api/v1/sql?format=csv", statement)


class VictoriaMetrics(Server):
    """VictoriaMetrics single-node; a series per host and field."""

    PORT = 18428

    def __init__(self, program: str, directory: Path):
        command = [program, f"-storageDataPath={directory}", f"-httpListenAddr=127.0.0.1:{self.PORT}"]
        # It would close a connection of two minutes, while other systems have their turns.
        command += ["-http.connTimeout=24h", "-http.idleConnTimeout=24h"]
        command += ["-retentionPeriod=100y", "-search.latencyOffset=0s", "-search.maxQueryDuration=10m"]
        super().__init__("victoriametrics", command, self.PORT, "/health")

    def _send(self, statement: dict) -> None:
        # Each statement is asked as if it were new, as the other systems do.
        query = urllib.parse.urlencode({**statement, "nocache": 1})
        self._request("GET", f"/api/v1/{statement['path']}?{query}")

    @staticmethod
    def load(program: str, directory: Path, file: Path) -> dict:
        """Sends the rows as CSV. The server acknowledges what is in memory; a flush at the end makes it files."""
        shutil.rmtree(directory, ignore_errors=True)
        start = time.perf_counter()
        server = VictoriaMetrics(program, directory)
        try:
            names = ["time", *devops.TAGS, *devops.FIELDS]
            kinds = ["1:time:unix_ns"]
            kinds += [f"{names.index(tag) + 1}:label:{tag}" for tag in devops.TAGS]
            kinds += [f"{names.index(field) + 1}:metric:cpu_{field}" for field in devops.FIELDS]
            path = f"/api/v1/import/csv?format={','.join(kinds)}"
            options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
            for batch in pyarrow.parquet.ParquetFile(file).iter_batches(100_000, columns=names):
                batch = batch.set_column(0, "time", batch.column(0).cast("int64"))
                for index, tag in enumerate(devops.TAGS, 1):
                    batch = batch.set_column(index, tag, batch.column(index).cast("string"))
                sink = pyarrow.BufferOutputStream()
                pyarrow.csv.write_csv(batch, sink, options)
                server._request("POST", path, sink.getvalue().to_pybytes())
            server._request("GET", "/internal/force_flush")
            seconds = time.perf_counter() - start
            server._request("GET", "/internal/force_merge")
            _wait_for_merge(server)
        finally:
            server.stop()
        size = sum(entry.stat().st_size for entry in directory.rglob("*") if entry.is_file())
        return {"seconds": seconds, "bytes": size}


def _wait_for_merge(server: Server) -> None:
    for _ in range(600):
        metrics = server._request("GET", "/metrics").decode()
        merges = ("vm_active_merges", "vm_active_force_merges")
        running = [line for line in metrics.splitlines() if line.startswith(merges)]
        if all(line.rsplit(" ", 1)[1] == "0" for line in running):
            return
        time.sleep(0.1)


