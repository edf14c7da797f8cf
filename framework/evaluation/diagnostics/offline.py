"""Diagnostics from transitions alone, cheap enough for training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.evaluation.diagnostics.bellman import bellman_consistency
from bfmkit.evaluation.diagnostics.features import (
    condition_number,
    directions,
    effective_dimension,
    effective_rank,
    feature_spectrum,
    leading_share,
)
from bfmkit.evaluation.diagnostics.measure import Measure
from bfmkit.interfaces import BFM
from bfmkit.utils.linalg import least_squares_weights, second_moment
from bfmkit.utils.rng import generator, normal_noise

REWARDS = 16
"""How many random rewards the Bellman equation is asked about."""

LABELS = 1000
"""The labels after which the effective dimension is asked for: an episode of dm_control."""

LEADING_SHARE = "leading_share_"
"""Before the name of a task, the name of the share of its expressed reward in the first directions of the features."""

REWARD_FIT = "reward_fit_"
"""Before the name of a task, the name of how well its reward is expressed."""


@torch.no_grad()
def offline_measures(
    bfm: BFM,
    transitions: TensorDictBase,  # batch (n,), on the model's device
    rewards: Mapping[str, Tensor],  # task -> (n,); for people to read
    seed: int = 0,
) -> list[Measure]:
    """Rank and conditioning of the features, Bellman consistency of ψ, and R² of each reward on the features."""
    features = bfm.features(*(transitions.get(key) for key in ("observation", "action", ("next", "observation"))))
    spectrum = feature_spectrum(bfm, features)
    consistency = bellman_consistency(
        bfm, transitions, random_weights(features, min(REWARDS, len(features) // 2), seed)
    )
    moment = torch.linalg.eigvalsh(second_moment(features).double()).clamp(min=0)
    measures = [
        Measure(
            "effective_dimension", effective_dimension(moment, LABELS),
            meaning=f"It has no range: {LABELS} labels tell nearly every direction of most models.",
        ),
        Measure(
            "effective_rank", effective_rank(spectrum), at_least=max(0.1 * bfm.dim, min(bfm.dim, 1.5)),
            meaning=f"The features have collapsed to a few of their {bfm.dim} directions, and rewards that differ in "
            "the others look alike.",
        ),
        Measure(
            "condition_number", condition_number(spectrum), at_most=1e5,
            meaning="Some directions are so faint that weights along them are made of rounding errors and of the "
            "regularisation; a smaller dim or a larger orthonormality weight mends that.",
        ),
        Measure(
            "bellman_error", consistency.error, at_most=0.5,
            meaning="Successor features change from one step to the next by amounts that the features in between do "
            "not account for, so which action looks best is chance: train longer, or at a lower rate.",
        ),
        Measure(
            "implied_reward_scale", consistency.reward_scale, at_least=0.5, at_most=1.5,
            meaning="Successor features add up to another multiple of the features than they should: near 0 nothing "
            "has been learnt yet, well above 1 values are running away.",
        ),
    ]  # fmt: skip
    if rewards:
        table = torch.stack(list(rewards.values()), dim=-1).to(features.device)
        shares = leading_share(features, least_squares_weights(features, table))
        # A reward of zero lies nowhere.
        for task, share in zip(rewards, shares.nan_to_num(0.0).tolist(), strict=True):
            measures.append(
                Measure(
                    f"{LEADING_SHARE}{task}", share,
                    meaning="It has no range: over the shipped models it goes, weakly, with how soon a task is found.",
                )
            )  # fmt: skip
        for task, share in zip(rewards, explained_variance(features, table).tolist(), strict=True):
            measures.append(
                Measure(
                    f"{REWARD_FIT}{task}", share, at_least=0.25,
                    meaning=f"The features express little of the reward of {task} (R²): whatever is inferred about it, "
                    "no policy of this model is meant for it.",
                )
            )  # fmt: skip
    return measures


def explained_variance(
    features: Tensor,  # (n, d)
    rewards: Tensor,  # (n, m), one column a task
) -> Tensor:  # (m,) float64
    """R² = 1 − Σ(r − φᵀŵ)²/Σ(r − r̄)² on one half of the transitions, with ŵ and r̄ from the other half.

    NaN for a reward that is the same everywhere: there is nothing to explain. Negative where φᵀŵ predicts worse than a
    constant would.
    """
    order = torch.from_numpy(generator(0, "halves", 0).permutation(len(features)))
    fitted, held_out = order[: len(order) // 2], order[len(order) // 2 :]
    features, rewards = features.double(), rewards.double()
    weights = least_squares_weights(features[fitted], rewards[fitted])  # (m, d)
    unexplained = (rewards[held_out] - features[held_out] @ weights.mT).square().sum(0)
    total = (rewards[held_out] - rewards[fitted].mean(0)).square().sum(0)
    varies = total > 1e-12 * rewards.square().sum(0)
    return torch.where(varies, 1 - unexplained / total, torch.nan)


def random_weights(
    features: Tensor,  # (n, d)
    count: int,
    seed: int,
) -> Tensor:  # (count, d) float64
    """Weights w ~ N(0, C⁺), C the features' second moment, so that φᵀw is about 1 in the mean square over the data.

    The same rewards whatever linear map the features went through.
    """
    values, vectors, present = directions(features)
    roots = torch.where(present, values, 1.0).rsqrt() * present
    noise = normal_noise([seed], "random rewards", [0], (count, len(values)))[0]
    rank = present.sum().clamp(min=1)
    return ((noise * roots) @ vectors.mT / rank.sqrt()).to(features.device)
