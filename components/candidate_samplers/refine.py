"""Candidate weights improved by gradient steps on the rule."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.interfaces import AcquisitionContext, CandidateSampler, Posterior
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt

SMALLEST_NORM = 1e-150


@register(CandidateSampler, "refine")
class RefineCandidates(CandidateSampler):
    r"""Best candidates of another sampler, improved by gradient steps on the rule's value.

    w ← w + η_t ‖w‖ g/‖g‖,  g = ∂/∂w value(w),  η_t = η (1 − t/n),  t = 0 … n − 1

    The value is that of the rule that asks, so ``ucb`` climbs its bound and ``information`` its gain. The gradient
    runs through policy, critics and posterior. A step is a share of the length of w, so that it means the same
    whatever the scale of the rewards. Where the value does not change with w (a model with finitely many policies), or
    its gradient is not finite, candidates stay as they are.

    Args:
        candidates: where to start from.
        starts: how many of the best to improve; they stay candidates themselves, so nothing is lost.
        steps: n, how many steps.
        step_size: η, the length of the first step.

    Raises:
        ValueError: if ``starts``, ``steps`` or ``step_size`` is not positive; when drawing, if the rule that asks
            compares no candidates.

    Example:
        ``candidates: {type: refine, candidates: {type: ellipsoid}, steps: 8}``
    """

    def __init__(
        self,
        candidates: CandidateSampler,
        starts: PositiveInt = 4,
        steps: PositiveInt = 8,
        step_size: PositiveFloat = 0.2,
    ) -> None:
        self.candidates, self.starts, self.steps, self.step_size = candidates, starts, steps, step_size

    def require(self, posterior: Posterior, has_radius: bool) -> None:
        self.candidates.require(posterior, has_radius)

    def noise_shape(self, dim: int) -> tuple[int, ...]:
        return self.candidates.noise_shape(dim)

    def draw(self, context: AcquisitionContext) -> Tensor:  # (B, 2·starts, d)
        if context.value is None:
            raise ValueError('candidates "refine": this acquisition has no value to climb')
        drawn = self.candidates.draw(context)
        value = context.value(context, drawn)
        best = value.topk(min(self.starts, value.shape[-1]), dim=-1).indices
        starts = drawn.gather(1, best.unsqueeze(-1).expand(-1, -1, drawn.shape[-1]))
        weights = starts
        for step in range(self.steps):
            gradient = _gradient(context, weights)
            if gradient is None:
                break
            length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
            share = self.step_size * (1 - step / self.steps)
            moved = weights + share * torch.linalg.vector_norm(weights, dim=-1, keepdim=True) * gradient / length.clamp(
                min=SMALLEST_NORM
            )
            weights = torch.where(length.isfinite(), moved, weights)
        return torch.cat([weights, starts], dim=-2)


def _gradient(context: AcquisitionContext, weights: Tensor) -> Tensor | None:  # (B, k, d) as the weights
    """The gradient of the rule's value; None where it is no function of the weights that can be differentiated."""
    if context.value is None:
        return None
    # Agents act without gradients; these are of the weights alone, and leave nothing in the model's parameters.
    with torch.enable_grad():
        leaf = weights.detach().requires_grad_()
        value = context.value(context, leaf)
        if not value.requires_grad:
            return None
        # A candidate's value depends on no other's weights.
        (gradient,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    return gradient
