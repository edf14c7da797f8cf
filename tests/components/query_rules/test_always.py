from __future__ import annotations

from bfmkit.components.query_rules.always import AlwaysQueryRule
from bfmkit.testing.posteriors import KnownPosterior
from bfmkit.testing.query_rule import QueryRuleContract


class TestAlwaysQueryRule(QueryRuleContract):
    def make(self) -> AlwaysQueryRule:
        return AlwaysQueryRule()

    def test_is_open_for_all(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        assert self.make().should_query(posterior, posterior.prior(6, 4), features, labels).all()
