from __future__ import annotations

import pytest
import torch

from bfmkit.components.explorers.random_network_distillation import RandomNetworkDistillation
from bfmkit.interfaces import EnvironmentSpec, StepResult
from bfmkit.testing.explorer import SPEC, B, ExplorerContract


class TestRandomNetworkDistillation(ExplorerContract):
    def make(self) -> RandomNetworkDistillation:
        return RandomNetworkDistillation(
            SPEC, width=16, embedding_dim=4, batch_size=16, updates=1, warmup=60, capacity=500
        )

    def test_what_it_has_seen_is_no_longer_new(self) -> None:
        torch.manual_seed(0)
        explorer = RandomNetworkDistillation(
            SPEC, width=32, embedding_dim=8, batch_size=64, updates=4, warmup=60, distillation_rate=1e-3
        )
        self.walk(explorer, 40)
        early = explorer.metrics()["novelty"]
        self.walk(explorer, 200)
        assert explorer.metrics()["novelty"] < early / 2

    def test_refuses_numbers_that_make_no_sense(self) -> None:
        for wrong in ({"width": 0}, {"updates": 0}, {"discount": 1.0}):
            with pytest.raises(ValueError, match=next(iter(wrong))):
                RandomNetworkDistillation(SPEC, **wrong)

    def test_acts_at_random_while_warming_up(self) -> None:
        torch.manual_seed(0)
        explorer = RandomNetworkDistillation(SPEC, width=16, warmup=10**6)
        actions = torch.cat([explorer.act(torch.zeros(B, SPEC.observation_size)) for _ in range(400)])
        assert abs(actions.mean()) < 0.05
        assert abs(actions.square().mean() - 1 / 3) < 0.03

    def test_it_goes_farther_than_noise_does(self) -> None:
        """On a line, where ever new places lie to both sides, it must leave where a random walk stays."""

        def farthest(warmup: int) -> float:
            torch.manual_seed(1)
            spec = EnvironmentSpec("line", 1, 1, 1, 100, 0.1, ("a",))
            explorer = RandomNetworkDistillation(
                spec,
                width=32,
                embedding_dim=8,
                batch_size=64,
                updates=2,
                warmup=warmup,
                action_penalty=0.0,
                learning_rate=1e-3,
            )
            place, reached = torch.zeros(4, 1), 0.0
            flags = torch.zeros(4, dtype=torch.bool)
            for _ in range(400):
                action = explorer.act(place)
                following = place + 0.1 * action
                explorer.observe(
                    place, action, StepResult(following, torch.zeros(4), flags, flags, torch.zeros(4, 1).double())
                )
                place, reached = following, max(reached, following.abs().max().item())
            return reached

        assert farthest(warmup=200) > 2 * farthest(warmup=10**6)
