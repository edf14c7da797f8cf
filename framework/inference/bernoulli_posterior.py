"""Base class of posteriors with a Bernoulli likelihood, by the Laplace approximation."""

from __future__ import annotations

import math

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.gaussian_posterior import NormalPosterior, cholesky

NEWTON_STEPS, HALVINGS = 100, 40
CONVERGED = 1e-13
"""A Newton step of this share of the weights' size is the last."""


class BernoulliPosterior(NormalPosterior):
    r"""Laplace approximation of the posterior of w ~ N(0, σ₀²I) under a Bernoulli likelihood of labels.

    P(r = 1 | φ) = σ(κ φᵀw + b),  y = (1 + r)/2,  b ~ N(0, τ²)
    (ŵ, b̂) = argmax  −‖w‖²/(2σ₀²) − b²/(2τ²) + Σ ω [y log σ(κφᵀw + b) + (1 − y) log σ(−κφᵀw − b)]
    V = I/σ₀² + Σ ω κ² σ(κφᵀŵ + b̂) σ(−κφᵀŵ − b̂) (a, φ)(a, φ)ᵀ,  a = τ/(κσ₀);  the belief about w is its marginal

    The offset b takes in how good is good: whoever calls most of what they see bad has a high standard, and does not
    wish for the opposite of it.

    Rewards are 1 or −1, and what lies between is a share of both; they are clipped to [−1, 1]. ω is 1 for an observed
    reward and the weight of a late label. The mode is found anew from the last ``labels`` labels; older ones stay as
    the quadratic that their log likelihood had at the mode when they left, so that a belief has a fixed size. Nothing
    is ever forgotten.

    The belief holds ``mean`` ŵ (B, d), ``factor_inverse`` (B, d, d), whose square is the covariance of w, the same of
    offset and weights in ``joint_mean`` (B, 1 + d) and ``joint_root``; of the labels ``window_features``
    (B, n, 1 + d), ``window_targets`` y and ``window_weights`` ω, zero where there is none yet; and of prior and older
    labels ``base_precision`` and ``base_response``.

    Args:
        slope: κ > 0, how sure a label is of φᵀw = 1.
        prior_std: σ₀ > 0, the standard deviation of each weight before any label.
        offset_std: τ ≥ 0, that of the offset; 0 for none.
        labels: n, how many of the last labels the mode is found from.

    Raises:
        ValueError: if ``slope`` or ``prior_std`` is not positive, or ``labels`` less than 2.

    Reference:
        Bishop, Pattern Recognition and Machine Learning, 2006, sections 4.4 and 4.5.
    """

    def __init__(self, slope: float, prior_std: float, offset_std: float, labels: int) -> None:
        super().__init__(prior_std**-2)
        self.offset_std, self.slope, self.prior_std, self.labels = offset_std, slope, prior_std, labels

    def prior(self, batch_size: int, dim: int, device: torch.device | str = "cpu") -> TensorDict:
        mode = torch.zeros(batch_size, 1 + dim, dtype=torch.float64, device=device)
        precision = torch.diag_embed(mode + self.prior_precision)
        empty = mode.new_zeros(batch_size, self.labels)
        window = {
            "window_features": mode.new_zeros(batch_size, self.labels, 1 + dim),
            "window_targets": empty,
            "window_weights": empty.clone(),
        }
        return self._belief(mode, precision, (precision.clone(), mode.clone()), window)

    def _belief(
        self, mode: Tensor, precision: Tensor, base: tuple[Tensor, Tensor], window: dict[str, Tensor]
    ) -> TensorDict:
        """All that a belief holds, from the mode of offset and weights and the precision there."""
        identity = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
        root = torch.linalg.solve_triangular(cholesky(precision), identity, upper=False)
        entries = {
            "joint_mean": mode,
            "joint_root": root,
            # The offset stands first, so the lower right block is the root of the weights' own covariance.
            "mean": mode[:, 1:].clone(),
            "factor_inverse": root[:, 1:, 1:].clone(),
            "base_precision": base[0],
            "base_response": base[1],
            **window,
        }
        return TensorDict(entries, batch_size=mode.shape[:1])

    def _with_offset(self, features: Tensor) -> Tensor:  # (*b, d) -> (*b, 1 + d) float64
        features = features.double()
        offset = self.offset_std / (self.slope * self.prior_std)
        return torch.cat([features.new_full((*features.shape[:-1], 1), offset), features], -1)

    def _logit(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # (B, *k, 1 + d) -> (B, *k)
        rows = features.reshape(len(features), -1, features.shape[-1])
        return self.slope * (rows @ belief["joint_mean"].unsqueeze(-1)).reshape(features.shape[:-1])

    def learn(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        reward: Tensor,  # (B, n)
        observed: Tensor | None,  # (B, n) bool
        discount: float,
    ) -> TensorDict:  # batch (B,)
        weights = torch.ones_like(reward) if observed is None else observed.to(reward.dtype)
        return self._learn(belief, features, reward, weights)

    def label(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, d)
        reward: Tensor,  # (B,)
        weight: float = 1.0,
    ) -> TensorDict:  # batch (B,)
        """Belief after one press more; the weight is an exponent of its likelihood."""
        reward = reward.double().unsqueeze(1)
        return self._learn(belief, features.double().unsqueeze(1), reward, torch.full_like(reward, weight))

    def predictive_mean(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Predictive mean 2 P(r = 1 | φ) − 1 with P ≈ σ(κφᵀŵ / √(1 + πκ² width²/8)), the mean over the posterior."""
        rows = self._with_offset(features)
        spread = self.slope * _spread(belief, rows)
        return 2.0 * torch.sigmoid(self._logit(belief, rows) / (1.0 + math.pi / 8.0 * spread.square()).sqrt()) - 1.0

    def predictive_std(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Standard deviation √(1 − e²) of a press of 1 or −1 with mean e."""
        return (1.0 - self.predictive_mean(belief, features).square()).clamp(min=1e-12).sqrt()

    def information_gain(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # batch (B,), (B, *k, d) -> (B, *k)
        """Information gain log(1 + κ² σ(κφᵀŵ) σ(−κφᵀŵ) width²), as if the press did not move the mode."""
        return _spread(belief, self._rows(belief, features)).square().log1p()

    def joint_information_gain(
        self,
        belief: TensorDictBase,  # batch (B,)
        features: Tensor,  # (B, n, d)
        observed: Tensor,  # (B, n) bool
    ) -> Tensor:  # (B,)
        features = torch.where(observed.unsqueeze(-1), features.double(), 0.0)
        rows = torch.where(observed.unsqueeze(-1), self._rows(belief, features), 0.0) @ belief["joint_root"].mT
        gram = rows @ rows.mT
        gram.diagonal(dim1=-2, dim2=-1).add_(1.0)
        return torch.linalg.slogdet(gram).logabsdet

    def log_determinant(self, belief: TensorDictBase) -> Tensor:  # (B,)
        """Log determinant of the joint precision of offset and weights."""
        return -2.0 * belief["joint_root"].diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def _rows(self, belief: TensorDictBase, features: Tensor) -> Tensor:  # (B, *k, d) -> (B, *k, 1 + d)
        """κ √(σσ') (a, φ): the rows whose squares a label at φ adds to the precision."""
        rows = self._with_offset(features)
        return rows * (self.slope * _curvature(self._logit(belief, rows)).sqrt()).unsqueeze(-1)

    def _learn(self, belief: TensorDictBase, features: Tensor, reward: Tensor, weights: Tensor) -> TensorDict:
        targets = (0.5 * (1.0 + reward)).clamp(0.0, 1.0)
        learnt = belief.copy()
        # Few at a time: what leaves the window must have been at a mode.
        parts = self._with_offset(features), targets, weights
        pieces = (part.split(max(1, self.labels // 2), 1) for part in parts)
        for piece in zip(*pieces, strict=True):
            if piece[2].any():
                learnt = self._with_labels(learnt, *piece)
        return learnt

    def _with_labels(self, belief: TensorDictBase, features: Tensor, targets: Tensor, weights: Tensor) -> TensorDict:
        new = {"features": features, "targets": targets, "weights": weights}
        window = {name: torch.cat([belief[f"window_{name}"], part], 1) for name, part in new.items()}
        # Empty places first, so that they leave first; then the labels in the order in which they came.
        order = (window["weights"] > 0).to(torch.int8).argsort(dim=1, stable=True)
        window["targets"], window["weights"] = (window[name].gather(1, order) for name in ("targets", "weights"))
        window["features"] = window["features"].gather(1, order.unsqueeze(-1).expand_as(window["features"]))
        leaving = features.shape[1]
        gone = {name: part[:, :leaving] for name, part in window.items()}
        stays = {name: part[:, leaving:] for name, part in window.items()}
        base = self._with_quadratic(belief, gone)
        mode, precision = self._mode(belief["joint_mean"], *base, stays)
        return self._belief(mode, precision, base, {f"window_{name}": part for name, part in stays.items()})

    def _with_quadratic(self, belief: TensorDictBase, labels: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The base with labels that leave, each as its log likelihood is about the mode."""
        features, precision, response = labels["features"], belief["base_precision"], belief["base_response"]
        if not labels["weights"].any():
            return precision, response
        value = (features @ belief["joint_mean"].unsqueeze(-1)).squeeze(-1)
        slope, curve = self._derivatives(value, labels)
        rows = features * curve.sqrt().unsqueeze(-1)
        pull = (features * (slope + curve * value).unsqueeze(-1)).sum(1)
        return precision + rows.mT @ rows, response + pull

    def _derivatives(self, value: Tensor, labels: dict[str, Tensor]) -> tuple[Tensor, Tensor]:  # (B, n) each
        """Of the log likelihood by φᵀw: the first, and minus the second."""
        logit = self.slope * value
        weights = labels["weights"]
        first = weights * self.slope * (labels["targets"] - torch.sigmoid(logit))
        return first, weights * self.slope**2 * _curvature(logit)

    def _mode(
        self, start: Tensor, precision: Tensor, response: Tensor, labels: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:  # (B, d), (B, d, d)
        """Newton's method with halved steps; the precision is that at the mode. Runs that have arrived stand still."""
        features, mode = labels["features"], start
        moving = torch.ones_like(mode[:, 0], dtype=torch.bool)
        for _ in range(NEWTON_STEPS):
            value = (features @ mode.unsqueeze(-1)).squeeze(-1)
            slope, curve = self._derivatives(value, labels)
            rows = features * curve.sqrt().unsqueeze(-1)
            hessian = precision + rows.mT @ rows
            hessian = 0.5 * (hessian + hessian.mT)
            if not moving.any():
                break
            pull = (precision @ mode.unsqueeze(-1)).squeeze(-1) - response
            gradient = pull - (features * slope.unsqueeze(-1)).sum(1)
            step = torch.cholesky_solve(gradient.unsqueeze(-1), cholesky(hessian)).squeeze(-1)
            step = torch.where(moving.unsqueeze(-1), step, 0.0)
            length = self._length(mode, step, gradient, precision, response, labels)
            mode = mode - length.unsqueeze(-1) * step
            moving = moving & (step.abs().amax(-1) > CONVERGED * (1.0 + mode.abs().amax(-1)))
        return mode, hessian

    def _length(
        self,
        mode: Tensor,
        step: Tensor,
        gradient: Tensor,
        precision: Tensor,
        response: Tensor,
        labels: dict[str, Tensor],
    ) -> Tensor:  # (B,)
        """How much of a Newton step makes the loss smaller; all of it near the mode, where rounding hides that."""
        loss, decrease = self._loss(mode, precision, response, labels), (gradient * step).sum(-1)
        length = torch.ones_like(loss)
        for _ in range(HALVINGS):
            shortened = self._loss(mode - length.unsqueeze(-1) * step, precision, response, labels)
            worse = shortened > loss - 1e-4 * length * decrease + 1e-12 * (1.0 + loss.abs())
            if not worse.any():
                break
            length = torch.where(worse, 0.5 * length, length)
        return length

    def _loss(self, mode: Tensor, precision: Tensor, response: Tensor, labels: dict[str, Tensor]) -> Tensor:  # (B,)
        column = mode.unsqueeze(-1)
        logit = self.slope * (labels["features"] @ column).squeeze(-1)
        likelihood = labels["targets"] * logit - torch.nn.functional.softplus(logit)
        quadratic = 0.5 * (mode * (precision @ column).squeeze(-1)).sum(-1) - (response * mode).sum(-1)
        return quadratic - (labels["weights"] * likelihood).sum(-1)


def _curvature(logit: Tensor) -> Tensor:
    return torch.sigmoid(logit) * torch.sigmoid(-logit)


def _spread(belief: TensorDictBase, rows: Tensor) -> Tensor:  # (B, *k, 1 + d) -> (B, *k)
    """The standard deviation of rowsᵀ(offset, w)."""
    flat = rows.reshape(len(rows), -1, rows.shape[-1])
    return torch.linalg.vector_norm(flat @ belief["joint_root"].mT, dim=-1).reshape(rows.shape[:-1])
