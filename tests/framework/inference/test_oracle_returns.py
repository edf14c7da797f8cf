from __future__ import annotations

import torch

from bfmkit.components.agents.random import RandomAgent
from bfmkit.inference.oracle_returns import oracle_returns
from bfmkit.testing.models import BallEnvironment, LinearBFM


def test_the_oracle_is_told_each_task_and_beats_random_weights() -> None:
    bfm, tasks = LinearBFM(), ["task_0", "task_1"]
    environment, seeds = BallEnvironment(dim=bfm.dim), [3, 4, 5]
    oracle = oracle_returns(bfm, environment, bfm.inference_set(), tasks, seeds)
    floor = oracle_returns(bfm, environment, bfm.inference_set(), tasks, seeds, RandomAgent())
    assert list(oracle) == list(floor) == tasks
    assert all(returns.shape == (3,) for returns in oracle.values())
    assert all((oracle[task] > floor[task]).all() for task in tasks)
    # A task's returns are those that it has alone.
    alone = oracle_returns(bfm, environment, bfm.inference_set(), ["task_1"], seeds)
    torch.testing.assert_close(alone["task_1"], oracle["task_1"])
