"""Bayesian linear regression with known noise variance."""

from __future__ import annotations

from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import Discount, PositiveFloat


@register(Posterior, "bayesian")
class BayesianPosterior(NormalPosterior):
    r"""Normal posterior of w, given w ~ N(0, σ₀²I) and rewards r = φᵀw + σε with ε standard normal.

    V₀ = I/σ₀², b₀ = 0;  V ← ρV + φφᵀ/σ²,  b ← ρb + φr/σ²;  V = RᵀR,  ŵ = V⁻¹b,  width(x) = √(xᵀV⁻¹x),
    sample(ε) = ŵ + R⁻¹ε

    Its mean is that of ``ridge`` with λ = σ²/σ₀², its width σ times that of it. Labels taken in at once have the same
    noise as those that come one by one. With ρ < 1 the prior is forgotten like everything else, in runs whose reward
    is not observed as well.

    The belief is that of :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior`.

    Args:
        noise_std: σ > 0, the standard deviation of a reward around φᵀw.
        prior_std: σ₀ > 0, that of each weight before any reward.
        discount: ρ in (0, 1], what is left of old rewards a step later.

    Raises:
        ValueError: if ``noise_std`` or ``prior_std`` is not positive, or ``discount`` not in (0, 1].

    Example:
        ``posterior: {type: bayesian, noise_std: 0.1}``

    Reference:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 3.3.1.
    """

    is_least_squares = True
    is_linear_in_rewards = True

    def __init__(
        self, noise_std: PositiveFloat = 0.01, prior_std: PositiveFloat = 1.0, discount: Discount = 1.0
    ) -> None:
        super().__init__(prior_std**-2, noise_std, discount)
        self.prior_std = prior_std

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive standard deviation √(width² + σ²)."""
        return (self.std(belief, features).square() + self.noise_std**2).sqrt()
