from __future__ import annotations

import pytest
import torch

from bfmkit.inference.episode import run_episode
from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.testing.models import BallEnvironment, LinearBFM


def test_each_run_acts_for_its_own() -> None:
    agent = FixedWeightsAgent(torch.eye(4)[[0, 2]])
    agent.start(LinearBFM(), [1, 2])
    returns = run_episode(agent, BallEnvironment(tasks=["task_0", "task_2"])).returns
    assert (returns > 19.99).all()
    assert (run_episode(agent, BallEnvironment(tasks=["task_1", "task_1"])).returns.abs() < 1e-4).all()


def test_weights_that_do_not_fit_are_refused() -> None:
    for shape in ((3,), (3, 4), (1, 2, 4)):
        with pytest.raises(ValueError, match="weights must be"):
            FixedWeightsAgent(torch.ones(shape)).start(LinearBFM(), [1, 2])
