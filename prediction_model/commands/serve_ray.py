"""`serve-ray`: the prediction service on Ray Serve, on this machine or on the cluster that `RAY_ADDRESS` names."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from prediction_model.commands import number, whole
from prediction_model.commands.serve import LAST_PORT
from prediction_model.errors import ExtraMissing

MOST_REPLICAS, MOST_CPUS, MOST_GPUS, MOST_BATCH = 1_000, 256, 64, 256
HELP = "serve predictions on Ray Serve: replicas, autoscaling, back-pressure; at the routes of `serve`"
OBJECT_STORE_BYTES = 100_000_000
"""Ray's shared memory; frames do not pass through it."""
ENVIRONMENT = {
    # Their defaults look at the load every ten seconds: a burst of sessions would be over by then.
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    # One event loop a process instead of three: less is added to a frame. Ours never blocks: threads predict.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # That would also give each replica a port of its own, past the router that knows who has room.
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What Ray reads when it is imported, and hands to the processes it starts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=whole(1, LAST_PORT), default=8002, help="default: %(default)s")
    parser.add_argument("--model-dir", type=Path, help="folder of identity packages (default: the gallery)")
    replicas, cpus, gpus = whole(1, MOST_REPLICAS), number(0, MOST_CPUS), number(0, MOST_GPUS)
    parser.add_argument("--replicas", type=replicas, default=1, help="fewest replicas (default: %(default)s)")
    parser.add_argument("--most-replicas", type=replicas, help="most of them (default: as many as the fewest)")
    parser.add_argument("--cpus", type=cpus, default=1.0, help="cores that a replica reserves (default: %(default)s)")
    parser.add_argument("--gpus", type=gpus, default=0.0, help="accelerators, such as 0.25 (default: %(default)s)")
    parser.add_argument(
        "--batch",
        type=whole(1, MOST_BATCH),
        default=1,
        help="most frames given to the model in one call (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        from ray import serve
    except ImportError:
        raise ExtraMissing("serve-ray", "ray[serve]", "ray") from None
    from prediction_model.serving.ray_app import REQUEST_SECONDS, build

    if "RAY_ADDRESS" in os.environ:
        ray.init()
    else:
        ray.init(
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            _temp_dir=os.environ.get("RAY_TMPDIR"),
        )
    # So that frames under way are answered: Ray drains at KeyboardInterrupt, and falls at SIGTERM.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    http = {"host": arguments.host, "port": arguments.port, "request_timeout_s": REQUEST_SECONDS}
    serve.start(http_options=http)
    options = {
        "model_dir": str(arguments.model_dir.resolve()) if arguments.model_dir else "",
        "replicas": arguments.replicas,
        "most_replicas": arguments.most_replicas or 0,
        "cpus": arguments.cpus,
        "gpus": arguments.gpus,
        "batch": arguments.batch,
    }
    serve.run(build(options), name="prediction", blocking=True)
    return 0
