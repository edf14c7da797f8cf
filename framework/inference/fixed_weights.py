"""Base class of agents with fixed weights."""

from __future__ import annotations

from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.batched_agent import BatchedAgent, SelectionInputs


class FixedWeightsAgent(BatchedAgent):
    """Agent that acts for the same weights at every step and learns nothing.

    Args:
        weights: (d,) for all runs, or (B, d).

    Raises:
        ValueError: when starting, if there is not one weight a feature, or not one row a run.
    """

    selects_once = True

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights.double()

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        runs, dim = len(self.seeds), self.bfm.dim
        if self.weights.shape not in ((dim,), (runs, dim)):
            raise ValueError(f"weights must be ({dim},) or ({runs}, {dim}), got {tuple(self.weights.shape)}")
        return {"solution": self.weights.expand(runs, dim).to(self.device).clone()}

    def propose(self, inputs: SelectionInputs) -> Tensor:
        return self.rows_of(self.entries["solution"], inputs.runs)
