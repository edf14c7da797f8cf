"""Exploration by uniformly random actions."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Lt
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.interfaces import EnvironmentSpec, Explorer, StepResult
from bfmkit.registry import register


@register(Explorer, "random")
class RandomExplorer(Explorer):
    """Uniformly random actions, each kept for a random time: the baseline of learnt exploration.

        u ∼ U([−1, 1]^a);   at each step it stays with probability ``keep``, and is drawn anew otherwise

    Where a body is slow next to the places it can go, only what is kept for long leads anywhere.

    Args:
        spec: sizes of the environment.
        keep: probability that an action is kept for one more step.

    Raises:
        ValueError: if ``keep`` lies outside [0, 1).

    Example:
        ``explorer: {type: random, keep: 0.9}``
    """

    def __init__(self, spec: EnvironmentSpec, keep: Annotated[float, Ge(0), Lt(1)] = 0.0) -> None:
        self._action_size, self._keep = spec.action_size, keep
        self._action: Tensor | None = None
        self._drawn, self._steps = 0, 0

    def act(self, observation: Tensor) -> Tensor:  # (B, o) -> (B, a)
        """The last action, or a new one."""
        rows = len(observation)
        fresh = 2 * torch.rand(rows, self._action_size) - 1
        renewed = torch.rand(rows, 1) >= self._keep
        if self._action is None or len(self._action) != rows:
            self._action, renewed = fresh, torch.ones_like(renewed)
        self._action = torch.where(renewed, fresh, self._action)
        self._drawn, self._steps = self._drawn + int(renewed.sum()), self._steps + rows
        return self._action

    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None:
        """Nothing: where it leads makes no difference."""

    def remember(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Nothing, likewise."""

    def metrics(self) -> dict[str, float]:
        """For how many steps an action was kept, in the mean."""
        if self._steps == 0:
            return {}
        held = self._steps / max(self._drawn, 1)
        self._drawn, self._steps = 0, 0
        return {"steps_kept": held}

    def state_dict(self) -> dict[str, Any]:
        """The last actions."""
        return {"action": self._action}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._action = state["action"]
