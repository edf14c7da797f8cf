"""How far an inference job is, on disk."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bfmkit.utils.files import write_atomically


@dataclass
class Ledger:
    """How far the job is, and what it has got so far; enough to go on from."""

    returns: dict[str, np.ndarray]  # role -> (runs, episodes of it), NaN where there is nothing yet
    stage: int = 0
    episode: int = 0
    rows: Counter[str] = field(default_factory=Counter)  # role -> of its file of episodes
    agent: dict[str, Any] | None = None  # state in the middle of a stage
    snapshot: dict[str, Any] | None = None  # of the episode, where it was left in its middle
    residuals: dict[int, list[float]] = field(default_factory=dict)  # run -> sums of bfmkit.inference.calibration
    failures: dict[int, str] = field(default_factory=dict)  # run -> why it was stopped

    def save(self, path: Path) -> None:
        """Write it whole; ``torch.load`` reads it weights-only."""
        content = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        content["returns"] = {role: torch.from_numpy(values) for role, values in self.returns.items()}
        content["rows"] = dict(self.rows)
        file = io.BytesIO()
        torch.save(content, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> Ledger:
        """The inverse of :meth:`save`."""
        content = torch.load(path, weights_only=True, map_location="cpu")
        content["returns"] = {role: values.numpy() for role, values in content["returns"].items()}
        content["rows"] = Counter(content["rows"])
        return cls(**content)
