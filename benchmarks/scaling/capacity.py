"""How many machines, and how much money, a number of sessions needs: from measured costs of a frame, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FPS = 15.0
"""Frames a second of one session."""
BUSY = 0.6
"""Share of a core that is planned for: Vertex AI's and App Engine's autoscalers aim at 60 % by default."""
NODE_CORES = 4
RELAY_SESSIONS = 200
"""Most of one relay worker: FACESWAP_SESSIONS."""

# Google's list prices in us-central1 from memory, November 2026: check them before you rely on what follows from them.
DOLLARS_PREDICTION_CORE = 0.055
"""An hour of one core of n1-standard-4 at a Vertex AI endpoint."""
DOLLARS_RELAY_CORE = 0.053
"""An hour of one core of App Engine flexible."""
DOLLARS_GIGABYTE_OUT = 0.08
"""Traffic to the internet in North America, beyond the first 10 TB of a month."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one frame costs, as measured."""

    prediction_ms: float
    """CPU in the prediction tier."""
    ray_ms: float
    """CPU that Ray Serve adds to it."""
    relay_ms: float
    """CPU in the relay."""
    out_kb: float
    """Size of the answer, which goes to the browser."""

    @classmethod
    def of(cls, results: Mapping[str, float]) -> Cost:
        """From the results of the benchmark."""
        return cls(
            prediction_ms=results["gunicorn.1.cpu_ms_per_frame"],
            ray_ms=max(0.0, results.get("ray.cost_cpu_ms_per_frame", 0.0)),
            relay_ms=results["relay.cpu_ms_per_frame"],
            out_kb=results["frame.out_kb"],
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What `sessions` of `FPS` frames a second need."""

    sessions: int
    frames: float
    """A second."""
    prediction_cores: float
    ray_cores: float
    """The same, with Ray Serve."""
    relay_workers: float
    out_gigabits: float
    """A second, to the browsers."""
    dollars_prediction: float
    """An hour."""
    dollars_relay: float
    dollars_out: float

    @property
    def nodes(self) -> float:
        return self.prediction_cores / NODE_CORES

    @property
    def dollars(self) -> float:
        return self.dollars_prediction + self.dollars_relay + self.dollars_out


def plan(sessions: int, cost: Cost) -> Plan:
    """Multiply: every part but the feed of revocations and the token service grows with the frames."""
    frames = sessions * FPS
    cores = frames * cost.prediction_ms / 1000 / BUSY
    relays = max(frames * cost.relay_ms / 1000 / BUSY, sessions / RELAY_SESSIONS)
    out_gigabytes = frames * cost.out_kb / 1e6
    return Plan(
        sessions=sessions,
        frames=frames,
        prediction_cores=cores,
        ray_cores=frames * (cost.prediction_ms + cost.ray_ms) / 1000 / BUSY,
        relay_workers=relays,
        out_gigabits=out_gigabytes * 8,
        dollars_prediction=cores * DOLLARS_PREDICTION_CORE,
        dollars_relay=relays * DOLLARS_RELAY_CORE,
        dollars_out=out_gigabytes * 3600 * DOLLARS_GIGABYTE_OUT,
    )
