"""Agent that follows a demonstration or a list of goals."""

from __future__ import annotations

from pathlib import Path

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.data.label_files import read_tensors
from bfmkit.inference.batched_agent import BatchedAgent, SelectionInputs
from bfmkit.inference.offline import tracking_weights
from bfmkit.interfaces import Agent
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(Agent, "tracking")
class TrackingAgent(BatchedAgent):
    r"""Acts at each step for being where a demonstration is in the next steps; learns nothing.

    step t of an episode: row i = ⌊t/hold⌋ of the file, z_t = policy_latent(w_i), w_i the weights of rows i to i + h − 1

    The demonstration is observations alone, one a row: another body's walk recorded at this model's time step, or goals
    with ``hold`` above 1. Behind its end the last row goes on being followed, or the first comes again.

    Args:
        demonstration: a ``.npz`` or ``.safetensors`` file with ``observation`` (n, o).
        lookahead: h, rows that are aimed at together; 1 for goals.
        hold: steps for which a row is aimed at.
        repeat: whether the first row follows the last.

    Raises:
        ValueError: if a number is less than 1, or the file holds something else; when starting, if it does not fit the
            model.
        FileNotFoundError: if there is no such file.

    Reference:
        Tirinzoni et al., Zero-shot whole-body humanoid control via behavioral foundation models, 2025.

    Example:
        ``agent={type: tracking, demonstration: walk.npz}``
    """

    acts_by_steps = True

    def __init__(
        self, demonstration: Path, lookahead: PositiveInt = 8, hold: PositiveInt = 1, repeat: bool = False
    ) -> None:
        super().__init__()
        self.observation = read_tensors(Path(demonstration), ("observation",))["observation"].float()
        self.lookahead, self.hold, self.repeat = lookahead, hold, repeat

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        self._weights = tracking_weights(self.bfm, self.observation, self.lookahead).to(self.device)
        return {"episode_start": torch.zeros(len(self.seeds), dtype=torch.int64)}

    def begin_episode(self, runs: Tensor | None = None) -> None:
        super().begin_episode(runs)
        opens, step = self.entries["opens_episode"], self.entries["step"]
        self.entries["episode_start"] = torch.where(opens, step, self.entries["episode_start"])

    def propose(self, inputs: SelectionInputs) -> Tensor:  # (n, d)
        row = (inputs.step - self.entries["episode_start"][inputs.runs]) // self.hold
        row = row % len(self._weights) if self.repeat else row.clamp(max=len(self._weights) - 1)
        return self._weights[row.to(self.device)]
