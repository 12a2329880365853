"""How the prediction tier grows: frames a second and p95 with one and two of it, under 1 to 16 sessions.

`gunicorn.N` are worker processes of `serve`, `ray.N` replicas of `serve-ray`. Sessions play the committed wearer at 15
frames a second, one frame under way each, straight at the prediction tier; on a machine of two cores they take their
share of what is measured. CPU of a frame is that of every process of the server, Ray's own included.

`--doc docs/scaling.md` writes the page as well; `--from FILE` does so from an earlier run's JSON, and measures nothing.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks import relay
from benchmarks.pages import Load
from benchmarks.pipeline import read_clip
from benchmarks.scaling import page, servers, sessions

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "tests" / "data" / "wearers" / "w1.mp4"
FRAMES = 60
FPS = 15.0
BATCH = 8
RELAY_PAGES = 10


def run(data: Path | None, arguments: Sequence[str] = ()) -> Mapping[str, float]:
    """See `benchmarks`. Always plays the committed wearer: `data` is not read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load, after the warm-up")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 16], help="loads, in sessions")
    parser.add_argument(
        "--ray-python",
        default=os.environ.get("FACESWAP_RAY_PYTHON", ""),
        metavar="FILE",
        help="Python of an environment with `pip install '.[ray]'`; without it Ray is not measured",
    )
    parser.add_argument("--doc", type=Path, metavar="FILE", help="write docs/scaling.md there")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="take the numbers of an earlier --json"
    )
    options = parser.parse_args(arguments)
    if options.source:
        written = json.loads(options.source.read_text(encoding="utf-8"))
        results, machine, commit = written["results"], written["machine"], written["commit"]
    else:
        results = measure(options.seconds, sorted(options.sessions), options.ray_python)
        # Imported here: `__main__` is the program that imports this.
        from benchmarks.__main__ import commit as current_commit
        from benchmarks.__main__ import machine as this_machine

        machine, commit = this_machine(), current_commit()
    if options.doc:
        options.doc.write_text(page.text(results, machine, commit), encoding="utf-8")
    return {str(name): float(value) for name, value in results.items()}


def measure(seconds: float, loads: Sequence[int], ray_python: str) -> dict[str, float]:
    """Everything, one server after the other."""
    frames = read_clip(CLIP, FRAMES)
    results = {"machine.load_before": os.getloadavg()[0], "frame.in_kb": sum(map(len, frames)) / len(frames) / 1000}
    for count in (1, 2):
        results |= measure_server(f"gunicorn.{count}", servers.gunicorn(count), frames, loads, seconds)
    results["gunicorn.efficiency"] = results["gunicorn.2.fps"] / results["gunicorn.1.fps"] / 2
    if ray_python:
        for count in (1, 2):
            results |= measure_server(f"ray.{count}", servers.ray(ray_python, count), frames, loads, seconds)
        results["ray.efficiency"] = results["ray.2.fps"] / results["ray.1.fps"] / 2
        results |= {
            f"ray.cost_{name}": results[f"ray.1.{name}"] - results[f"gunicorn.1.{name}"]
            for name in ("cpu_ms_per_frame", "idle_cpu_share", "memory_mb", f"{loads[0]}_sessions.ms_p50")
        }
    else:
        print("Ray is not measured: --ray-python names no environment with it", file=sys.stderr)
    results |= measure_relay(seconds, int(results["frame.in_kb"] * 1000))
    return results | measure_batch(frames)


def measure_server(
    name: str,
    started: AbstractContextManager[servers.Server],
    frames: Sequence[bytes],
    loads: Sequence[int],
    seconds: float,
) -> dict[str, float]:
    """One server under every load. `NAME.fps` and `.ms_p95` are those of the heaviest load."""
    results: dict[str, float] = {}
    with started as server:
        sessions.play(server.port, frames, loads[-1], FPS, seconds=1.0, warm_up=0.0)  # every thread loads its networks
        idle = idle_share(server, seconds)
        measured = sessions.Measured(seconds)
        for load in loads:
            before, began = server.cpu_ms(), time.perf_counter()
            measured = sessions.play(server.port, frames, load, FPS, seconds)
            took = time.perf_counter() - began
            # Without what it uses without frames; and the warm-up's frames cost CPU, and are not counted.
            used = (server.cpu_ms() - before - idle * took * 1000) * seconds / took
            cpu_ms = used / max(1, len(measured.milliseconds))
            results |= {
                f"{name}.{load}_sessions.fps": measured.fps,
                f"{name}.{load}_sessions.ms_p50": measured.percentile(50),
                f"{name}.{load}_sessions.ms_p95": measured.percentile(95),
                f"{name}.{load}_sessions.turned_away": float(measured.turned_away),
                f"{name}.{load}_sessions.failed": float(measured.failed),
                f"{name}.{load}_sessions.cpu_ms": cpu_ms,
            }
            print(f"{name}, {load} sessions: {measured.fps:.1f} frames/s, {cpu_ms:.1f} ms CPU each", file=sys.stderr)
        results |= {
            f"{name}.fps": measured.fps,
            f"{name}.ms_p95": measured.percentile(95),
            # The least: frames that were turned away cost as well.
            f"{name}.cpu_ms_per_frame": min(results[f"{name}.{load}_sessions.cpu_ms"] for load in loads),
            f"{name}.idle_cpu_share": idle,
            f"{name}.memory_mb": server.memory_mb(),
            f"{name}.processes": float(len(server.processes)),
            f"{name}.start_s": server.start_seconds,
            "frame.out_kb": measured.out_bytes / max(1, len(measured.milliseconds)) / 1000,
        }
    return results


def idle_share(server: servers.Server, seconds: float) -> float:
    """Cores that the server uses while nobody asks it anything."""
    before, began = server.cpu_ms(), time.perf_counter()
    time.sleep(seconds)
    return (server.cpu_ms() - before) / 1000 / (time.perf_counter() - began)


def measure_relay(seconds: float, frame_bytes: int) -> dict[str, float]:
    """The relay's CPU of a frame, as the benchmark `relay` has it, under a light load."""
    measured = relay.measure_relay(Load(RELAY_PAGES, FPS, frame_bytes, seconds), most_sessions=0)
    return {"relay.cpu_ms_per_frame": measured["relay.cpu_ms_per_frame"]}


def measure_batch(frames: Sequence[bytes]) -> dict[str, float]:
    """CPU of a frame alone, and in one `predict` of several: above 1 where a batch gains."""
    from prediction_model.prediction import ModelPrediction
    from prediction_model.settings import current

    model = ModelPrediction.from_path(current().gallery_folder)
    instances = [{"image": {"b64": base64.b64encode(frame).decode()}} for frame in frames[:BATCH]]
    model.predict(instances)
    alone = together = 0.0
    for _ in range(3):  # taking turns, so that what else the machine does weighs on both
        began = time.process_time()
        for instance in instances:
            model.predict([instance])
        between = time.process_time()
        model.predict(instances)
        alone += between - began
        together += time.process_time() - between
    return {"batch.gain": alone / together}
