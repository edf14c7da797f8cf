from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bfmkit.components.posteriors.logistic import LogisticPosterior
from bfmkit.testing.posterior import PosteriorContract


class TestLogisticPosterior(PosteriorContract):
    def make(self) -> LogisticPosterior:
        return LogisticPosterior(slope=1.5, prior_std=1.0, offset_std=1.2)

    def draw_rewards(self, expected: Tensor, noise: Tensor) -> Tensor:
        return torch.where(torch.special.ndtr(noise) < torch.sigmoid(1.5 * expected), 1.0, -1.0).double()

    def test_a_press_of_neither_grows_the_log_determinant_by_its_information(self) -> None:
        posterior = self.make()
        features, _ = self.data(count=6)
        belief = posterior.prior(3, 5)
        after = posterior.update(belief, features[:, 0], torch.zeros(3), torch.ones(3, dtype=torch.bool))
        grown = posterior.log_determinant(after) - posterior.log_determinant(belief)
        torch.testing.assert_close(grown, posterior.information_gain(belief, features[:, 0]))


def test_somebody_who_is_hard_to_please_does_not_wish_for_the_opposite() -> None:
    """Features have a mean of (2, 0); good is only what lies far along the first, which is rare."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 80, 2, generator=generator, dtype=torch.float64) + torch.tensor([2.0, 0.0])
    rewards = torch.where(features[..., 0] > 3.0, 1.0, -1.0)
    means = []
    for offset_std in (0.0, 10.0):
        posterior = LogisticPosterior(slope=1.0, offset_std=offset_std)
        means.append(posterior.condition_on(posterior.prior(1, 2), features, rewards)["mean"][0])
    assert means[0][0] < 0 < means[1][0]


def test_refuses_what_makes_no_sense() -> None:
    for arguments, words in (({"slope": 0.0}, "slope"), ({"prior_std": -1.0}, "prior_std"), ({"labels": 1}, "labels")):
        with pytest.raises(ValueError, match=words):
            LogisticPosterior(**arguments)
