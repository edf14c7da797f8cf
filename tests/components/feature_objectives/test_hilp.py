from __future__ import annotations

import pytest
import torch

from bfmkit.components.feature_objectives.hilp import HilpObjective
from bfmkit.interfaces import EnvironmentSpec, FeatureBatch
from bfmkit.models.encoder_features import EncodedFeatures
from bfmkit.testing.feature_objective import FeatureObjectiveContract
from bfmkit.testing.networks import LinearNetworks

STATES, DISCOUNT = 6, 0.9


class TestHilpObjective(FeatureObjectiveContract):
    def make(self) -> HilpObjective:
        return HilpObjective(DISCOUNT, expectile=0.7, random_goals=0.0)

    def test_its_loss_is_that_of_the_formula(self) -> None:
        objective, features = self.attached()
        batch = self.batch(objective, rows=5)
        batch.future_observation[3] = batch.observation[3]
        with torch.no_grad():
            for target in objective._targets:
                target.weight.add_(0.1 * torch.randn_like(target.weight))
        networks = [features.encoder_network, objective._second]

        def value(network: torch.nn.Module, s: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
            return -(network(s) - network(g)).square().sum().clamp(min=1e-6).sqrt()

        expected = torch.zeros(())
        for s, following, goal in zip(batch.observation, batch.next_observation, batch.future_observation, strict=True):
            reward, later = (0.0, 0.0) if torch.equal(s, goal) else (-1.0, DISCOUNT)
            after = [value(target, following, goal) for target in objective._targets]
            here = [value(target, s, goal) for target in objective._targets]
            advantage = reward + later * min(after) - sum(here) / 2
            weight = abs(0.7 - float(advantage < 0))
            for network, each in zip(networks, after, strict=True):
                expected = expected + weight * (reward + later * each - value(network, s, goal)) ** 2 / 5
        torch.testing.assert_close(objective.losses(features, batch)["loss_distance"], expected)

    def test_a_training_that_goes_on_has_two_encoders(self) -> None:
        objective, features = self.attached()
        objective.start_from(features)
        first, second = features.encoder_network, objective._second
        assert not torch.equal(first.weight, second.weight)
        for target, network in zip(objective._targets, (first, second), strict=True):
            assert torch.equal(target.weight, network.weight)

    def test_learns_the_distances_of_a_chain(self) -> None:
        torch.manual_seed(0)
        spec = EnvironmentSpec("chain", STATES, 1, 1, 100, 1.0, ())
        features = EncodedFeatures(spec, LinearNetworks(), dim=STATES, normalised=False)
        objective = HilpObjective(DISCOUNT, expectile=0.95, random_goals=1.0, target_rate=0.05)
        objective.attach(features, spec)
        trained = [*features.parameters(), *(each for each in objective.parameters() if each.requires_grad)]
        optimizer = torch.optim.Adam(trained, lr=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2000)
        states = torch.eye(STATES)
        for _ in range(2000):
            here, goal = torch.randint(STATES, (2, 128))
            there = (here + 2 * torch.randint(2, (128,)) - 1).clamp(0, STATES - 1)
            batch = FeatureBatch(states[here], torch.zeros(128, 1), states[there], states[goal])
            optimizer.zero_grad()
            objective.losses(features, batch)["loss_distance"].backward()
            optimizer.step()
            schedule.step()
            objective.update_targets(features)
        code = features.encode(states).detach()
        found = torch.cdist(code, code)
        steps = (torch.arange(STATES).unsqueeze(-1) - torch.arange(STATES)).abs()
        expected = (1 - DISCOUNT**steps) / (1 - DISCOUNT)
        torch.testing.assert_close(found, expected, rtol=0.15, atol=0.1)

    def test_says_that_it_needs_the_future(self) -> None:
        objective, features = self.attached()
        with pytest.raises(ValueError, match="future"):
            objective.losses(features, self.batch(objective)._replace(future_observation=None))

    @pytest.mark.parametrize("wrong", [{"discount": 1.0}, {"expectile": 0.0}, {"random_goals": 2.0}])
    def test_refuses_numbers_that_make_no_sense(self, wrong: dict) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HilpObjective(**wrong)
