from __future__ import annotations

import torch

from bfmkit.components.acquisitions.random import RandomAcquisition
from bfmkit.testing.acquisition import AcquisitionContract, context


class TestRandomAcquisition(AcquisitionContract):
    def make(self) -> RandomAcquisition:
        return RandomAcquisition()

    def test_does_not_look_at_the_belief(self) -> None:
        rule = self.make()
        assert torch.equal(rule.propose(self.context(rule)), rule.propose(self.context(rule, zero=True)))

    def test_directions_have_no_preference(self) -> None:
        weights = self.make().propose(context((4,), runs=4000))
        torch.testing.assert_close(weights.norm(dim=-1), torch.ones(4000, dtype=torch.float64))
        second_moment = weights.mT @ weights / 4000
        torch.testing.assert_close(second_moment, torch.eye(4, dtype=torch.float64) / 4, rtol=0, atol=0.03)
