"""Checkpoint of an inference job: progress and returns of each of its stages."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bfmkit.utils.files import write_atomically


@dataclass
class InferenceCheckpoint:
    """Checkpoint of an inference job, to resume from, also with more episodes."""

    returns: dict[str, np.ndarray]  # role -> (runs, episodes of it), NaN where there is nothing yet
    episodes: dict[str, int] = field(default_factory=dict)  # stage -> how many are done
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)  # stage -> the agent's state, until it is over
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)  # stage -> of an episode, left in its middle
    rows: Counter[str] = field(default_factory=Counter)  # role -> of its file of episodes
    residuals: dict[int, list[float]] = field(default_factory=dict)  # run -> sums of bfmkit.inference.calibration
    failures: dict[int, str] = field(default_factory=dict)  # run -> why it was stopped

    def grow(self, episodes: Mapping[Any, int]) -> None:
        """Extend to so many episodes of each role."""
        for role, count in episodes.items():
            returns = self.returns[role]
            missing = max(0, count - returns.shape[1])
            self.returns[role] = np.pad(returns, ((0, 0), (0, missing)), constant_values=np.nan)

    def finish_episode(self, stage: str, episode: int, agent: dict[str, Any]) -> None:
        """Note that an episode is over, and what the agent has learnt."""
        self.episodes[stage], self.agents[stage] = episode + 1, agent
        self.snapshots.pop(stage, None)

    def finish_stage(self, stage: str, episodes: int, folder: Path) -> None:
        """Note that a stage is over; its agent's state goes to a file of its own, so that no later save writes it."""
        self.episodes[stage] = episodes
        if stage in self.agents:
            _save(self.agents.pop(stage), folder / f"{stage}.pt")

    def agent(self, stage: str, folder: Path) -> dict[str, Any] | None:
        """State of a stage's agent; None before its first episode."""
        path = folder / f"{stage}.pt"
        if stage in self.agents or not path.is_file():
            return self.agents.get(stage)
        return torch.load(path, weights_only=True, map_location="cpu")

    def save(self, path: Path) -> None:
        """Write it whole; ``torch.load`` reads it weights-only."""
        content = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        content["returns"] = {role: torch.from_numpy(values) for role, values in self.returns.items()}
        content["rows"] = dict(self.rows)
        _save(content, path)

    @classmethod
    def load(cls, path: Path) -> InferenceCheckpoint:
        """The inverse of :meth:`save`."""
        content = torch.load(path, weights_only=True, map_location="cpu")
        content["returns"] = {role: values.numpy() for role, values in content["returns"].items()}
        content["rows"] = Counter(content["rows"])
        return cls(**content)


def _save(content: dict[str, Any], path: Path) -> None:
    file = io.BytesIO()
    torch.save(content, file)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, file.getvalue())
