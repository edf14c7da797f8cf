from __future__ import annotations

import math

import pytest
import torch

from bfmkit.components.posteriors.bayesian import BayesianPosterior
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.components.query_rules.d_gap import DGapQueryRule
from bfmkit.testing.posteriors import KnownPosterior
from bfmkit.testing.query_rule import QueryRuleContract


class TestDGapQueryRule(QueryRuleContract):
    def make(self) -> DGapQueryRule:
        return DGapQueryRule(threshold=0.5)

    def test_opens_for_what_tells_enough(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        # Squared lengths 0, 0.0004, 0.04, 4, ...: the gain is log(1 + that).
        verdict = self.make().should_query(posterior, posterior.prior(6, 4), features, labels)
        assert verdict.tolist() == [False, False, False, True, True, True]

    def test_takes_in_everything_at_zero(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        assert DGapQueryRule(0.0).should_query(posterior, posterior.prior(6, 4), features, labels).all()

    def test_the_posterior_measures_in_its_own_units(self) -> None:
        features, labels = torch.full((1, 1), 0.1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
        query_rule = DGapQueryRule(1.0)
        for posterior, verdict in ((RidgePosterior(), False), (BayesianPosterior(noise_std=0.01), True)):
            assert query_rule.should_query(posterior, posterior.prior(1, 1), features, labels).item() is verdict

    def test_takes_no_more_labels_than_the_bound_says(self) -> None:
        query_rule, posterior = DGapQueryRule(0.2), RidgePosterior()
        features = torch.randn(300, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        belief, labels = posterior.prior(1, 3), torch.zeros(1, dtype=torch.int64)
        for row in features:
            taken = query_rule.should_query(posterior, belief, row, labels)
            belief, labels = posterior.update(belief, row, torch.zeros(1), taken), labels + taken
        largest = float(features.square().sum(-1).max())
        assert 10 < labels.item() <= 3 / 0.2 * math.log(1 + 300 * largest / 3)

    def test_refuses_what_makes_no_sense(self) -> None:
        for threshold in (-0.1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="threshold"):
                DGapQueryRule(threshold)
