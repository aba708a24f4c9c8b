"""Exports a few instruments five times a second until its input is closed; prints what it had to deliver.

The exporter is the SDK's own. One that fails is asked again with the same points, as an exporter behind a queue is: the
points of each collection have to arrive, not only the newest totals. Argument: the address of the server.
"""

import itertools
import json
import sys
import threading
import time

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

TABLES = {
    "requests": "requests_total",
    "queue.length": "queue_length",
    "request.duration": "request_duration_seconds_count",
}


class PersistentExporter(OTLPMetricExporter):
    """Exports each collection until it is taken, and remembers it."""

    points = {table: [] for table in TABLES.values()}
    retries = 0

    def export(self, metrics_data, timeout_millis=10_000, **kwargs):
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        value = point.count if metric.name == "request.duration" else point.value
                        self.points[TABLES[metric.name]].append([point.time_unix_nano, value])
        while super().export(metrics_data, timeout_millis, **kwargs) is not MetricExportResult.SUCCESS:
            self.retries += 1
            time.sleep(0.05)
        return MetricExportResult.SUCCESS


def main(address: str) -> None:
    exporter = PersistentExporter(endpoint=f"http://{address}/v1/metrics", compression=Compression.Gzip, timeout=1)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=200)
    resource = Resource({"service.name": "api", "service.instance.id": "i1"})
    provider = MeterProvider(metric_readers=[reader], resource=resource)
    meter = provider.get_meter("test")
    # Eighths: a value that is the same in JSON, whoever reads it.
    looks = itertools.count(1)
    meter.create_observable_gauge("queue.length", [lambda _: [Observation(next(looks) / 8)]])
    requests = meter.create_counter("requests", unit="1")
    duration = meter.create_histogram("request.duration", unit="s")
    requests.add(1)
    duration.record(0.1)
    closed = threading.Event()

    def work() -> None:
        while not closed.wait(0.02):
            requests.add(1)
            duration.record(0.1)

    worker = threading.Thread(target=work)
    worker.start()
    sys.stdin.read()
    closed.set()
    worker.join()
    provider.shutdown(timeout_millis=60_000)
    print(json.dumps({"retries": exporter.retries, "points": exporter.points}))


main(sys.argv[1])
