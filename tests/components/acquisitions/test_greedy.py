from __future__ import annotations

import torch

from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.testing.acquisition import AcquisitionContract


class TestGreedyAcquisition(AcquisitionContract):
    def make(self) -> GreedyAcquisition:
        return GreedyAcquisition()

    def test_takes_the_mean_exactly(self) -> None:
        rule = self.make()
        given = self.context(rule)
        assert torch.equal(rule.propose(given), given.posterior.mean(given.belief))

    def test_a_mean_of_zero_makes_a_direction_of_the_noise(self) -> None:
        rule = self.make()
        given = self.context(rule, zero=True)
        weights = rule.propose(given)
        torch.testing.assert_close(weights.norm(dim=-1), torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(weights * given.noise.norm(dim=-1, keepdim=True), given.noise)
