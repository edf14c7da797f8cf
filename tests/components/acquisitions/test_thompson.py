from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.components.acquisitions.thompson import ThompsonAcquisition
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.testing.acquisition import AcquisitionContract, context

GOLDEN = Path(__file__).parents[2] / "golden"
ROOT = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 3.0, 0.1]], dtype=torch.float64)


class TestThompsonAcquisition(AcquisitionContract):
    def make(self) -> ThompsonAcquisition:
        return ThompsonAcquisition()


class TestWideThompsonAcquisition(AcquisitionContract):
    def make(self) -> ThompsonAcquisition:
        return ThompsonAcquisition(scale=3.0)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_draws_have_the_posteriors_mean_and_covariance(scale: float) -> None:
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    rule = ThompsonAcquisition(scale)
    drawn = rule.propose(context(rule.noise_shape(3), runs=40_000, dim=3, mean=mean, root=ROOT))
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=0.05)
    # The covariance itself, not that of the transposed root, whose determinant is the same.
    torch.testing.assert_close(drawn.mT.cov(), scale**2 * ROOT @ ROOT.mT, rtol=0, atol=0.15)
    assert (drawn.mT.cov() - scale**2 * ROOT.mT @ ROOT).abs().max() > 0.5


def test_a_scaled_ridge_draw_is_that_of_known_noise_and_prior() -> None:
    golden = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / "ridge_d3.npz").items()}
    noise_std, precision = 0.1, 2.0
    posterior = RidgePosterior(regularization=precision * noise_std**2)
    features, rewards = golden["features"], golden["rewards"]
    belief = posterior.condition_on(posterior.prior(1, 3), features[None], rewards[None])
    noise = torch.eye(3, dtype=torch.float64)[:, None]
    draw = ThompsonAcquisition(scale=noise_std)
    given = replace(context((3,), runs=1, dim=3), posterior=posterior, belief=belief)
    columns = [draw.propose(replace(given, noise=each))[0] - belief["mean"][0] for each in noise]
    root = torch.stack(columns, -1)
    expected = precision * torch.eye(3, dtype=torch.float64) + features.mT @ features / noise_std**2
    torch.testing.assert_close(root @ root.mT, torch.linalg.inv(expected))
    torch.testing.assert_close(belief["mean"][0], torch.linalg.solve(expected, features.mT @ rewards / noise_std**2))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf")])
def test_refuses_what_makes_no_sense(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        ThompsonAcquisition(scale)
