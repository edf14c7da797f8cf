from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from torchrl.envs import ParallelEnv, SerialEnv, StepCounter, TransformedEnv
from torchrl.envs.custom import PendulumEnv

import bfmkit
from bfmkit.components.environments import parallel
from bfmkit.components.environments.parallel import ParallelEnvironment
from bfmkit.interfaces import StepResult
from bfmkit.testing.environment import EnvironmentContract
from bfmkit.testing.models import BallEnvironment

TASKS = ["task_0", "task_1"]


@pytest.fixture(scope="module")
def processes() -> Iterator[ParallelEnvironment]:
    made = ParallelEnvironment(BallEnvironment(tasks=TASKS))
    yield made
    made.close()


class TestParallel(EnvironmentContract):
    @pytest.fixture(autouse=True)
    def _in_this_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # TorchRL's SerialEnv behaves as its ParallelEnv does; starting processes in each of these tests takes minutes.
        monkeypatch.setattr(parallel, "ParallelEnv", lambda count, rows, **_: SerialEnv(count, rows))

    def make(self) -> ParallelEnvironment:
        return ParallelEnvironment(BallEnvironment(tasks=TASKS))


def test_processes_give_what_the_environment_gives(processes: ParallelEnvironment) -> None:
    inner = BallEnvironment(tasks=TASKS)
    for environment in (processes, inner):
        environment.seed([3, 5], episode=[2, 0])
    first = torch.tensor([True, False])
    for rows in (None, first):
        for found, expected in zip(processes.reset_batch(rows), inner.reset_batch(rows), strict=True):
            assert torch.equal(found, expected)
        for moved in (None, first, ~first, None):
            action = torch.rand(2, inner.spec.action_size)
            found, expected = processes.step_batch(action, moved), inner.step_batch(action, moved)
            for name in StepResult._fields:
                assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_torchrls_transforms_and_rollouts_take_it(processes: ParallelEnvironment) -> None:
    rollout = TransformedEnv(processes, StepCounter(3)).rollout(7, break_when_any_done=False)
    assert rollout.shape == (2, 7)
    assert rollout["next", "truncated"].squeeze(-1)[:, 2::3].all()


def test_a_parallel_env_keeps_its_processes() -> None:
    made = bfmkit.make_env(ParallelEnv(2, PendulumEnv))
    assert isinstance(made, ParallelEnvironment)
    assert (len(made.tasks), len(made.with_tasks(made.tasks * 2).tasks)) == (2, 4)
    try:
        assert len(torch.unique(made.reset_batch()[0], dim=0)) == 2
        made.step_batch(torch.zeros(2, 1))
        pids = {process.pid for process in made._workers._workers}
        assert len(pids) == 2 and os.getpid() not in pids
    finally:
        made.close()
