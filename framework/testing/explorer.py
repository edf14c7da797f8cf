"""Contract of explorers."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, Explorer, StepResult

SPEC = EnvironmentSpec("walker", 5, 2, 4, 100, 0.02, ("a",))
B = 3


class ExplorerContract(ABC):
    """Contract of explorers: subclass it in a test and build a small one for ``SPEC`` in ``make``."""

    @abstractmethod
    def make(self) -> Explorer:
        """The explorer under test; it must be past its warm-up within 30 steps of three environments."""

    def walk(self, explorer: Explorer, steps: int, start: Tensor | None = None) -> Tensor:
        """Run the explorer on a point that its actions move; returns the last observation."""
        observation = torch.zeros(B, SPEC.observation_size) if start is None else start
        for _ in range(steps):
            action = explorer.act(observation)
            assert action.shape == (B, SPEC.action_size)
            assert action.abs().max() <= 1
            following = 0.9 * observation
            following[:, : SPEC.action_size] += 0.3 * action
            flags = torch.zeros(B, dtype=torch.bool)
            outcome = StepResult(following, torch.zeros(B), flags, flags, torch.zeros(B, SPEC.physics_size).double())
            explorer.observe(observation, action, outcome)
            observation = following
        return observation

    def test_acts_and_learns_without_a_reward(self) -> None:
        torch.manual_seed(0)
        explorer = self.make()
        self.walk(explorer, 60)
        numbers = explorer.metrics()
        assert numbers
        assert all(torch.tensor(value).isfinite() for value in numbers.values())
        assert explorer.metrics() == {}, "metrics() must start afresh"

    def test_its_state_loads_without_pickle_and_acts_the_same(self) -> None:
        torch.manual_seed(0)
        explorer = self.make()
        observation = self.walk(explorer, 60)
        file = io.BytesIO()
        torch.save(explorer.state_dict(), file)
        file.seek(0)
        other = self.make()
        other.load_state_dict(torch.load(file, weights_only=True))
        torch.manual_seed(1)
        expected = explorer.act(observation)
        torch.manual_seed(1)
        assert torch.equal(other.act(observation), expected)
