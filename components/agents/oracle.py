"""Agent that knows the task from the start: the upper reference."""

from __future__ import annotations

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.batched_agent import BatchedAgent, SelectionInputs
from bfmkit.interfaces import Agent
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveFloat, PositiveInt
from bfmkit.utils.linalg import least_squares_weights


@register(Agent, "oracle")
class OracleAgent(BatchedAgent):
    r"""Upper reference: the policy of the least-squares weights of labelled transitions.

    w = (ΦᵀΦ + ε tr(ΦᵀΦ)/d · I)⁻¹ Φᵀ r

    It learns nothing while acting: no reward an agent could find online tells it more than the labels it started with.
    Of a task that changes with time it knows what it asks for: the reward as an episode starts, or, with
    ``label_every``, the reward of every so many steps, with weights for each.

    Args:
        labelled_transitions: how many transitions to ask for.
        regularization: ε, a ridge relative to the mean squared length of a feature; keeps the system solvable.
        label_every: how many steps of an episode to act for the same weights, for a task that changes with time; none
            given: the whole of it.

    Raises:
        ValueError: if ``labelled_transitions`` or ``label_every`` is less than 1, or ``regularization`` not positive.

    Example:
        ``agent: {type: oracle, labelled_transitions: 10_000}``

    Reference:
        Touati et al., Does Zero-Shot Reinforcement Learning Exist?, 2023, section 2.
    """

    def __init__(
        self,
        labelled_transitions: PositiveInt = 10_000,
        regularization: PositiveFloat = 1e-6,
        label_every: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.labelled_transitions, self.regularization = labelled_transitions, regularization
        self.label_every = label_every
        self.selects_once, self.acts_by_steps = label_every is None, label_every is not None

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        if labelled is None:
            raise ValueError("the oracle starts from labelled transitions, and was given none")
        features, reward = self.labelled_features(labelled)
        rows, changes = len(self.seeds), self.label_every is not None
        if reward.ndim != 2 + changes:
            wanted = f"({len(features)}, {rows}{', T' if changes else ''})"
            raise ValueError(f"rewards must be {wanted}, got {tuple(reward.shape)}")
        solution = least_squares_weights(features, reward.flatten(1), self.regularization)
        if not changes:
            return {"solution": solution}
        start = torch.zeros(rows, dtype=torch.int64)
        return {"solution": solution.reshape(rows, -1, self.bfm.dim), "episode_start": start}

    def begin_episode(self, runs: Tensor | None = None) -> None:
        super().begin_episode(runs)
        if self.label_every is not None:
            opens, step = self.entries["opens_episode"], self.entries["step"]
            self.entries["episode_start"] = torch.where(opens, step, self.entries["episode_start"])

    def propose(self, inputs: SelectionInputs) -> Tensor:
        solution = self.entries["solution"]
        if self.label_every is not None:
            phase = (self.entries["step"] - self.entries["episode_start"]) // self.label_every
            phase = phase.clamp(max=solution.shape[1] - 1).to(self.device)
            solution = solution[torch.arange(len(solution), device=self.device), phase]  # (B, T, d) -> (B, d)
        return self.rows_of(solution, inputs.runs)
