from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.interfaces import Environment, Explorer, JobError
from bfmkit.jobs.collect import CollectJob
from bfmkit.recipe import RecipeError, defer
from bfmkit.testing.job import JobContract

CPU = torch.device("cpu")
EXPLORER = {
    "type": "random_network_distillation",
    "width": 16,
    "embedding_dim": 4,
    "batch_size": 16,
    "updates": 1,
    "warmup": 40,
}
BODY = {"type": "dm_control", "domain": "walker", "task": "stand", "episode_steps": 20}


def job(
    domain: str = "walker", task: str = "stand", workers: int = 1, transitions: int = 80, runner: str = "processes"
) -> CollectJob:
    body = {"type": "dm_control", "domain": domain, "task": task, "episode_steps": 20}
    return CollectJob(
        defer(Environment, body),
        defer(Explorer, EXPLORER),
        transitions=transitions,
        workers=workers,
        environments=2,
        runner=runner,
    )


class TestCollectJob(JobContract):
    def make(self) -> CollectJob:
        body = {"type": "dm_control", "domain": "walker", "task": "stand", "episode_steps": 20}
        return CollectJob(
            defer(Environment, body), defer(Explorer, EXPLORER), transitions=80, workers=1, environments=2
        )


def test_what_two_processes_gather_is_whole_episodes_that_relabel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = job(workers=2, transitions=150).run(tmp_path, CPU)
    assert summary["transitions"] == 160
    assert (tmp_path / "figures" / "coverage.png").is_file()
    assert "160 transitions: whole episodes of 4 environments" in capsys.readouterr().err
    dataset = MemoryMapDataset(tmp_path)
    everything = dataset.read(torch.arange(len(dataset)))
    ends = everything["next", "truncated"].nonzero().squeeze(-1)
    assert ends.tolist() == list(range(19, 160, 20))
    inside = [index for index in range(159) if index % 20 != 19]
    assert torch.equal(
        everything["next", "observation"][inside], everything["observation"][[index + 1 for index in inside]]
    )
    environment = defer(Environment, {"type": "dm_control", "domain": "walker", "task": "stand"}).build()
    reward = environment.relabel(everything["next", "physics"], everything["action"], "stand")
    assert reward.min() >= 0
    assert reward.std() > 0
    starts = everything["observation"][::20]
    assert len({tuple(row.tolist()) for row in starts}) == 8, "every episode starts elsewhere"


def test_ray_gathers_the_same_and_goes_on_when_a_worker_is_killed(
    tmp_path: Path, children_named: Callable[[bytes], list[int]]
) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    job(workers=1, transitions=400).run(tmp_path / "here", CPU)
    count = tmp_path / "there" / "dataset" / "shard-000.json"
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 120
        while not (count.exists() and json.loads(count.read_text())["transitions"] >= 80):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        killed.extend(children_named(b"ray::explore_remotely"))
        os.kill(killed[0], signal.SIGKILL)

    watch = threading.Thread(target=kill)
    watch.start()
    summary = job(workers=1, transitions=400, runner="ray").run(tmp_path / "there", CPU)
    watch.join()
    assert killed and summary["transitions"] == 400
    here, there = (MemoryMapDataset(tmp_path / where).read(torch.arange(400)) for where in ("here", "there"))
    # What was written before the kill is kept; an explorer that comes again is some blocks younger.
    assert (here[:80] == there[:80]).all()
    ends = there["next", "truncated"].nonzero().squeeze(-1)
    assert ends.tolist() == list(range(19, 400, 20))
    assert len({tuple(row.tolist()) for row in there["observation"][::20]}) == 20, "every episode starts elsewhere"


def test_an_address_needs_ray() -> None:
    with pytest.raises(ValueError, match="say runner=ray"):
        CollectJob(defer(Environment, BODY), defer(Explorer, EXPLORER), transitions=80, address="auto")


def test_refuses_to_mix_bodies(tmp_path: Path) -> None:
    job().run(tmp_path, CPU)
    with pytest.raises(ValueError, match="made for domain walker"):
        job("cheetah", "run").run(tmp_path, CPU)


def test_going_on_keeps_what_is_there(tmp_path: Path) -> None:
    whole = job(transitions=160)
    # As a run killed after half of its blocks leaves it.
    whole.run(tmp_path, CPU)
    count = tmp_path / "dataset" / "shard-000.json"
    before = MemoryMapDataset(tmp_path).read(torch.arange(80)).clone()
    count.write_text(json.dumps({"transitions": 80}))
    whole.run(tmp_path, CPU)
    dataset = MemoryMapDataset(tmp_path)
    assert len(dataset) == 160
    assert (dataset.read(torch.arange(80)) == before).all()


@pytest.mark.parametrize(
    ("environment", "explorer", "words"),
    [({}, {"width": 0}, "width"), ({"task": "fly"}, {}, "fly")],
)
def test_what_cannot_be_made_is_refused_when_the_job_is_built(environment: dict, explorer: dict, words: str) -> None:
    body = {"type": "dm_control", "domain": "walker", "task": "stand", "episode_steps": 20}
    with pytest.raises(RecipeError, match=words):
        CollectJob(defer(Environment, body | environment), defer(Explorer, EXPLORER | explorer), transitions=80)


def test_a_process_that_fails_is_named(tmp_path: Path) -> None:
    job().run(tmp_path, CPU)
    (tmp_path / "dataset" / "shard-000.json").write_text("{")
    with pytest.raises(JobError, match="shard-000"):
        job().run(tmp_path, CPU)


def started(folder: Path, transitions: int) -> tuple[list[str], subprocess.Popen]:
    """A job in processes of its own, into ``folder / "out"``, that has written some transitions."""
    recipe, out = folder / "collect.yaml", folder / "out"
    recipe.write_text(
        f"extends: collect_tiny\nworkers: 1\ntransitions: {transitions}\nenvironments: 2\n"
        "environment: {episode_steps: 50}\nexplorer: {width: 16, batch_size: 16}\n"
    )
    start = "import sys; from bfmkit.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "run", str(recipe), "--out", str(out)]
    count = out / "dataset" / "shard-000.json"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (count.exists() and 300 <= json.loads(count.read_text())["transitions"] < transitions):
        assert process.poll() is None, "done before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return command, process


def test_processes_end_with_the_job_that_started_them(tmp_path: Path) -> None:
    _, process = started(tmp_path, 1_000_000)
    # The parent alone, as a batch system or an out-of-memory killer does it.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    except ProcessLookupError:
        return
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("a collecting process outlived the job")


def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    command, process = started(tmp_path, 4000)
    out = tmp_path / "out"
    count = out / "dataset" / "shard-000.json"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = json.loads(count.read_text())["transitions"]
    assert written < 4000
    before = MemoryMapDataset(out).read(torch.arange(written)).clone()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    dataset = MemoryMapDataset(out)
    assert len(dataset) == 4000
    assert (dataset.read(torch.arange(written)) == before).all()
