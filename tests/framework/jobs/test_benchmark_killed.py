"""Benchmarks whose processes are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from bfmkit.cli import main
from bfmkit.evaluation.cells import CELLS, read_cells
from bfmkit.evaluation.results import benchmark_table
from bfmkit.interfaces import JobError
from bfmkit.jobs.benchmark import BenchmarkJob
from bfmkit.registry import discovery
from bfmkit.utils.ray_tasks import NICENESS

CPU = torch.device("cpu")
MDP = "{layout: random, size: 8, dim: 3, actions: 3}"
TABULAR = (
    f"bfm={{type: tabular, pool: 12, mdp: {MDP}}}",
    f"environment={{type: tabular, task: random_0, episode_steps: 30, mdp: {MDP}}}",
)
TASKS = ["random_0", "random_3"]
RECIPES = ["opti_bfm_ts", "random"]


def job(*recipes: str, **settings: Any) -> BenchmarkJob:
    given = {"tasks": TASKS, "seeds": 2, "episodes": 12, "overrides": TABULAR, **settings}
    return BenchmarkJob(list(recipes) or RECIPES, **given)


def results(out: Path) -> pl.DataFrame:
    return benchmark_table(out, RECIPES)


def wait_for(condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.002)
    raise TimeoutError


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "torn").mkdir()
    job().run(tmp_path / "whole", CPU)
    killed = []

    def kill() -> None:
        wait_for(lambda: any((tmp_path / "torn").glob("checkpoints/*.pt")))
        killed.append(multiprocessing.active_children()[0])
        os.kill(killed[0].pid or 0, signal.SIGKILL)

    watch = threading.Thread(target=kill)
    watch.start()
    job(runner="processes", workers=1).run(tmp_path / "torn", CPU)
    watch.join()
    assert killed[0].exitcode == -signal.SIGKILL
    assert results(tmp_path / "torn").equals(results(tmp_path / "whole"))


def test_ray_gives_the_same_numbers_whoever_kills_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children_named: Callable[[bytes], list[int]]
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.delenv(NICENESS, raising=False)
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    job().run(tmp_path / "here", CPU)
    killed: list[int] = []
    niceness: list[int] = []

    def kill() -> None:
        wait_for(lambda: any((tmp_path / "there").glob("checkpoints/*.pt")))
        killed.extend(children_named(b"ray::_stream"))
        niceness.append(os.getpriority(os.PRIO_PROCESS, killed[0]))
        os.kill(killed[0], signal.SIGKILL)

    watch = threading.Thread(target=kill)
    watch.start()
    job(runner="ray", workers=1).run(tmp_path / "there", CPU)
    watch.join()
    assert killed
    # They do not wait for everybody else on a busy machine; and nobody else is told so.
    assert niceness == [os.getpriority(os.PRIO_PROCESS, 0)]
    assert NICENESS not in os.environ
    assert results(tmp_path / "here").equals(results(tmp_path / "there"))


def test_a_killed_driver_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = "\n".join(f"- '{override}'" for override in TABULAR)
    Path("long.yaml").write_text(
        f"type: benchmark\nrecipes: [opti_bfm_ts, random]\ntasks: {json.dumps(TASKS)}\nseeds: 2\nepisodes: 12\n"
        f"overrides:\n{overrides}\n"
    )
    (tmp_path / "whole").mkdir()
    job().run(tmp_path / "whole", CPU)
    words = ["run", "long.yaml", "runner=processes", "workers=2", "--out", "torn", "--device", "cpu"]
    code = f"import sys; from bfmkit.cli import main; sys.exit(main({words!r}))"
    driver = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    torn = tmp_path / "torn"
    # A recipe's group is under way, and the oracle's cells are there.
    wait_for(lambda: any(torn.glob("oracles/*/*/*.json")) and any(torn.glob("checkpoints/*.pt")))
    workers = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    driver.kill()
    driver.wait()
    assert workers
    wait_for(lambda: not any(_runs(worker) for worker in workers), 60)
    finished = {path: path.read_bytes() for path in torn.glob("*/*/*/*.json")}
    assert finished
    assert len(finished) < 16
    threads = torch.get_num_threads()
    # Whoever runs the groups, it is the same run.
    assert main(["run", "long.yaml", "runner=in_process", "--out", "torn", "--device", "cpu"]) == 0
    torch.set_num_threads(threads)
    assert results(torn).equals(results(tmp_path / "whole"))
    assert all(path.read_bytes() == content for path, content in finished.items())


def _runs(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


DEADLY = """
import os
from bfmkit.components.environments.tabular import TabularEnvironment
from bfmkit.interfaces import Environment
from bfmkit.registry import register

@register(Environment, "deadly")
class Deadly(TabularEnvironment):
    "Kills the process that a run of seed 1 is in, as long as there is a file."

    def reset_batch(self, rows=None):
        if (1, 1) in zip(self.clock.seeds, self.clock.episode) and os.path.exists("deadly"):
            os.kill(os.getpid(), 9)
        return super().reset_batch(rows)
"""


def test_a_worker_that_dies_again_and_again_loses_its_cells_until_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(discovery, "_project_packages", [])
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "deadly_components"
    (package / "environments").mkdir(parents=True)
    (package / "environments" / "deadly.py").write_text(DEADLY)
    entry = '[project]\nname = "deadly"\n[project.entry-points."bfmkit.components"]\ndeadly = "deadly_components"\n'
    Path("pyproject.toml").write_text(entry)
    Path("deadly").touch()
    discovery.add_project(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    overrides = (TABULAR[0], TABULAR[1].replace("tabular", "deadly"), "oracle_episodes=0")
    settings = {"tasks": ["random_0"], "episodes": 3, "batch_size": 1, "overrides": overrides}
    with pytest.raises(JobError, match="1 of 2 cells failed"):
        job("random", runner="processes", workers=1, **settings).run(out, CPU)
    said = capsys.readouterr().err
    assert "random, group 1: 0 cells done, 1 failed, lost: its process died 2 times (by SIGKILL)" in said
    assert "failed: random, task random_0, seed 1: its process died 2 times (by SIGKILL)\n" in said
    assert {(cell.seed, cell.status, cell.lost) for cell in read_cells(out / CELLS)} == {
        (0, "done", False), (1, "failed", True),
    }  # fmt: skip
    Path("deadly").unlink()
    job("random", **settings).run(out, CPU)
    assert {(cell.seed, cell.status, len(cell.episodes)) for cell in read_cells(out / CELLS)} == {
        (0, "done", 3), (1, "done", 3),
    }  # fmt: skip
