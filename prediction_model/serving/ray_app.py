"""The prediction service on Ray Serve: replicas that come and go with the frames, on one's own machines.

    python -m prediction_model serve-ray --replicas 2 --most-replicas 4      on this machine
    serve run prediction_model.serving.ray_app:build most_replicas=20        where Ray runs already; KubeRay alike

The routes are those of `serving.http`, so the relay reaches it by `FACESWAP_PREDICTOR=http`. A replica takes
`ONGOING` frames, the router holds `QUEUED` more and answers 503 to the rest: the relay's newest frame waits in its
session's mailbox instead, and its circuit breaker sends the next one elsewhere.
https://docs.ray.io/en/latest/serve/index.html
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig
from starlette.requests import Request
from starlette.responses import Response

from prediction_model.prediction import ModelPrediction
from prediction_model.serving.http import PredictionApp
from prediction_model.serving.wsgi_call import call
from prediction_model.settings import current

ONGOING = 4
"""Frames of a replica under way at a time: what a relay sends to one prediction server, too."""
QUEUED = 8
"""Frames that wait at the router for a replica; older ones than these are not worth their prediction."""
TARGET_ONGOING = 2.0
"""Frames under way in a replica for which the autoscaler aims."""
LOOK_BACK_SECONDS = 3.0
UPSCALE_SECONDS = 2.0
DOWNSCALE_SECONDS = 60.0
"""Sessions come back within a minute more often than not, and a replica takes seconds to load."""
REQUEST_SECONDS = 15.0
"""As long as client_app waits for a picture; a relay has given its frame up by then."""
HEALTH_PERIOD_SECONDS = 2.0
HEALTH_SECONDS = 5.0
DRAIN_SECONDS = 10.0
LOAD_SECONDS = 60.0
IDENTITIES = 16
"""Identities that a replica is known to have loaded; as many as `engines.cache` keeps."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `build` takes, by these names."""

    model_dir: str = ""
    """Folder of identity packages, on every node; empty: the gallery."""
    replicas: int = 1
    """Fewest."""
    most_replicas: int = 0
    """Most; 0: as many as the fewest."""
    cpus: float = 1.0
    """Cores that a replica reserves."""
    gpus: float = 0.0
    """Accelerators that a replica reserves; 0.25 puts four on one."""
    batch: int = 1
    """Most frames, of whatever sessions, given to the model in one call; 1: each on its own. Gains only where an
    engine computes several at once."""


class PredictionReplica:
    """One replica: a model, and the WSGI application around it."""

    def __init__(self, model_dir: str, batch: int) -> None:
        self.model = ModelPrediction.from_path(model_dir or current().gallery_folder)
        self._loop = asyncio.get_running_loop()
        self._app = PredictionApp(_Together(self) if batch > 1 else self.model)
        self._threads = ThreadPoolExecutor(ONGOING, "predict")
        # Apart from the others: with batches these wait for the answers that those compute.
        self._batches = ThreadPoolExecutor(1, "batch")
        self.predict_together.set_max_batch_size(batch)
        self._load_networks(self._batches if batch > 1 else self._threads, 1 if batch > 1 else ONGOING)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        identity = serve.get_multiplexed_model_id()
        if identity:
            await self.load_identity(identity)
        body = await request.body()
        arguments = (self._app, request.method, request.url.path, request.headers, body)
        answer = await self._loop.run_in_executor(self._threads, call, *arguments)
        return Response(answer.body, answer.status, dict(answer.headers))

    def _load_networks(self, pool: ThreadPoolExecutor, threads: int) -> None:
        """Load each thread's networks before the replica counts as ready, so that its first frames are not late."""
        together = threading.Barrier(threads)

        def load(_: int) -> None:
            if self.model.pipeline.finder:
                together.wait(LOAD_SECONDS)  # so that no thread takes two turns

        list(pool.map(load, range(threads)))

    @serve.multiplexed(max_num_models_per_replica=IDENTITIES)  # type: ignore[untyped-decorator]
    async def load_identity(self, identity: str) -> str:
        """Note that this replica has `identity`: Ray's router sends its frames here first.

        The model itself loads an engine with the first frame that may have it, and forgets the least used.
        """
        return identity

    @serve.batch(batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator]
    async def predict_together(self, requests: list[list[Any]]) -> list[list[Any]]:
        """The predictions for the instances of several requests, in one call of the model."""
        instances = [instance for request in requests for instance in request]
        predictions = iter(await self._loop.run_in_executor(self._batches, self.model.predict, instances))
        return [[next(predictions) for _ in request] for request in requests]

    async def check_health(self) -> None:
        """Ray replaces a replica for which this raises, or does not return in `HEALTH_SECONDS`: threads that hang."""
        await self._loop.run_in_executor(self._threads, bool)


class _Together:
    """A model for `PredictionApp` whose predictions are those of `predict_together`. Called in threads."""

    def __init__(self, replica: PredictionReplica) -> None:
        self._replica = replica
        self._loop = asyncio.get_running_loop()

    def predict(self, instances: list[Any], **kwargs: Any) -> list[Any]:
        if len(instances) != 1:
            return self._replica.model.predict(instances)  # a batch already, and its limit is its own

        async def together() -> list[Any]:
            predictions: list[Any] = await self._replica.predict_together(instances)
            return predictions

        return asyncio.run_coroutine_threadsafe(together(), self._loop).result(REQUEST_SECONDS)


def build(arguments: dict[str, Any]) -> Any:
    """The application, from options by their names: what `serve run` and a RayService's `args` give.

    Raises:
        ValueError: an option that there is not, or one that is no number.
    """
    types: dict[str, Any] = {each.name: type(each.default) for each in fields(Options)}
    unknown = sorted(set(arguments) - set(types))
    if unknown:
        raise ValueError(f"Expected some of {', '.join(types)}; received {unknown[0]!r}.")
    options = Options(**{name: types[name](value) for name, value in arguments.items()})
    deployment = serve.deployment(
        PredictionReplica,
        name="prediction",
        max_ongoing_requests=ONGOING,
        max_queued_requests=QUEUED,
        autoscaling_config=AutoscalingConfig(
            min_replicas=options.replicas,
            initial_replicas=options.replicas,
            max_replicas=max(options.most_replicas, options.replicas),
            target_ongoing_requests=TARGET_ONGOING,
            look_back_period_s=LOOK_BACK_SECONDS,
            metrics_interval_s=1.0,
            upscale_delay_s=UPSCALE_SECONDS,
            downscale_delay_s=DOWNSCALE_SECONDS,
        ),
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        health_check_period_s=HEALTH_PERIOD_SECONDS,
        health_check_timeout_s=HEALTH_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
    )
    return deployment.bind(options.model_dir, options.batch)
