"""Episodes of policies that keep their z."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bfmkit.interfaces import BFM, Environment


@dataclass(frozen=True)
class Rollouts:
    """One episode in each of B rows, T steps long or shorter."""

    observation: Tensor  # (T, B, o)
    action: Tensor  # (T, B, a)
    next_observation: Tensor  # (T, B, o)
    physics: Tensor  # (T, B, p)
    reward: Tensor  # (T, B) float64; 0 once a row's episode is over
    running: Tensor  # (T, B) bool, the episode was not over before the step
    terminated: Tensor  # (B,) bool, it ended for good

    def features(self, bfm: BFM) -> Tensor:  # (T, B, d) float64
        """φ of each step; zero once a row's episode is over."""
        place = _device(bfm)
        steps = zip(self.observation, self.action, self.next_observation, strict=True)
        with torch.no_grad():
            found = [bfm.features(*(each.to(place) for each in step)).cpu().double() for step in steps]
        return torch.stack(found) * self.running.unsqueeze(-1)


@torch.no_grad()
def rollout(
    bfm: BFM,
    environment: Environment,  # B rows, seeded
    z: Tensor,  # (B, d)
    on_step: Callable[[], None] = lambda: None,
) -> Rollouts:
    """Run π_z for one episode in each row."""
    place = _device(bfm)
    z = z.to(place)
    observation, _ = environment.reset_batch()
    running = torch.ones(len(observation), dtype=torch.bool)
    terminated = torch.zeros_like(running)
    steps: list[tuple[Tensor, ...]] = []
    while running.any() and len(steps) < environment.spec.episode_steps:
        action = bfm.act(observation.to(place), z.to(observation.dtype)).to(observation.device)
        outcome = environment.step_batch(action)
        reward = torch.where(running, outcome.reward.cpu().double(), 0.0)
        steps.append((observation, action, outcome.observation, outcome.physics, reward, running))
        terminated = terminated | (running & outcome.terminated.cpu())
        running = running & ~(outcome.terminated | outcome.truncated).cpu()
        observation = outcome.observation
        on_step()
    seen, acted, following, physics, reward, ran = (torch.stack(column).cpu() for column in zip(*steps, strict=True))
    return Rollouts(seen, acted, following, physics, reward, ran, terminated)


def _device(bfm: BFM) -> torch.device:
    tensor = next(iter((*bfm.parameters(), *bfm.buffers())), None)
    return torch.device("cpu") if tensor is None else tensor.device
