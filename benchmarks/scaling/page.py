"""docs/scaling.md: `scaling.md` beside this file, with the results of the benchmark `scale` in it."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.scaling import capacity
from benchmarks.scaling.capacity import Cost, Plan

WIDTH = 120
TEMPLATE = Path(__file__).with_name("scaling.md")
QUIET_LOAD = 0.5
"""Load average up to which a machine counts as idle before the measurement."""
SIZES = (1_000, 1_000_000)
TOKEN_SECONDS = 300
"""After which a session's token is renewed."""


def text(results: Mapping[str, float], machine: Mapping[str, Any], commit: str) -> str:
    """The whole page, Markdown."""
    cost = Cost.of(results)
    thousand, million = plans = [capacity.plan(size, cost) for size in SIZES]
    return TEMPLATE.read_text(encoding="utf-8").format(
        cores=machine["cores"],
        cpu=machine["cpu"],
        python=machine["python"],
        commit=commit,
        idle=_idle(results["machine.load_before"]),
        in_kb=f"{results['frame.in_kb']:.0f}",
        fps=f"{capacity.FPS:.0f}",
        table=_table(results),
        efficiency=_efficiency(results),
        ray=_ray(results),
        batch=f"{1 / results['batch.gain']:.2f}",
        relay_ms=f"{results['relay.cpu_ms_per_frame']:.2f}",
        out_kb=f"{cost.out_kb:.0f}",
        busy=f"{capacity.BUSY:.0%}",
        prediction_price=capacity.DOLLARS_PREDICTION_CORE,
        relay_price=capacity.DOLLARS_RELAY_CORE,
        out_price=capacity.DOLLARS_GIGABYTE_OUT,
        plans=_plans(plans),
        dearest="traffic" if thousand.dollars_out > thousand.dollars_prediction else "prediction",
        thousand_cores=_number(thousand.prediction_cores),
        thousand_requests=_number(thousand.frames * 60),
        million_relays=_number(million.relay_workers),
        renewals=_number(million.sessions / TOKEN_SECONDS),
    )


def _idle(load: float) -> str:
    if load <= QUIET_LOAD:
        return "The machine was idle otherwise."
    return (
        f"**The machine was not idle**: its load average was {load:.1f} before the first measurement. Frames a second\n"
        "and times are worse than they would be on an idle one, and say little; the CPU of a frame is what to go by."
    )


def _efficiency(results: Mapping[str, float]) -> str:
    if results["machine.load_before"] > QUIET_LOAD:
        return "not told, for the machine was not idle"
    kinds = [kind for kind in ("gunicorn", "ray") if f"{kind}.efficiency" in results]
    return ", ".join(f"{results[f'{kind}.efficiency']:.2f} with {kind}" for kind in kinds)


def _table(results: Mapping[str, float]) -> str:
    servers = sorted({match[1] for name in results if (match := re.match(r"((?:gunicorn|ray)\.\d+)\.", name))})
    loads = sorted({int(match[1]) for name in results if (match := re.search(r"\.(\d+)_sessions\.fps", name))})
    head = ["frames/s and p95", *(f"{load} session{'s' * (load > 1)}" for load in loads)]
    rows = [[*head, "turned away", "CPU of a frame", "idle CPU", "memory", "processes", "ready after"]]
    for server in servers:
        of = {name.removeprefix(f"{server}."): value for name, value in results.items() if name.startswith(server)}
        cells = [f"{of[f'{load}_sessions.fps']:.0f}, {_ms(of[f'{load}_sessions.ms_p95'])}" for load in loads]
        away = sum(of[f"{load}_sessions.turned_away"] for load in loads)
        about = [
            f"{away:.0f}",
            f"{of['cpu_ms_per_frame']:.1f} ms",
            f"{of['idle_cpu_share']:.0%}",
            f"{of['memory_mb']:.0f} MB",
            f"{of['processes']:.0f}",
            f"{of['start_s']:.1f} s",
        ]
        rows.append([f"`{server}`", *cells, *about])
    return _markdown(rows)


def _ray(results: Mapping[str, float]) -> str:
    if "ray.1.fps" not in results:
        return "Ray was not measured in this run."
    latency = next(value for name, value in results.items() if re.fullmatch(r"ray\.cost_\d+_sessions\.ms_p50", name))
    names = ("cost_cpu_ms_per_frame", "cost_idle_cpu_share", "cost_memory_mb", "1.processes")
    cpu, share, memory, processes = (results[f"ray.{name}"] for name in names)
    idle = results["machine.load_before"] <= QUIET_LOAD
    sentences = (
        f"What Ray costs beside one gunicorn worker: {cpu:.1f} ms of CPU a frame, {share:.0%} of a core always,",
        f"{latency:.1f} ms at the median of one session," if idle else "",
        f"and {memory:.0f} MB of memory in {processes:.0f} processes. It buys replicas on other machines, their",
        "replacement, and scaling by load; on one machine, gunicorn's workers are the better choice.",
    )
    return textwrap.fill(" ".join(filter(None, sentences)), WIDTH)


def _plans(plans: list[Plan]) -> str:
    amounts = {
        "frames a second": [plan.frames for plan in plans],
        "prediction cores": [plan.prediction_cores for plan in plans],
        f"nodes of {capacity.NODE_CORES} cores": [plan.nodes for plan in plans],
        "prediction cores with Ray Serve": [plan.ray_cores for plan in plans],
        "relay workers, a core each": [plan.relay_workers for plan in plans],
        "traffic to the browsers, Gbit/s": [plan.out_gigabits for plan in plans],
        "prediction, $ an hour": [plan.dollars_prediction for plan in plans],
        "relays, $ an hour": [plan.dollars_relay for plan in plans],
        "traffic, $ an hour": [plan.dollars_out for plan in plans],
        "together, $ an hour": [plan.dollars for plan in plans],
        "one session, $ an hour": [plan.dollars / plan.sessions for plan in plans],
    }
    rows = [["", *(f"{plan.sessions:,} sessions" for plan in plans)]]
    return _markdown(rows + [[what, *map(_number, numbers)] for what, numbers in amounts.items()])


def _markdown(rows: list[list[str]]) -> str:
    """A table; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, f"|{'---|' * len(rows[0])}")
    return "\n".join(lines)


def _ms(value: float) -> str:
    return "–" if math.isinf(value) else f"{value:.0f} ms"


def _number(value: float) -> str:
    """Two significant digits: more would claim more than a model knows."""
    if value <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.{max(0, digits)}f}"
