"""Ridge regression on the rewards seen so far."""

from __future__ import annotations

from bfmkit.inference.gaussian_posterior import NormalPosterior
from bfmkit.interfaces import Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import Discount, PositiveFloat


@register(Posterior, "ridge")
class RidgePosterior(NormalPosterior):
    r"""Ridge regression on the rewards so far, with exponential forgetting.

    V₀ = λI, b₀ = 0;  V ← ρV + φφᵀ,  b ← ρb + φr;  V = RᵀR,  ŵ = V⁻¹b,  width(x) = √(xᵀV⁻¹x),
    sample(ε) = ŵ + R⁻¹ε

    With ρ < 1 the prior λI is forgotten like everything else: directions that nothing excites any more grow wide
    almost without bound (the precision is kept above 1e-30 λ). ``weighted_ridge`` keeps the prior. Runs whose reward is
    not observed forget too.

    The belief is that of :class:`~bfmkit.inference.gaussian_posterior.NormalPosterior`.

    Args:
        regularization: λ > 0, the weight of the prior w = 0.
        discount: ρ in (0, 1], what is left of old rewards a step later.

    Raises:
        ValueError: if ``regularization`` is not positive, or ``discount`` not in (0, 1].

    Reference:
        Abbasi-Yadkori et al., Improved Algorithms for Linear Stochastic Bandits, 2011, section 3.

    Example:
        ``agent.posterior={type: ridge, regularization: 1.0}``
    """

    is_least_squares = True
    is_linear_in_rewards = True

    def __init__(self, regularization: PositiveFloat = 1.0, discount: Discount = 1.0) -> None:
        super().__init__(regularization, discount=discount)
        self.regularization = regularization
