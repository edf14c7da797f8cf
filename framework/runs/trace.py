"""Traces of beliefs along a run, read from the run directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import safe_open
from torch import Tensor

from bfmkit.inference.experiment import Run

if TYPE_CHECKING:
    import polars as pl

TRACE = "trace"


@dataclass(frozen=True)
class TracedEpisode:
    """Trace of one episode of a batch, one file."""

    runs: tuple[Run, ...]  # task and seed of each row
    episode: int  # counted from 0
    is_oracle: bool  # whose it is
    tensors: dict[str, Tensor]  # (T, B, ...) each, and ``step`` (T,)


def read_episodes(run_directory: Path | str, is_oracle: bool = False) -> Iterator[TracedEpisode]:
    """Episodes of a trace, batch by batch; none of a run that was not traced.

    Raises:
        ValueError: if a file is damaged.
    """
    who = "oracle" if is_oracle else "agent"
    for path in sorted((Path(run_directory) / TRACE).glob(f"{who}-*.safetensors")):
        yield load_episode(path)


def read_trace(run_directory: Path | str, is_oracle: bool = False) -> pl.DataFrame:
    """Trace as a tidy table, a row for each traced step.

    Columns: ``task``, ``seed``, ``episode`` (from 0), ``step`` of the episode (from 1), ``steps`` since the start,
    ``return`` so far, ``reward``, ``labels``, and of an agent with a belief ``believed_reward``, ``log_determinant``,
    ``width`` along ψ of its z, and ``cosine`` of its mean's z to the oracle's. None of them for a run without a trace.

    Raises:
        ValueError: if a file is damaged.
    """
    # Imported here, so that a job that writes a trace starts sooner.
    import polars as pl

    frames = [_frame(episode) for episode in read_episodes(run_directory, is_oracle)]
    if not frames:
        return pl.DataFrame()
    return pl.concat(frames, how="diagonal").sort("task", "seed", "episode", "step")


@dataclass(frozen=True)
class TracedRun:
    """Trace of one run, its episodes in order."""

    run: Run  # task and seed
    episode: np.ndarray  # (T,), of each entry
    step: np.ndarray  # (T,), of its episode
    arrays: dict[str, np.ndarray]  # what was traced, (T, ...) each

    def of_episode(self, number: int) -> dict[str, np.ndarray]:
        """Entries of one episode, ``step`` included."""
        chosen = self.episode == number
        return {"step": self.step[chosen], **{name: values[chosen] for name, values in self.arrays.items()}}


def read_run(run_directory: Path | str, run: Run, is_oracle: bool = False) -> TracedRun | None:
    """Trace of one run, ``physics``, ``mean`` and ``z`` included; None if it was not traced.

    Raises:
        ValueError: if a file is damaged.
    """
    pieces: list[tuple[int, np.ndarray, dict[str, np.ndarray]]] = []
    for traced_episode in read_episodes(run_directory, is_oracle):
        if run not in traced_episode.runs:
            continue
        row, tensors = traced_episode.runs.index(run), traced_episode.tensors
        alive = tensors["alive"][:, row]
        arrays = {name: value[alive, row].numpy() for name, value in tensors.items() if name not in ("step", "alive")}
        pieces.append((traced_episode.episode, tensors["step"][alive].numpy(), arrays))
    if not pieces:
        return None
    pieces.sort(key=lambda piece: piece[0])
    episode = np.concatenate([np.full(len(step), number) for number, step, _ in pieces])
    joined = {name: np.concatenate([arrays[name] for _, _, arrays in pieces]) for name in pieces[0][2]}
    return TracedRun(run, episode, np.concatenate([step for _, step, _ in pieces]), joined)


def _frame(episode: TracedEpisode) -> pl.DataFrame:
    import polars as pl

    tensors, rows = episode.tensors, len(episode.runs)
    numbers = {name: value.flatten().numpy() for name, value in tensors.items() if value.ndim == 2 and name != "alive"}
    count = len(tensors["step"])
    frame = pl.DataFrame(
        {
            "task": [run.task for _ in range(count) for run in episode.runs],
            "seed": [run.seed for _ in range(count) for run in episode.runs],
            "episode": [episode.episode] * (count * rows),
            "step": tensors["step"].repeat_interleave(rows).numpy(),
            **numbers,
        }
    )
    return frame.filter(pl.Series(tensors["alive"].flatten().numpy()))


def load_episode(path: Path) -> TracedEpisode:
    """Trace of one episode, read from its file.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        runs = tuple(Run(task, seed) for task, seed in json.loads(facts["runs"]))
        return TracedEpisode(runs, int(facts["episode"]), json.loads(facts["oracle"]), tensors)
    except Exception as error:  # safetensors raises an exception of its own, and none that it documents
        raise ValueError(f"{path}: no trace of an episode ({error})") from error
