"""Agent that draws policies at random and learns nothing: the lower reference."""

from __future__ import annotations

import torch
from torch import Tensor

from bfmkit.inference.batched_agent import BatchedAgent, SelectionInputs
from bfmkit.interfaces import Agent, Schedule
from bfmkit.registry import register


@register(Agent, "random")
class RandomAgent(BatchedAgent):
    """Lower reference: a direction drawn uniformly whenever a choice is due.

    Args:
        schedule: when to draw again within an episode; none given: at every step.

    Example:
        ``agent: {type: random, schedule: {type: every, steps: 100}}``
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        super().__init__(schedule)

    def propose(self, inputs: SelectionInputs) -> Tensor:
        noise = self.noise("direction", (self.bfm.dim,), inputs.runs)
        return noise / torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
