"""How well a model's policies do when the task is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import BFM, Environment
from bfmkit.regression import least_squares_weights, relabelled_rewards


@torch.inference_mode()
def oracle_returns(
    bfm: BFM,
    environment: Environment,
    inference_set: TensorDictBase,  # batch (n,)
    tasks: Sequence[str],
    seeds: Sequence[int],
) -> dict[str, Tensor]:  # task -> (len(seeds),)
    """Returns of one episode for every task and seed, with weights fitted to the relabelled inference set."""
    keys = ("observation", "action", ("next", "observation"))
    features = bfm.features(*(inference_set.get(key) for key in keys))
    weights = least_squares_weights(features, relabelled_rewards(environment, inference_set, tasks))
    z = bfm.policy_latent(weights).repeat_interleave(len(seeds), dim=0).float()
    rows = environment.with_rows([task for task in tasks for _ in seeds])
    rows.seed_rows(list(seeds) * len(tasks))
    observation, _ = rows.begin()
    total = torch.zeros(len(z))
    for _ in range(rows.spec.episode_steps):
        outcome = rows.advance(bfm.act(observation, z))
        total += outcome.reward
        observation = outcome.observation
    return dict(zip(tasks, total.split(len(seeds)), strict=True))
