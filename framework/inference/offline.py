"""Zero-shot inference: weights from labelled observations, a goal or a demonstration.

The first three hand labels to a posterior at once; they differ in what the labels are. A goal, and each state of a
demonstration, is labelled 1, and the transitions that come with the model 0: the reward for being there rather than
anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.interfaces import BFM, Posterior
from bfmkit.utils.checks import one_per_row
from bfmkit.utils.linalg import second_moment
from bfmkit.utils.placement import placement


@dataclass(frozen=True)
class Inferred:
    """Inferred weights, their belief and the data they follow from."""

    kind: str  # ``labels``, ``goal`` or ``demonstration``
    belief: TensorDict  # batch (1,), the posterior's
    weights: Tensor  # (d,) float64, its mean
    covariance: Tensor  # (d, d), the belief's
    z: Tensor  # (d,), the latent of the policy for them
    features: Tensor  # (n, d), what the posterior was given
    rewards: Tensor  # (n,)


def weights_from_labels(
    bfm: BFM,
    posterior: Posterior,
    observation: Tensor,  # (n, o), what is rewarded
    reward: Tensor,  # (n,)
    action: Tensor | None = None,  # (n, a), that led there
    previous: Tensor | None = None,  # (n, o), where it was taken
    seed: int = 0,
) -> Inferred:
    """Weights by regression of given rewards on the features of observations.

    Most features look at ``observation`` alone. For those that do not, ``action`` and ``previous`` say how one came
    there; without them it is by doing nothing, from where one is.

    Raises:
        ValueError: if shapes do not fit, a number is not finite, or there is no label.
    """
    if len(observation) == 0:
        raise ValueError("weights follow from at least one rewarded observation, got none")
    reward = one_per_row(reward, len(observation), "reward")
    features = _features(bfm, observation, action, previous)
    return _inferred(bfm, posterior, "labels", features, reward, seed)


def weights_from_goal(
    bfm: BFM,
    posterior: Posterior,
    goal: Tensor,  # (o,)
    seed: int = 0,
) -> Inferred:
    r"""Weights of the reward for reaching an observation: 1 there, 0 on the model's inference set.

    ŵ is along (λI + Σ φφᵀ)⁻¹ φ(goal) for least squares; with forward-backward features that is B(goal), λ apart.

    Raises:
        ValueError: if the goal is not one observation, or the model brings no inference set.
    """
    return _among_others(bfm, posterior, "goal", _features(bfm, goal.unsqueeze(0)), seed)


def weights_from_demonstration(
    bfm: BFM,
    posterior: Posterior,
    observation: Tensor,  # (n, o), in their order
    action: Tensor | None = None,  # (n, a), that led there
    seed: int = 0,
) -> Inferred:
    r"""Weights of the reward for being where a demonstration has been: 1 there, 0 on the model's inference set.

    ŵ is along (λI + Σ φφᵀ)⁻¹ mean φ(demonstration) for least squares.

    Raises:
        ValueError: if there is no observation, shapes do not fit, or the model brings no inference set.

    Reference:
        Pirotta et al., Fast Imitation via Behavior Foundation Models, 2024, section 4.
    """
    return _among_others(bfm, posterior, "demonstration", _demonstrated(bfm, observation, action), seed)


@torch.no_grad()
def tracking_weights(
    bfm: BFM,
    observation: Tensor,  # (n, o), in their order
    lookahead: int = 8,
    regularization: float = 1e-3,
) -> Tensor:  # (n, d) float64
    r"""Weights for each moment of a demonstration: the reward for being where it is in the next steps.

    w_t = (C + ε tr(C)/d I)⁻¹ · (1/h) Σ_{k<h} φ(s_{t+k}),  C = E[φφᵀ] over the model's inference set

    That is the least-squares weights of a reward of 1 in the next h states and 0 elsewhere; with forward-backward
    features the mean of B over them. The last moments look at as many states as there are. Actions are not looked at.

    Args:
        bfm: the model.
        observation: of the demonstration.
        lookahead: h, in steps.
        regularization: ε.

    Raises:
        ValueError: if there is no observation, shapes do not fit, the model brings no inference set, or ``lookahead``
            is less than 1.

    Reference:
        Tirinzoni et al., Zero-shot whole-body humanoid control via behavioral foundation models, 2025, section on
        tracking; Pirotta et al., Fast imitation via behavior foundation models, 2024.

    Example:
        ``bfm.act(observation, bfm.policy_latent(tracking_weights(bfm, demonstration)[t].float()))``
    """
    if lookahead < 1:
        raise ValueError(f"lookahead must be at least 1, got {lookahead}")
    features = _demonstrated(bfm, observation).double()
    moment = second_moment(_inference_set_features(bfm, "tracking"))
    moment = moment + regularization * moment.trace() / len(moment) * torch.eye(len(moment)).to(moment)
    sums = torch.cat([torch.zeros_like(features[:1]), features.cumsum(0)])
    first = torch.arange(len(features))
    last = (first + lookahead).clamp(max=len(features))
    ahead = (sums[last] - sums[first]) / (last - first).unsqueeze(-1).to(sums)
    return torch.linalg.solve(moment, ahead.mT).mT


@torch.no_grad()
def _features(
    bfm: BFM, observation: Tensor, action: Tensor | None = None, previous: Tensor | None = None
) -> Tensor:  # (n, d)
    spec = bfm.environment_spec
    previous = observation if previous is None else previous
    action = observation.new_zeros(len(observation), spec.action_size) if action is None else action
    for name, value, size in (
        ("observations", observation, spec.observation_size),
        ("previous observations", previous, spec.observation_size),
        ("actions", action, spec.action_size),
    ):
        if tuple(value.shape) != (len(observation), size):
            raise ValueError(f"{name} must be ({len(observation)}, {size}), got {tuple(value.shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name} hold a number that is not finite")
    return bfm.features(*(value.to(*placement(bfm)) for value in (previous, action, observation)))


def _demonstrated(bfm: BFM, observation: Tensor, action: Tensor | None = None) -> Tensor:  # (n, d)
    if observation.ndim != 2 or len(observation) == 0:
        raise ValueError(f"a demonstration is (n, o) observations, at least one, got {tuple(observation.shape)}")
    return _features(bfm, observation, action, torch.cat([observation[:1], observation[:-1]]))


def _inference_set_features(bfm: BFM, purpose: str) -> Tensor:  # (m, d)
    data = bfm.inference_set()
    if data is None or len(data) == 0:
        raise ValueError(f"{purpose}: this model brings no inference set to compare with")
    return _features(bfm, data["next", "observation"], data["action"], data["observation"])


def _among_others(bfm: BFM, posterior: Posterior, kind: str, features: Tensor, seed: int) -> Inferred:
    other_features = _inference_set_features(bfm, f"weights from a {kind}")
    reward = torch.cat([torch.ones(len(features)), torch.zeros(len(other_features))])
    return _inferred(bfm, posterior, kind, torch.cat([features, other_features]), reward, seed)


@torch.no_grad()
def _inferred(bfm: BFM, posterior: Posterior, kind: str, features: Tensor, reward: Tensor, seed: int) -> Inferred:
    reward = reward.to(features.device, torch.float64)
    if not (reward.isfinite().all() and features.isfinite().all()):
        raise ValueError("a label, or the features of its observation, is not finite")
    belief = posterior.prior_for([seed], bfm.dim, features.device)
    belief = posterior.condition_on(belief, features.unsqueeze(0), reward.unsqueeze(0))
    tensors = belief_tensors(posterior, belief)
    z = bfm.policy_latent(tensors["weights"].to(features.dtype))
    return Inferred(kind, belief, tensors["weights"], tensors["covariance"], z, features, reward)


def belief_tensors(posterior: Posterior, belief: TensorDictBase) -> dict[str, Tensor]:  # batch (1,)
    """Mean and covariance of a belief, by name, for a record."""
    mean = posterior.mean(belief)
    axes = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device).unsqueeze(0)
    root = posterior.from_base_samples(belief, axes) - mean.unsqueeze(1)  # row i: S e_i
    return {"weights": mean[0], "covariance": (root.mT @ root)[0]}
