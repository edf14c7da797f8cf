from __future__ import annotations

import math

import numpy as np
import pytest

from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.regret.bound import RegretBound

BOUND = RegretBound(dim=3, horizon=4, discount=0.9, regularization=2.0, weight_norm=1.5, delta=0.1)


def episodes(draw: np.random.Generator, count: int, dim: int, horizon: int) -> np.ndarray:  # (n, H, d)
    features = draw.standard_normal((count, horizon, dim)) * np.array([3.0, 1.0, 0.1])
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def test_the_number_by_hand() -> None:
    """d = H = λ = S = c = 1: κ = K = ρ = 1 and z = ln 2."""
    bound = RegretBound(dim=1, horizon=1, discount=0.5, regularization=1.0, weight_norm=1.0, delta=0.1)
    information = math.log(8)
    radius = math.sqrt(information + 2 * math.log(20)) + 1
    inside = 7 / math.log(2) / (1 - math.exp(-1)) * (information + math.log(2) * math.log(20))
    assert bound.regret(np.array([7])) == pytest.approx(2 * radius * math.sqrt(inside))


@pytest.mark.parametrize("returns_only", [False, True])
def test_each_step_of_the_proof_holds_on_features_drawn_at_random(returns_only: bool) -> None:
    bound = RegretBound(**{**vars(BOUND), "returns_only": returns_only})
    draw = np.random.default_rng(1)
    discounts = bound.discount ** np.arange(bound.horizon)
    precision = bound.regularization * np.eye(bound.dim)
    potential = 0.0
    for number, features in enumerate(episodes(draw, 60, bound.dim, bound.horizon), start=1):
        labels = features if not returns_only else (discounts @ features / bound.scale)[None]
        inverse = np.linalg.inv(precision)
        gained = np.trace(labels @ inverse @ labels.T)
        whole = discounts @ features
        # The discounted sum is never wider than κ times what the labels gain.
        assert whole @ inverse @ whole <= bound.scale**2 * gained * (1 + 1e-12)
        assert (labels**2).sum() <= bound.label_size + 1e-12
        ratio = bound.label_size / bound.regularization
        assert gained <= ratio / math.log1p(ratio) * math.log1p(gained) * (1 + 1e-12)
        potential += math.log1p(gained)
        precision = precision + labels.T @ labels
        growth = np.linalg.slogdet(precision)[1] - bound.dim * math.log(bound.regularization)
        # ln(1 + trace) adds up to less than the determinant grows, and that to less than Γ.
        assert potential <= growth + 1e-12
        assert growth <= bound.information(np.array([number]))[0] + 1e-12
        assert math.sqrt(growth + 2 * math.log(2 / bound.delta)) + math.sqrt(2.0) * 1.5 <= bound.radius(number) + 1e-12


def test_a_precision_that_has_grown_little_keeps_its_widths() -> None:
    """xᵀB⁻¹x ≤ (det A / det B) xᵀA⁻¹x for A ⪰ B: what switching rarely rests on."""
    draw = np.random.default_rng(2)
    for _ in range(50):
        root, more, x = draw.standard_normal((3, 3)), draw.standard_normal((3, 2)), draw.standard_normal(3)
        smaller = root @ root.T + 0.1 * np.eye(3)
        larger = smaller + more @ more.T
        factor = np.linalg.det(larger) / np.linalg.det(smaller)
        assert x @ np.linalg.solve(smaller, x) <= factor * (x @ np.linalg.solve(larger, x)) * (1 + 1e-9)


def test_expectations_are_bounded_by_what_is_seen_about_as_often_as_said() -> None:
    """Σ E[Z] ≤ e/(e−1)·(Σ Z + z ln(1/δ)) at every n, for Z that are rarely large."""
    draw = np.random.default_rng(3)
    most, chance, delta = 2.0, 0.05, 0.2
    seen = most * (draw.random((4000, 200)) < chance).cumsum(1)
    expected = most * chance * np.arange(1, 201)
    fails = (expected > math.e / (math.e - 1) * (seen + most * math.log(1 / delta))).any(1)
    assert 0 < fails.mean() <= delta


def test_grows_like_the_root_of_n_and_a_logarithm() -> None:
    early, late = BOUND.regret(np.array([10**4, 10**6]))
    assert 10 < late / early < 20


def test_the_radius_is_that_of_the_belief_at_half_of_delta() -> None:
    posterior = RidgePosterior(2.0)
    radius = float(BOUND.confidence.of(posterior, posterior.prior(1, 3)))
    assert radius == pytest.approx(math.sqrt(2 * math.log(20)) + math.sqrt(2) * 1.5)
    assert radius <= BOUND.radius(np.array([0]))[0] + 1e-12
