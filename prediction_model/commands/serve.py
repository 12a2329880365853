"""`serve`: the prediction service on gunicorn's threads."""

from __future__ import annotations

import argparse
import atexit
import importlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from prediction_model.commands import whole

HELP = "serve predictions over HTTP, at the routes of AI Platform and Vertex AI"
KEEP_ALIVE_SECONDS = 75
REQUEST_SECONDS = 30
GRACEFUL_SECONDS = 4
BACKLOG = 64
LAST_PORT = 65_535
MOST_WORKERS = 256
MOST_THREADS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    port = os.environ.get("PORT", "8002")
    parser.add_argument("--port", type=whole(1, LAST_PORT), default=port, help="default: PORT, or 8002")
    parser.add_argument("--workers", type=whole(1, MOST_WORKERS), default=1, help="processes (default: %(default)s)")
    parser.add_argument(
        "--threads",
        type=whole(1, MOST_THREADS),
        default=4,
        help="requests a process takes at a time (default: %(default)s)",
    )
    parser.add_argument("--model-dir", type=Path, help="folder of identity packages (default: the gallery)")
    parser.add_argument(
        "--class",
        dest="model_class",
        default="prediction_model.prediction:ModelPrediction",
        metavar="MODULE:CLASS",
        help="any class with from_path(folder) and predict(instances) (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    if arguments.workers > 1 and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        # Before prometheus_client is imported: it decides then whether to sum over processes.
        counts = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="faceswap-metrics-")
        atexit.register(_remove, counts, os.getpid())
    from gunicorn.app.base import BaseApplication

    from prediction_model.settings import current

    model_dir = arguments.model_dir or current().gallery_folder
    if not model_dir.is_dir():
        raise SystemExit(f"serve: there is no folder {model_dir}: name one of identity packages with --model-dir.")
    model_class = load_class(arguments.model_class)
    options = {
        "bind": f"{arguments.host}:{arguments.port}",
        "workers": arguments.workers,
        "threads": arguments.threads,
        "worker_class": "gthread",
        "keepalive": KEEP_ALIVE_SECONDS,
        "timeout": REQUEST_SECONDS,
        "graceful_timeout": GRACEFUL_SECONDS,
        "backlog": BACKLOG,
        "control_socket_disable": True,
        "logger_class": "gunicorn.glogging.Logger",
        "loglevel": "warning",
        "proc_name": "faceswap-prediction",
    }

    class Server(BaseApplication):  # type: ignore[misc]
        """gunicorn, told what it needs in code; each worker loads the model for itself."""

        def load_config(self) -> None:
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return application(model_class, model_dir)

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    Server().run()
    return 0


def application(model_class: Any, model_dir: Path) -> Any:
    """The WSGI application around a loaded model."""
    import cv2

    from prediction_model.prediction import ModelPrediction
    from prediction_model.serving.http import PredictionApp

    # One frame, one thread: frames run side by side instead.
    cv2.setNumThreads(1)
    model = model_class.from_path(str(model_dir))
    if isinstance(model, ModelPrediction):
        model.warm_up()
    return PredictionApp(model, _studio(model))


def _remove(folder: str, pid: int) -> None:
    """Remove `folder` as the process `pid` ends; its workers inherit this call, and leave the folder alone."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _studio(model: Any) -> Any:
    """The studio calls; a class of somebody else's has none."""
    from prediction_model.prediction import ModelPrediction

    if not isinstance(model, ModelPrediction):
        return None
    from prediction_model.serving.studio import StudioCalls

    return StudioCalls(model)


def load_class(name: str) -> Any:
    """`module:Class`. Raises SystemExit with a sentence."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(f"--class: expected MODULE:CLASS that can be imported; received {name!r} ({error}).") from None
    if not callable(getattr(found, "from_path", None)) or not callable(getattr(found, "predict", None)):
        raise SystemExit(f"--class: expected a class with from_path and predict; {name} lacks one of them.")
    return found
