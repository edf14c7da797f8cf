from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from bfmkit.components.feature_objectives import contrastive
from bfmkit.components.feature_objectives.contrastive import ContrastiveObjective
from bfmkit.interfaces import EnvironmentSpec, FeatureBatch
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.testing.feature_objective import FeatureObjectiveContract
from bfmkit.testing.networks import LinearNetworks


class TestContrastiveObjective(FeatureObjectiveContract):
    def make(self) -> ContrastiveObjective:
        return ContrastiveObjective(temperature=0.5)

    def test_its_loss_is_that_of_the_formula(self) -> None:
        objective, features = self.attached()
        batch = self.batch(objective, rows=4)
        code, future = features.encode(batch.observation), objective._future_encoder(batch.future_observation)
        expected = 0.0
        for i in range(4):
            logits = [cosine_similarity(code[i], future[j], dim=0).item() / 0.5 for j in range(4)]
            expected += (math.log(sum(map(math.exp, logits))) - logits[i]) / 4
        assert objective.losses(features, batch)["loss_contrastive"].item() == pytest.approx(expected, rel=1e-5)

    def test_compares_the_codes_of_all_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        objective, features = self.attached()
        whole = self.batch(objective, rows=8)
        expected = objective.losses(features, whole)["loss_contrastive"]
        networks = (features.encode, objective._future_encoder)
        given = (whole.observation, whole.future_observation)
        elsewhere = iter([network(each[4:]) for network, each in zip(networks, given, strict=True)])
        monkeypatch.setattr(contrastive, "gathered", lambda code: torch.cat([code, next(elsewhere)]))
        mine = FeatureBatch(*(each[:4] for each in whole))
        torch.testing.assert_close(objective.losses(features, mine)["loss_contrastive"], expected)

    def test_tells_two_rooms_apart_and_nothing_else(self) -> None:
        torch.manual_seed(0)
        spec = EnvironmentSpec("rooms", 6, 1, 1, 100, 1.0, ())
        features = EncodedFeatures(spec, LinearNetworks(), dim=2, normalised=False)
        objective = ContrastiveObjective(temperature=0.5)
        objective.attach(features, spec)
        optimizer = torch.optim.Adam([*features.parameters(), *objective.parameters()], lr=0.02)
        states, rows = torch.eye(6), 64
        for _ in range(300):
            room = torch.arange(rows) % 2
            # A room is forgotten as soon as it is entered: its three states are as likely, now and later.
            here, later = 3 * room + torch.randint(3, (2, rows))
            batch = FeatureBatch(states[here], torch.zeros(rows, 1), states[here], states[later])
            loss = objective.losses(features, batch)["loss_contrastive"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        # The best that can be done is to know the room: cosines of 1 with half of the rows, of -1 with the others.
        assert loss.item() == pytest.approx(math.log(rows / 2 * (1 + math.exp(-2 / 0.5))), abs=0.01)
        code = features.encode(states)
        similarity = cosine_similarity(code.unsqueeze(0), code.unsqueeze(1), dim=-1)
        assert similarity[:3, :3].min() > 0.9
        assert similarity[3:, 3:].min() > 0.9
        assert similarity[:3, 3:].max() < -0.9

    def test_refuses_numbers_that_make_no_sense(self) -> None:
        for wrong in ({"temperature": 0.0}, {"future_discount": 1.0}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                ContrastiveObjective(**wrong)

    def test_says_that_it_needs_the_future(self) -> None:
        objective, features = self.attached()
        with pytest.raises(ValueError, match="future"):
            objective.losses(features, self.batch(objective)._replace(future_observation=None))
