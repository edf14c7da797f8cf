"""How often rewards lie where the belief said they would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import Agent, Posterior

RESIDUALS = "residuals"
"""The entry of an agent's state that holds the sums."""

ENOUGH = 200
"""Fewer rewards are no ground for a warning."""
TOO_FEW_INSIDE = 0.8
"""A smaller share of rewards within two standard deviations, of which a normal belief has 0.954, is worth a warning."""

_COLUMNS = 6
_WIDTHS = torch.tensor([1.0, 2.0], dtype=torch.float64)


def blank(runs: int, device: torch.device | str = "cpu") -> Tensor:  # (B, 6) float64
    """The sums before the first reward: rewards, those within one and two widths, Σe², Σr², Σr."""
    return torch.zeros(runs, _COLUMNS, dtype=torch.float64, device=device)


class Foretold(NamedTuple):
    """What was expected of n rewards of each of m runs, beside what they were."""

    residual: Tensor  # (m, n) float64, r less what was expected of it
    width: Tensor  # (m, n) float64, the belief's standard deviation of the reward
    reward: Tensor  # (m, n) float64
    observed: Tensor  # (m, n) bool; where it is not, the others may be anything


def foretold(
    posterior: Posterior,
    belief: TensorDictBase,  # batch (m,), which has not seen the rewards yet
    features: Tensor,  # (m, n, d), finite where observed
    reward: Tensor,  # (m, n)
    observed: Tensor,  # (m, n) bool
) -> Foretold:
    """Rewards beside what a belief expects of them."""
    # As few operations as possible: this may be done at every step, and each costs more than its arithmetic.
    features = features.double()
    expected = posterior.predictive_mean(belief, features)
    # Copies: what is kept of rewards may lie where the next ones will.
    return Foretold(reward - expected, posterior.predictive_std(belief, features), reward.clone(), observed.clone())


def counted(sums: Tensor, rewards: Foretold) -> Tensor:  # (m, 6) -> (m, 6)
    """The sums with the rewards observed."""
    residual, width, reward, observed = rewards
    inside = residual.abs().unsqueeze(-1) <= width.unsqueeze(-1) * _WIDTHS.to(width.device)
    squares = torch.stack([residual, reward], dim=-1).square()
    taken = observed.to(sums.device).unsqueeze(-1)
    rows = torch.cat([taken, inside, squares, reward.unsqueeze(-1)], dim=-1)
    # One after another, so that it does not matter how many are counted together.
    return torch.cat([sums.unsqueeze(1), torch.where(taken, rows, 0.0)], 1).cumsum(1)[:, -1]


@dataclass(frozen=True)
class Calibration:
    """How well a belief foretold each reward before it saw it.

    Args:
        rewards: how many it was asked about.
        within_one: the share of them within one standard deviation of what was expected; 0.68 for a normal belief.
        within_two: within two of them; 0.95.
        explained: 1 − Σe²/Σ(r − r̄)²: 1 where every reward was foretold exactly, 0 or less where the rewards' mean
            would have foretold them as well. None where all rewards were the same.
    """

    rewards: int
    within_one: float | None
    within_two: float | None
    explained: float | None

    @classmethod
    def of(cls, sums: Tensor) -> Calibration:  # (6,), or several of them, (n, 6)
        """What the sums of one run, or of several, say."""
        rewards, one, two, squared, squares, total = sums.double().reshape(-1, _COLUMNS).sum(0).tolist()
        if rewards == 0:
            return cls(0, None, None, None)
        spread = squares - total**2 / rewards
        # Below rounding, the rewards were all the same.
        explained = 1.0 - squared / spread if spread > 1e-12 * squares else None
        return cls(int(rewards), one / rewards, two / rewards, explained)

    @property
    def is_overconfident(self) -> bool:
        """Whether clearly fewer rewards lie within the intervals than should."""
        return self.within_two is not None and self.rewards >= ENOUGH and self.within_two < TOO_FEW_INSIDE

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)

    def words(self) -> str:
        """``0.51 of 2,000 rewards within two of the belief's standard deviations (0.95 expected), ...``."""
        if self.within_two is None:
            return "no reward yet"
        share = f"{self.within_two:.2f} of {self.rewards:,} rewards within two of the belief's standard deviations"
        explained = "" if self.explained is None else f", {self.explained:.2f} of their variance foretold"
        return f"{share} (0.95 expected){explained}"


def calibrations(agent: Agent) -> list[Calibration]:
    """One a run; none for an agent that keeps no belief."""
    if RESIDUALS not in agent.state.keys():
        return []
    return [Calibration.of(row) for row in agent.state[RESIDUALS].cpu()]


def warning(whose: Sequence[str], worst: Calibration) -> str:
    """What to tell the user when beliefs are surer than they should be.

    Args:
        whose: the runs it is about, in words.
        worst: the calibration of the one that is farthest off.
    """
    runs = whose[0] if len(whose) == 1 else f"{len(whose)} runs, most of all in {whose[0]}"
    return (
        f"the belief is surer than it should be in {runs}: {worst.words()}. Either the model's features cannot express "
        "this reward, or rewards are larger than the prior expects; the interval around what is believed is then too "
        "narrow, and exploring ends too early. A larger confidence_radius, noise_std or prior_std (or a smaller "
        "regularization) helps, and the posterior normal_inverse_gamma learns the size of the noise by itself."
    )
