"""Sends one of each instrument with the OpenTelemetry SDK's own exporter. Argument: the address of the server."""

import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource


def main(address: str) -> None:
    exporter = OTLPMetricExporter(endpoint=f"http://{address}/v1/metrics", compression=Compression.Gzip)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    view = View(instrument_name="exact.latency", aggregation=ExponentialBucketHistogramAggregation())
    resource = Resource({"service.name": "api", "service.instance.id": "i1", "host.name": "h1"})
    provider = MeterProvider(metric_readers=[reader], views=[view], resource=resource)
    meter = provider.get_meter("test")
    meter.create_observable_gauge("queue.length", [lambda _: [Observation(7, {"queue": "a"})]])
    requests = meter.create_counter("requests", unit="1")
    duration = meter.create_histogram("request.duration", unit="s")
    exact = meter.create_histogram("exact.latency", unit="ms")
    for number in range(10):
        requests.add(2, {"http.method": "GET"})
        duration.record(number / 100, {"http.method": "GET"})
        exact.record(2.0**number)
    assert provider.force_flush(), "the export failed"
    provider.shutdown()


main(sys.argv[1])
