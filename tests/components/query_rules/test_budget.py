from __future__ import annotations

import pytest

from bfmkit.components.query_rules.budget import BudgetQueryRule
from bfmkit.testing.posteriors import KnownPosterior
from bfmkit.testing.query_rule import QueryRuleContract


class TestBudgetQueryRule(QueryRuleContract):
    def make(self) -> BudgetQueryRule:
        return BudgetQueryRule(num_labels=3)

    def test_shuts_when_the_labels_are_spent(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        verdict = self.make().should_query(posterior, posterior.prior(6, 4), features, labels)
        assert verdict.tolist() == [True, True, True, False, False, False]

    def test_may_be_nothing_at_all(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        assert not BudgetQueryRule(0).should_query(posterior, posterior.prior(6, 4), features, labels).any()

    def test_refuses_what_makes_no_sense(self) -> None:
        with pytest.raises(ValueError, match="num_labels"):
            BudgetQueryRule(-1)
