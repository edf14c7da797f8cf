from __future__ import annotations

import pytest

from bfmkit.components.query_rules.budget import BudgetGate
from bfmkit.testing.gate import GateContract
from bfmkit.testing.posteriors import KnownPosterior


class TestBudgetGate(GateContract):
    def make(self) -> BudgetGate:
        return BudgetGate(labels=3)

    def test_shuts_when_the_labels_are_spent(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        verdict = self.make().open(posterior, posterior.prior(6, 4), features, labels)
        assert verdict.tolist() == [True, True, True, False, False, False]

    def test_may_be_nothing_at_all(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        assert not BudgetGate(0).open(posterior, posterior.prior(6, 4), features, labels).any()

    def test_refuses_what_makes_no_sense(self) -> None:
        with pytest.raises(ValueError, match="labels"):
            BudgetGate(-1)
