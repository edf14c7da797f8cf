"""Thompson sampling: weights sampled from the posterior."""

from __future__ import annotations

from torch import Tensor

from bfmkit.interfaces import Acquisition, AcquisitionContext
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat


@register(Acquisition, "thompson")
class ThompsonAcquisition(Acquisition):
    r"""Thompson sampling: w = ŵ + κ (w' − ŵ),  w' ~ belief.

    The policy for w is the best there is for w, so nothing is searched and no critic is asked.

    Args:
        scale: κ, how many times wider than the posterior the draw is. With the ``ridge`` posterior, κ is the standard
            deviation of the noise in the rewards, and ``regularization`` / κ² the precision of the prior.

    Raises:
        ValueError: if ``scale`` is not positive.

    Example:
        ``acquisition: {type: thompson, scale: 0.5}``

    Reference:
        Agrawal and Goyal, Thompson Sampling for Contextual Bandits with Linear Payoffs, 2013.
    """

    def __init__(self, scale: PositiveFloat = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return (dim,)

    def propose(self, context: AcquisitionContext) -> Tensor:  # (B, d)
        posterior, belief = context.posterior, context.belief
        drawn = posterior.sample(belief, context.noise)
        if self.scale == 1.0:
            return drawn
        mean = posterior.mean(belief)
        return mean + self.scale * (drawn - mean)
