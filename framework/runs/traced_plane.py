"""Features of a plane of states in a trace, for pictures of the believed reward."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

from bfmkit.interfaces import BFM, Environment, Plane
from bfmkit.runs.trace import TRACE, TracedRun
from bfmkit.runs.trace_writer import MILESTONES
from bfmkit.utils.files import write_atomically
from bfmkit.utils.placement import placement

FILE = "plane.safetensors"


@dataclass(frozen=True)
class BelievedReward:
    """Believed reward over a plane after a number of labels."""

    labels: int  # how many
    reward: np.ndarray  # (rows * columns,), over the plane
    path: tuple[np.ndarray, ...]  # (n, 2) each, where the body had been up to then, episode by episode


@dataclass(frozen=True)
class TracedPlane:
    """Plane of states with a model's features of them."""

    plane: Plane  # the states
    features: np.ndarray  # (n, d) float32, of staying in each of them
    rewards: dict[str, np.ndarray]  # (n,) each, task -> the true reward of staying there, as an episode starts

    def believed(self, weights: np.ndarray) -> np.ndarray:  # (d,) -> (n,)
        """Believed reward φᵀw in every state."""
        return self.features @ weights.astype(np.float32)

    def way(self, physics: np.ndarray) -> np.ndarray:  # (T, p) -> (T, 2)
        """Positions of recorded states on the plane."""
        return physics[:, list(self.plane.coordinates)]


@torch.no_grad()
def write_plane(out: Path, environment: Environment, bfm: BFM, tasks: Sequence[str]) -> bool:
    """Write ``trace/plane.safetensors``; returns False for an environment without a plane."""
    plane = environment.plane()
    if plane is None:
        return False
    still = torch.zeros(len(plane.physics), environment.spec.action_size)
    device, _ = placement(bfm)
    observation = plane.observation.to(device)
    # Copies: safetensors takes no two tensors that share memory.
    tensors = {
        "observation": plane.observation.clone(),
        "physics": plane.physics.clone(),
        "features": bfm.features(observation, still.to(device), observation).float().cpu().clone(),
        "rewards": torch.stack([environment.relabel(plane.physics, still, task) for task in tasks]),
    }
    grid = {name: getattr(plane, name) for name in ("rows", "columns", "extent", "axes", "coordinates", "walls")}
    path = out / TRACE / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(tensors, {"grid": json.dumps(grid), "tasks": json.dumps(list(tasks))}))
    return True


def read_plane(run_directory: Path | str) -> TracedPlane | None:
    """Plane written by :func:`write_plane`; None without one.

    Raises:
        ValueError: if the file is damaged.
    """
    path = Path(run_directory) / TRACE / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        grid, tasks = json.loads(facts["grid"]), json.loads(facts["tasks"])
        plane = Plane(
            tensors["observation"],
            tensors["physics"],
            grid["rows"],
            grid["columns"],
            tuple(grid["extent"]),
            tuple(grid["axes"]),
            tuple(grid["coordinates"]),
            tuple(tuple(wall) for wall in grid["walls"]),
        )
        rewards = dict(zip(tasks, tensors["rewards"].double().numpy(), strict=True))
        return TracedPlane(plane, tensors["features"].numpy(), rewards)
    except Exception as error:  # safetensors raises an exception of its own, and none that it documents
        raise ValueError(f"{path}: no plane of a trace ({error})") from error


def believed_rewards(traced: TracedPlane, run: TracedRun) -> list[BelievedReward]:
    """Believed rewards of a run at a few numbers of labels, and at its end.

    The numbers of labels are :data:`~bfmkit.runs.trace_writer.MILESTONES`, or the next that the trace has an entry of.
    Nothing without a belief.
    """
    found: list[BelievedReward] = []
    if "mean" not in run.arrays:
        return found
    labels = run.arrays["labels"]
    if not len(labels):
        return found
    reached = [np.flatnonzero(labels >= milestone) for milestone in MILESTONES]
    for entry in (*(int(entries[0]) for entries in reached if len(entries)), len(labels) - 1):
        if found and labels[entry] == found[-1].labels:
            continue
        before = slice(0, entry + 1)
        episodes, places = run.episode[before], traced.way(run.arrays["physics"][before])
        ways = tuple(places[episodes == number] for number in np.unique(episodes))
        reward = traced.believed(run.arrays["mean"][entry])
        if "reward_scale" in run.arrays:
            reward = run.arrays["reward_offset"][entry] + run.arrays["reward_scale"][entry] * reward
        found.append(BelievedReward(int(labels[entry]), reward, ways))
    return found
