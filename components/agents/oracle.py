"""Knows the task from the start: the yardstick."""

from __future__ import annotations

from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.agent import BatchedAgent
from bfmkit.interfaces import Agent
from bfmkit.registry import register
from bfmkit.regression import least_squares_weights


@register(Agent, "oracle")
class OracleAgent(BatchedAgent):
    r"""Acts for the weights that explain labelled transitions best, in the least-squares sense.

    w = (ΦᵀΦ + ε tr(ΦᵀΦ)/d · I)⁻¹ Φᵀ r

    It learns nothing while acting: no reward an agent could find online tells it more than the labels it started with.

    Args:
        labelled_transitions: how many transitions to ask for.
        regularization: ε, a ridge relative to the mean squared length of a feature; keeps the system solvable.

    Raises:
        ValueError: if ``labelled_transitions`` is less than 1 or ``regularization`` is not positive.

    Reference:
        Touati et al., Does Zero-Shot Reinforcement Learning Exist?, 2023, section 2.
    """

    def __init__(self, labelled_transitions: int = 10_000, regularization: float = 1e-6) -> None:
        super().__init__()
        if labelled_transitions < 1:
            raise ValueError(f"labelled_transitions must be at least 1, got {labelled_transitions}")
        if not regularization > 0:
            raise ValueError(f"regularization must be positive, got {regularization}")
        self.labelled_transitions = labelled_transitions
        self.regularization = regularization

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        if labelled is None:
            raise ValueError("the oracle starts from labelled transitions, and was given none")
        keys = ("observation", "action", ("next", "observation"))
        transitions = [labelled.get(key).to(self.device, self.dtype) for key in keys]
        features = self.bfm.features(*transitions)  # (n, d)
        reward = labelled.get(("next", "reward")).to(self.device)
        if reward.shape != (len(features), len(self.seeds)):
            raise ValueError(f"rewards must be ({len(features)}, {len(self.seeds)}), got {tuple(reward.shape)}")
        return {"solution": least_squares_weights(features, reward, self.regularization)}

    def propose(self, observation: Tensor, runs: Tensor | None) -> Tensor:
        solution = self.state.get("solution")
        return solution if runs is None else solution[runs.to(self.device)]
