"""What /metrics shows. Of one worker process; no label holds an address, a session or an identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from errors import RelayError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0)
PREDICTION_STAGES = frozenset({"decode", "find", "align", "swap", "paste", "label", "encode", "total"})
"""Stages of the prediction service that get a histogram; a label for whatever a server answers would be unbounded."""


class BackendState(Collector):
    """Reads the state of the prediction servers when it is asked for."""

    def __init__(self, read: Callable[[], Mapping[str, Mapping[str, float]]]) -> None:
        self._read = read

    def collect(self) -> list[Metric]:
        """Three gauges for each backend."""
        families = {
            name: GaugeMetricFamily(f"faceswap_relay_backend_{name}", text, labels=["backend"])
            for name, text in (
                ("circuit", "0 closed, 1 half open, 2 open"),
                ("outstanding", "frames under way"),
                ("failed", "predictions that failed since the start"),
            )
        }
        for backend, values in self._read().items():
            for name, family in families.items():
                family.add_metric([backend], values[name])
        return list(families.values())


class Metrics:
    """The relay's counters, gauges and histograms."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.sessions = Gauge("faceswap_relay_sessions", "sessions open", registry=self.registry)
        self.greenlets = Gauge("faceswap_relay_greenlets", "greenlets that sessions run", registry=self.registry)
        self.ended = Counter(
            "faceswap_relay_sessions_ended", "sessions that ended, by close code", ["code"], registry=self.registry
        )
        self.frames = Counter(
            "faceswap_relay_frames",
            "frames: in (received), out (answered with a picture), held (answered without), dropped (a newer one came)",
            ["what"],
            registry=self.registry,
        )
        self.errors = Counter(
            "faceswap_relay_errors", "errors that did not end a session, by code", ["code"], registry=self.registry
        )
        self.stages = Histogram(
            "faceswap_relay_stage_seconds",
            "time of a frame by stage: queue, predict and send are the relay's",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        # Children are looked up once: `labels()` costs more than the counting.
        self.frames_in, self.frames_out, self.frames_held, self.frames_dropped = (
            self.frames.labels(what) for what in ("in", "out", "held", "dropped")
        )
        self.queue, self.predict, self.send = (self.stages.labels(stage) for stage in ("queue", "predict", "send"))
        self._prediction = {stage: self.stages.labels(f"prediction.{stage}") for stage in sorted(PREDICTION_STAGES)}

    def watch_backends(self, read: Callable[[], Mapping[str, Mapping[str, float]]]) -> None:
        """Show the backends that `read` tells about: name → circuit, outstanding, failed."""
        self.registry.register(BackendState(read))

    def prediction_stages(self, timings_ms: Mapping[str, float]) -> None:
        """Count a frame's stages as the prediction service measured them."""
        for stage, milliseconds in timings_ms.items():
            histogram = self._prediction.get(stage)
            if histogram is not None:
                histogram.observe(milliseconds / 1000)

    def session_ended(self, error: RelayError) -> None:
        """Count the end of a session by its reason."""
        self.ended.labels(str(error.close_code or "gone")).inc()

    def exposition(self) -> bytes:
        """Text in Prometheus' format."""
        return generate_latest(self.registry)
