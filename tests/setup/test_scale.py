"""The benchmark `scale`: its model's arithmetic, and the page that is written from its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.scaling import page
from benchmarks.scaling.capacity import Cost, plan
from benchmarks.scaling.sessions import Measured

COST = Cost(prediction_ms=12.0, ray_ms=6.0, relay_ms=0.6, out_kb=50.0)


def results(*servers: str) -> dict[str, float]:
    """A run's results, made up, with the servers named."""
    made = {"machine.load_before": 0.1, "frame.in_kb": 40.0, "frame.out_kb": 50.0, "batch.gain": 1.0}
    made |= {"relay.cpu_ms_per_frame": 0.6}
    for server in servers:
        kind = server.partition(".")[0]
        made |= {f"{kind}.efficiency": 0.9, f"{kind}.cost_cpu_ms_per_frame": 6.0, f"{kind}.cost_memory_mb": 700.0}
        made |= {f"{kind}.cost_idle_cpu_share": 0.1, f"{server}.idle_cpu_share": 0.01}
        made |= {f"{kind}.cost_1_sessions.ms_p50": 3.0, f"{server}.cpu_ms_per_frame": 12.0, f"{server}.start_s": 2.0}
        made |= {f"{server}.fps": 80.0, f"{server}.memory_mb": 300.0, f"{server}.processes": 2.0}
        for load in (1, 16):
            name = f"{server}.{load}_sessions"
            made |= {f"{name}.fps": 80.0, f"{name}.ms_p50": 12.0, f"{name}.ms_p95": 20.0}
            made |= {f"{name}.turned_away": 0.0, f"{name}.failed": 0.0}
    return made


def written(path: Path, numbers: dict[str, float]) -> Path:
    machine = {"cpu": "a processor", "cores": 2, "python": "3.11.7"}
    path.write_text(json.dumps({"results": numbers, "machine": machine, "commit": "0123456789ab"}), encoding="utf-8")
    return path


def test_a_thousand_sessions() -> None:
    thousand = plan(1000, COST)
    assert thousand.frames == 15_000
    assert thousand.prediction_cores == pytest.approx(300)  # 15,000 frames of 12 ms, cores 60 % busy
    assert thousand.ray_cores == pytest.approx(450)
    assert thousand.relay_workers == pytest.approx(15)
    assert thousand.out_gigabits == pytest.approx(6)
    assert thousand.dollars_out == pytest.approx(0.75 * 3600 * 0.08)
    assert thousand.dollars == pytest.approx(300 * 0.055 + 15 * 0.053 + 216)


def test_a_relay_holds_no_more_sessions_than_it_may() -> None:
    assert plan(1000, Cost(12.0, 6.0, relay_ms=0.001, out_kb=50.0)).relay_workers == 5


def test_percentiles_and_rate_of_a_load() -> None:
    measured = Measured(2.0, [float(ms) for ms in range(1, 101)])
    assert measured.fps == 50
    assert measured.percentile(95) == pytest.approx(95.95)
    assert Measured(2.0).percentile(95) == float("inf")


def test_the_page_says_what_was_measured_and_where(tmp_path: Path) -> None:
    source = written(tmp_path / "scale.json", results("gunicorn.1", "gunicorn.2", "ray.1", "ray.2"))
    given = scale.run(None, ["--from", str(source), "--doc", str(tmp_path / "page.md")])
    assert given == results("gunicorn.1", "gunicorn.2", "ray.1", "ray.2")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "2 cores of a processor, Python 3.11.7, commit `0123456789ab`" in text
    assert "The machine was idle otherwise." in text
    assert "| `ray.2` | 80, 20 ms | 80, 20 ms | 0 | 12.0 ms | 1% | 300 MB | 2 | 2.0 s |" in text
    assert "| prediction cores | 300 | 300,000 |" in text


def test_the_page_says_that_a_machine_was_busy_and_ray_left_out(tmp_path: Path) -> None:
    numbers = results("gunicorn.1", "gunicorn.2") | {"machine.load_before": 7.0}
    text = page.text(numbers, {"cpu": "a processor", "cores": 2, "python": "3.11.7"}, "0123456789ab")
    assert "**The machine was not idle**: its load average was 7.0" in text
    assert "Ray was not measured in this run." in text
    assert "heaviest load): not told" in text
    assert "ray.1" not in text


def test_the_page_in_the_repository_is_from_this_template(root: Path) -> None:
    text = (root / "docs" / "scaling.md").read_text(encoding="utf-8")
    headings = [line for line in page.TEMPLATE.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == headings
