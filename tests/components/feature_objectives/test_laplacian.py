from __future__ import annotations

import pytest
import torch

from bfmkit.components.feature_objectives import laplacian
from bfmkit.components.feature_objectives.laplacian import LaplacianObjective
from bfmkit.interfaces import EnvironmentSpec, FeatureBatch
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.testing.feature_objective import FeatureObjectiveContract
from bfmkit.testing.networks import LinearNetworks

STATES = 8


class TestLaplacianObjective(FeatureObjectiveContract):
    def make(self) -> LaplacianObjective:
        return LaplacianObjective(orthonormality=0.7)

    def test_its_losses_are_those_of_the_formula(self) -> None:
        objective, features = self.attached()
        batch = self.batch(objective, rows=5)
        losses = objective.losses(features, batch)
        code, following = features.encode(batch.observation), features.encode(batch.next_observation)
        torch.testing.assert_close(losses["loss_smoothness"], sum((code[i] - following[i]).dot(code[i] - following[i])
                                                                  for i in range(5)) / 5)  # fmt: skip
        pairs = sum(code[i].dot(code[j]) ** 2 for i in range(5) for j in range(5) if i != j) / 20
        own = sum(code[i].dot(code[i]) for i in range(5)) / 5
        torch.testing.assert_close(losses["loss_orthonormality"], 0.7 * (pairs - 2 * own))

    def test_compares_the_codes_of_all_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        objective, features = self.attached()
        whole = self.batch(objective, rows=8)
        expected = objective.losses(features, whole)["loss_orthonormality"]
        elsewhere = features.encode(whole.observation[4:])
        monkeypatch.setattr(laplacian, "gathered", lambda code: torch.cat([code, elsewhere]))
        mine = FeatureBatch(*(each[:4] for each in whole[:3]))
        torch.testing.assert_close(objective.losses(features, mine)["loss_orthonormality"], expected)

    def test_refuses_a_weight_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="orthonormality"):
            LaplacianObjective(0.0)

    def test_learns_the_slowest_eigenfunctions_of_a_chain(self) -> None:
        torch.manual_seed(0)
        dim, weight = 3, 1.0
        spec = EnvironmentSpec("chain", STATES, 1, 1, 100, 1.0, ())
        moves = MDPLayout("chain", STATES).build().transitions.mean(1)  # a random walk
        features = EncodedFeatures(spec, LinearNetworks(), dim, normalised=False)
        objective = LaplacianObjective(weight)
        objective.attach(features, spec)
        optimizer = torch.optim.Adam(features.parameters(), lr=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
        states = torch.eye(STATES)
        for _ in range(1500):
            here = torch.randint(STATES, (256,))
            there = moves[here].multinomial(1).squeeze(-1)
            losses = objective.losses(features, FeatureBatch(states[here], torch.zeros(256, 1), states[there]))
            optimizer.zero_grad()
            (losses["loss_smoothness"] + losses["loss_orthonormality"]).backward()
            optimizer.step()
            schedule.step()
        values, functions = torch.linalg.eigh(moves)  # P of a random walk on a chain is symmetric
        table = features.encode(states).detach().double()
        moment = torch.linalg.eigvalsh(table.mT @ table / STATES)
        torch.testing.assert_close(moment, 1 - (1 - values[-dim:]) / weight, rtol=0, atol=0.05)
        spans = torch.linalg.svdvals(torch.linalg.qr(table).Q.mT @ functions[:, -dim:])
        assert spans.min() > 0.99
