"""Ridge regression on the rewards of the last steps."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior, normal_belief
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt

SUMS = ("precision", "precision_lost", "response", "response_lost")


@register(Posterior, "sliding_window")
class SlidingWindowPosterior(NormalPosterior):
    r"""Ridge regression on the rewards of the last W steps.

    V = λI + Σ φφᵀ,  b = Σ φr, both over the last W steps;  V = RᵀR,  ŵ = V⁻¹b,  width(x) = √(xᵀV⁻¹x),
    sample(ε) = ŵ + R⁻¹ε

    A step whose reward is not observed takes its place in the window too, so such runs forget as the others do. What
    :meth:`condition_on` learns belongs to the prior and stays: labelled transitions, and labels given by hand or by a
    teacher. V and b are added up anew from the window in every step,
    which costs W d² operations and leaves no rounding behind, as taking old pairs out again would.

    The belief holds, beside that of :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior`, ``window_features``
    (B, W, d) and ``window_rewards`` (B, W), oldest first and zero where nothing was observed, and in ``base`` the
    sums without the window.

    Args:
        steps: W, how many.
        regularization: λ > 0, the weight of the prior w = 0.

    Raises:
        ValueError: if ``steps`` is less than 1 or ``regularization`` not positive.

    Example:
        ``posterior: {type: sliding_window, steps: 1000}``

    Reference:
        Cheung et al., Learning to Optimize under Non-Stationarity, 2019, section 4.
    """

    is_linear_in_rewards = True

    def __init__(self, steps: PositiveInt = 1000, regularization: PositiveFloat = 1.0) -> None:
        super().__init__(regularization)
        self.steps = steps
        self.regularization = regularization

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        belief = super().prior(batch_size, dim, device)
        belief["base"] = belief.select(*SUMS).clone()
        belief["window_features"] = belief["mean"].new_zeros(batch_size, self.steps, dim)
        belief["window_rewards"] = belief["mean"].new_zeros(batch_size, self.steps)
        return belief

    def learn(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor | None,  # (B, n) bool; None: they belong to the prior
        discount: float,
    ) -> TensorDict:  # batch (B,)
        base = belief["base"]
        window, rewards = belief["window_features"], belief["window_rewards"]
        if observed is None:
            base = TensorDict(self.sums(base, features, reward), batch_size=base.batch_size)
            window, rewards = window.clone(), rewards.clone()
        else:
            base = base.clone()
            window = torch.cat([window, features], 1)[:, -self.steps :]
            rewards = torch.cat([rewards, reward], 1)[:, -self.steps :]
        updated = normal_belief(self.sums(base, window, rewards))
        updated["base"], updated["window_features"], updated["window_rewards"] = base, window, rewards
        return updated
