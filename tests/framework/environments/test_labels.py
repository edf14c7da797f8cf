from __future__ import annotations

import pytest
import torch

from bfmkit.environments.labels import labelled_transitions
from bfmkit.testing.models import BallEnvironment, LinearBFM


def test_each_run_gets_the_reward_of_its_task() -> None:
    bfm = LinearBFM(labelled=30)
    labelled = labelled_transitions(bfm, BallEnvironment(), ["task_2", "task_0", "task_2"], 100)
    assert labelled.batch_size == torch.Size([30])
    physics = bfm.inference_set()["next", "physics"]
    torch.testing.assert_close(labelled["next", "reward"], physics[:, [2, 0, 2]].float())


def test_a_larger_set_is_thinned_out_always_alike() -> None:
    first, second = (labelled_transitions(LinearBFM(labelled=50), BallEnvironment(), ["task_0"], 20) for _ in range(2))
    assert len(first) == 20
    assert (first == second).all()
    assert len({tuple(row) for row in first["observation"].tolist()}) == 20


def test_a_model_without_transitions_is_refused() -> None:
    with pytest.raises(ValueError, match="inference set"):
        labelled_transitions(LinearBFM(labelled=0), BallEnvironment(), ["task_0"], 20)


def test_a_task_that_changes_is_labelled_as_of_the_steps_asked_for() -> None:
    bfm = LinearBFM(labelled=30)
    physics = bfm.inference_set()["next", "physics"].float()
    tasks = ["x_0 * step", "task_1"]
    once = labelled_transitions(bfm, BallEnvironment(), tasks, 100)
    torch.testing.assert_close(once["next", "reward"], physics[:, [0, 1]])
    every = labelled_transitions(bfm, BallEnvironment(episode_steps=20), tasks, 100, every=8)["next", "reward"]
    assert every.shape == (30, 2, 3)
    torch.testing.assert_close(every[:, 0], physics[:, :1] * torch.tensor([1.0, 9.0, 17.0]))
    torch.testing.assert_close(every[:, 1], physics[:, 1:2].expand(-1, 3))
