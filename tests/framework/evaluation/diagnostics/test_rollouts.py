from __future__ import annotations

import torch

from bfmkit.evaluation.diagnostics.predictions import comparable
from bfmkit.evaluation.diagnostics.rollouts import rollout
from bfmkit.testing.models import BallEnvironment, LinearBFM


def test_rows_that_are_over_count_no_more() -> None:
    bfm = LinearBFM(2)
    environment = BallEnvironment(2, episode_steps=6, tasks=["task_0"] * 3, lengths=[4, 99, 2])
    z = bfm.policy_latent(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    rollouts = rollout(bfm, environment, z)
    assert rollouts.running.sum(0).tolist() == [4, 6, 2]
    assert rollouts.terminated.tolist() == [True, False, True]
    torch.testing.assert_close(rollouts.reward.sum(0), torch.tensor([4.0, 0.0, 2.0], dtype=torch.float64))
    features = rollouts.features(bfm)
    torch.testing.assert_close(features.sum(0)[1], torch.tensor([0.0, 6.0], dtype=torch.float64))
    assert not features[~rollouts.running].any()
    # Ended for good: every return is known. Cut off after 6 steps at a discount of 0.5: none but those before step 0.
    assert comparable(rollouts, 0.5).sum(0).tolist() == [4, 0, 2]
    assert comparable(rollouts, 0.4).sum(0).tolist() == [4, 1, 2]


def test_all_rows_over_ends_the_play() -> None:
    environment = BallEnvironment(2, episode_steps=9, tasks=["task_0"] * 2, lengths=[3, 1])
    assert len(rollout(LinearBFM(2), environment, torch.ones(2, 2)).reward) == 3
