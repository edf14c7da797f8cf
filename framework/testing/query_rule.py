"""Contract of query rules."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from bfmkit.interfaces import QueryRule
from bfmkit.testing.posteriors import KnownPosterior


class QueryRuleContract(ABC):
    """Contract of query rules: subclass it in a test and build one in ``make``."""

    @abstractmethod
    def make(self) -> QueryRule:
        """The query rule under test."""

    def offered(self) -> tuple[Tensor, Tensor]:
        """Features (6, 4) from dull to telling, and labels taken in so far (6,)."""
        features = torch.outer(
            torch.tensor([0.0, 0.01, 0.1, 1.0, 10.0, 100.0], dtype=torch.float64), torch.ones(4).double()
        )
        return features, torch.arange(6)

    def test_opens_or_not_for_each_run(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        verdict = self.make().should_query(posterior, posterior.prior(6, 4), features, labels)
        assert verdict.shape == (6,)
        assert verdict.dtype == torch.bool

    def test_labels_count_alike_in_both_layouts(self) -> None:
        features, labels = self.offered()
        query_rule, posterior = self.make(), KnownPosterior()
        expected = query_rule.should_query(posterior, posterior.prior(6, 4), features, labels)
        found = query_rule.should_query(posterior, posterior.prior(6, 4), features, labels.unsqueeze(-1))
        assert found.shape == (6,) and torch.equal(found, expected)

    def test_leaves_the_belief_as_it_was(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        belief = posterior.prior(6, 4)
        before = belief.clone()
        self.make().should_query(posterior, belief, features, labels)
        assert (belief == before).all()

    def test_looks_at_features_only_where_said(self) -> None:
        features, labels = self.offered()
        query_rule, posterior = self.make(), KnownPosterior()
        if not query_rule.needs_features:
            unknown = torch.full_like(features, torch.nan)
            verdict = query_rule.should_query(posterior, posterior.prior(6, 4), unknown, labels)
            assert (
                verdict.tolist() == query_rule.should_query(posterior, posterior.prior(6, 4), features, labels).tolist()
            )

    def test_runs_do_not_touch_each_other(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        belief = posterior.prior(6, 4)
        together = self.make().should_query(posterior, belief, features, labels)
        for run in range(6):
            rows = slice(run, run + 1)
            alone = self.make().should_query(posterior, belief[rows], features[rows], labels[rows])
            assert alone.tolist() == together[rows].tolist()
