"""Agent that acts for weights inferred earlier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tensordict import TensorDictBase

from bfmkit.inference.fixed_weights import FixedWeightsAgent
from bfmkit.interfaces import BFM, Agent
from bfmkit.registry import register
from bfmkit.runs.record import Record
from bfmkit.runs.replay import require_same_model


@register(Agent, "fixed")
class FixedAgent(FixedWeightsAgent):
    """Agent that acts for the weights of an inference record and learns nothing.

    Args:
        record: a file from a run's ``records/``.

    Raises:
        ValueError: if the file is no record; when starting, if it is that of another model.

    Example:
        ``agent: {type: fixed, record: runs/opti_bfm/records/walk-0.safetensors}``
    """

    def __init__(self, record: Path) -> None:
        self.record = Record.load(record)
        super().__init__(self.record.weights)

    def start(self, bfm: BFM, seeds: Sequence[int] = (0,), labelled: TensorDictBase | None = None) -> None:
        require_same_model(self.record, bfm)
        super().start(bfm, seeds, labelled)
