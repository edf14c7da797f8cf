from __future__ import annotations

from bfmkit.components.query_rules.always import AlwaysGate
from bfmkit.testing.gate import GateContract
from bfmkit.testing.posteriors import KnownPosterior


class TestAlwaysGate(GateContract):
    def make(self) -> AlwaysGate:
        return AlwaysGate()

    def test_is_open_for_all(self) -> None:
        features, labels = self.offered()
        posterior = KnownPosterior()
        assert self.make().open(posterior, posterior.prior(6, 4), features, labels).all()
