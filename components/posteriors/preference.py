"""Bradley-Terry model of comparisons between two clips."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge

from bfmkit.inference.bernoulli_posterior import BernoulliPosterior
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat


@register(Posterior, "preference")
class PreferencePosterior(BernoulliPosterior):
    r"""Bradley-Terry likelihood of comparisons, w ~ N(0, σ₀²I), approximated by a normal at its mode (Laplace).

    P(A is better than B) = σ(κ (Σ_A φ − Σ_B φ)ᵀw)

    It is :class:`~bfmkit.inference.bernoulli_posterior.BernoulliPosterior` on differences of summed features: features
    are Σ_A φ − Σ_B φ, a reward of 1 says that A is better and −1 that B is. ``agent.label(1.0, steps=A, than=B)`` makes
    such a label; the rewards of single steps are none, so an agent with this posterior is not to be told them.

    Args:
        slope: κ > 0, how sure a comparison is of a difference in return of 1.
        prior_std: σ₀ > 0, that of each weight before any comparison.
        labels: how many of the last comparisons the mode is found from.

    Raises:
        ValueError: if ``slope`` or ``prior_std`` is not positive, or ``labels`` less than 2.

    Example:
        ``posterior: {type: preference, slope: 0.2}``

    Reference:
        Christiano et al., Deep Reinforcement Learning from Human Preferences, 2017, section 2.2.3.
    """

    compares = True

    def __init__(
        self, slope: PositiveFloat = 0.2, prior_std: PositiveFloat = 1.0, labels: Annotated[int, Ge(2)] = 256
    ) -> None:
        super().__init__(slope, prior_std, 0.0, labels)
