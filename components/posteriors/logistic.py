"""Logistic regression on presses of good and bad."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge

from bfmkit.inference.bernoulli_posterior import BernoulliPosterior
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeFloat, PositiveFloat


@register(Posterior, "logistic")
class LogisticPosterior(BernoulliPosterior):
    r"""Bernoulli likelihood of presses, w ~ N(0, σ₀²I), by the Laplace approximation.

    P(good | φ) = σ(κ φᵀw + b),  b ~ N(0, τ²)

    A reward of 1 is a press of good, −1 one of bad, and what lies between a share of both. The offset keeps somebody
    who mostly presses bad from being taken to wish for the opposite of what they see. The belief is that of
    :class:`~bfmkit.inference.bernoulli_posterior.BernoulliPosterior`, a normal at the mode.

    Args:
        slope: κ > 0, how sure a press is of a reward of 1.
        prior_std: σ₀ > 0, the standard deviation of each weight before any press.
        offset_std: τ ≥ 0, that of the offset b, which takes in how much somebody praises; 0 for none.
        labels: how many of the last presses the mode is found from; older ones stay as a quadratic.

    Raises:
        ValueError: if ``slope`` or ``prior_std`` is not positive, ``offset_std`` negative, or ``labels`` less than 2.

    Example:
        ``posterior: {type: logistic, slope: 4.0}``

    Reference:
        Bishop, Pattern Recognition and Machine Learning, 2006, sections 4.4 and 4.5.
    """

    def __init__(
        self,
        slope: PositiveFloat = 4.0,
        prior_std: PositiveFloat = 1.0,
        offset_std: NonNegativeFloat = 5.0,
        labels: Annotated[int, Ge(2)] = 256,
    ) -> None:
        super().__init__(slope, prior_std, offset_std, labels)
