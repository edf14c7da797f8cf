"""Finite MDPs from a few words of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from bfmkit.tabular.finite_mdp import FiniteMDP
from bfmkit.utils.checks import PositiveInt, Share, check_ranges
from bfmkit.utils.rng import generator

RANDOM_TASKS = 8


@check_ranges
@dataclass(frozen=True)
class MDPLayout:
    """What a finite MDP looks like. Environment and model that are given the same words have the same MDP.

    Tasks: ``random_0`` to ``random_7``, weights drawn from the unit sphere, and with one-hot features ``state_0``,
    ``state_1``, ..., which reward being there.

    Args:
        layout: ``random``: each action leads to a few states drawn at random; ``chain``: one step back or forth, from
            the first state on; ``grid``: a square where actions are east, west, north, south, stay.
        size: how many states, the chain's length, or the side of the square.
        dim: d, the length of random features on the unit sphere; one-hot features (d = S) if not given.
        slip: the probability that a uniformly drawn action is taken instead.
        actions: of a random layout.
        branching: how many states an action of a random layout may lead to.
        seed: of everything that is drawn.
    """

    layout: Literal["random", "chain", "grid"]
    size: PositiveInt
    dim: PositiveInt | None = None
    slip: Share = 0.0
    actions: PositiveInt = 4
    branching: PositiveInt = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.layout == "random" and self.branching > self.size:
            raise ValueError(f"branching {self.branching} is more than the {self.size} states there are")

    def build(self) -> FiniteMDP:
        """The MDP; a function of the fields alone."""
        transitions = _LAYOUTS[self.layout](self)
        transitions = (1 - self.slip) * transitions + self.slip * transitions.mean(axis=1, keepdims=True)
        states = len(transitions)
        start = np.eye(states)[0] if self.layout == "chain" else np.full(states, 1 / states)
        features = np.eye(states) if self.dim is None else _on_sphere(self._generator("features"), states, self.dim)
        directions = _on_sphere(self._generator("tasks"), RANDOM_TASKS, features.shape[1])
        tasks = {f"random_{index}": direction for index, direction in enumerate(directions)}
        if self.dim is None:
            tasks |= {f"state_{index}": row for index, row in enumerate(features)}
        return FiniteMDP(
            torch.from_numpy(transitions),
            torch.from_numpy(features),
            torch.from_numpy(start),
            {name: torch.from_numpy(weights) for name, weights in tasks.items()},
        )

    def _generator(self, stream: str) -> np.random.Generator:
        return generator(self.seed, f"mdp {stream}", 0)


def _random(layout: MDPLayout) -> np.ndarray:  # (S, A, S)
    draw = layout._generator("transitions")
    transitions = np.zeros((layout.size, layout.actions, layout.size))
    for state, action in np.ndindex(layout.size, layout.actions):
        following = draw.choice(layout.size, layout.branching, replace=False)
        transitions[state, action, following] = draw.dirichlet(np.ones(layout.branching))
    return transitions


def _chain(layout: MDPLayout) -> np.ndarray:  # (S, 2, S)
    states = np.arange(layout.size)
    following = np.stack((np.maximum(states - 1, 0), np.minimum(states + 1, layout.size - 1)), axis=1)
    return np.eye(layout.size)[following]


def _grid(layout: MDPLayout) -> np.ndarray:  # (S, 5, S)
    steps = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)])
    x, y = np.divmod(np.arange(layout.size**2), layout.size)
    place = np.stack((x, y), axis=1)[:, None] + steps
    # A step into the wall leads nowhere.
    place = np.clip(place, 0, layout.size - 1)
    return np.eye(layout.size**2)[place[..., 0] * layout.size + place[..., 1]]


def _on_sphere(draw: np.random.Generator, count: int, dim: int) -> np.ndarray:  # (count, dim), rows of length 1
    points = draw.standard_normal((count, dim))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


_LAYOUTS = {"random": _random, "chain": _chain, "grid": _grid}
