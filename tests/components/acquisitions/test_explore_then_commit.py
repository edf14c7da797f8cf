from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bfmkit.components.acquisitions.explore_then_commit import ExploreThenCommit
from bfmkit.components.acquisitions.greedy import GreedyAcquisition
from bfmkit.components.acquisitions.random import RandomAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.candidates.sphere import SphereCandidates
from bfmkit.testing.acquisition import AcquisitionContract


class TestExploreThenCommit(AcquisitionContract):
    def make(self) -> ExploreThenCommit:
        return ExploreThenCommit(UCBAcquisition(SphereCandidates(count=8)), GreedyAcquisition(), labels=1000)

    def test_each_run_goes_by_its_own_labels(self) -> None:
        rule = self.make()
        given = self.situation(rule)  # 0, 1000 and 2000 labels
        chosen = rule.propose(given)
        first = rule.explore.propose(replace(given, noise=given.noise[:, :32].reshape(3, 8, 4)))
        assert torch.equal(chosen[0], first[0])
        assert torch.equal(chosen[1:], given.posterior.mean(given.belief)[1:])

    @pytest.mark.parametrize(("labels", "which"), [(5000, "explore"), (0, "commit")])
    def test_runs_in_one_phase_ask_one_rule_alone(self, labels: int, which: str) -> None:
        parts = {"explore": RandomAcquisition(), "commit": GreedyAcquisition()}
        other = "commit" if which == "explore" else "explore"
        parts[other].propose = None  # type: ignore[assignment, method-assign]
        rule = ExploreThenCommit(**parts, labels=labels)
        assert rule.propose(self.situation(rule)).isfinite().all()


class TestNestedExploreThenCommit(AcquisitionContract):
    def make(self) -> ExploreThenCommit:
        later = ExploreThenCommit(RandomAcquisition(), GreedyAcquisition(), labels=1500)
        return ExploreThenCommit(GreedyAcquisition(), later, labels=500)


def test_labels_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="labels"):
        ExploreThenCommit(RandomAcquisition(), GreedyAcquisition(), labels=-1)
