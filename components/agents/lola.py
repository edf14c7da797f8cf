"""Searches for the task by trial: a policy gradient over what to act for."""

from __future__ import annotations

import math
from typing import Literal

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.batched_agent import BatchedAgent, Transitions
from bfmkit.inference.least_squares import least_squares_weights
from bfmkit.interfaces import Agent
from bfmkit.registry import register
from bfmkit.utils.checks import require_positive

FIRST_DECAY, SECOND_DECAY, SMALLEST_DEVIATION = 0.9, 0.999, 1e-8
"""Adam's constants, at their usual values."""


@register(Agent, "lola")
class LolaAgent(BatchedAgent):
    r"""Lookahead latent adaptation: acts for weights drawn about a centre θ, and moves θ to where returns were higher.

    each window:   x_i = θ + σ ε,  w_i = ρ x_i/‖x_i‖,  z_i = policy_latent(w_i)
    its return:    R_i = Σ_{t<n} γᵗ r_t + γⁿ agg_e ψ_e(s_n, π_i(s_n), z_i)ᵀ w₀
    each k windows: A_i = R_i − mean_{j≠i} R_j,  θ ← Adam along (1/k) Σ_i A_i (x_i − θ)/σ²,  then θ ← ρ θ/‖θ‖

    The critics stay as they are. What the policy z_i earns after the window is read off them with the weights w₀: those
    fitted to labelled transitions, if it starts from some, and then θ starts there too; else θ/‖θ‖, and θ starts in a
    direction drawn uniformly. It keeps no belief about the reward, and learns from returns alone.

    A window in which a reward is missing teaches nothing. With ``windows: episode`` an episode that ends before its
    window does counts as it is, without the critics' part.

    Args:
        lookahead: n, the steps of a window.
        group: k, how many windows make a step of θ.
        std: σ, how far from θ the weights are drawn, for each coordinate.
        learning_rate: Adam's.
        radius: ρ, of the sphere that θ and the weights lie on; none given: √d.
        density: where the gradient takes x_i to be: ``drawn``, or ``projected``, at w_i, which is no sample of the
            Gaussian it is put into.
        windows: ``running``: one follows the other, over the ends of episodes; ``episode``: one at the start of each
            episode, whose policy then goes on to the episode's end.
        labelled_transitions: how many to start from; 0 starts knowing nothing.
        ensemble: agg, what to make of the critics, their minimum or their mean.

    Raises:
        ValueError: if ``lookahead``, ``std``, ``learning_rate`` or ``radius`` is not positive, ``group`` less than 2,
            ``labelled_transitions`` negative, or a word not one of those above.

    Reference:
        Sikchi et al., Fast Adaptation with Behavioral Foundation Models, 2025; Kool et al., Buy 4 REINFORCE Samples,
        Get a Baseline for Free!, 2019; Kingma and Ba, Adam, 2015.
    """

    def __init__(
        self,
        lookahead: int = 250,
        group: int = 8,
        std: float = 0.2,
        learning_rate: float = 1.0,
        radius: float | None = 1.0,
        density: Literal["drawn", "projected"] = "projected",
        windows: Literal["running", "episode"] = "running",
        labelled_transitions: int = 0,
        ensemble: Literal["min", "mean"] = "min",
    ) -> None:
        super().__init__()
        for name, least, value in (
            ("lookahead", 1, lookahead), ("group", 2, group), ("labelled_transitions", 0, labelled_transitions),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        require_positive(std=std, learning_rate=learning_rate, radius=radius)
        for name, word, words in (
            ("density", density, ("drawn", "projected")),
            ("windows", windows, ("running", "episode")),
            ("ensemble", ensemble, ("min", "mean")),
        ):
            if word not in words:
                raise ValueError(f'{name} must be "{words[0]}" or "{words[1]}", got {word!r}')
        self.lookahead, self.group = lookahead, group
        self.std, self.learning_rate, self.radius = std, learning_rate, radius
        self.density, self.windows, self.ensemble = density, windows, ensemble
        self.labelled_transitions = labelled_transitions

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        runs, dim = len(self.seeds), self.bfm.dim
        vector = torch.zeros(runs, dim, dtype=torch.float64, device=self.device)
        center = self._onto_sphere(self.noise("lola start", (dim,), self.indices))
        entries: dict[str, Tensor | TensorDict] = {}
        if labelled is not None and self.labelled_transitions > 0:
            fitted = least_squares_weights(*self.labelled_features(labelled))
            # Labels that are all zero say nothing about where to start.
            told = (fitted != 0).any(dim=-1, keepdim=True)
            center = torch.where(told, self._onto_sphere(torch.where(told, fitted, center)), center)
            entries["fitted_weights"] = fitted
        return entries | {
            "center": center,
            "first_moment": vector.clone(),
            "second_moment": vector.clone(),
            "updates": torch.zeros(runs, dtype=torch.int64),
            "point": vector.clone(),
            "points": torch.zeros(runs, self.group, dim, dtype=torch.float64, device=self.device),
            "returns": torch.zeros(runs, self.group, dtype=torch.float64, device=self.device),
            "windows": torch.zeros(runs, dtype=torch.int64),
            "window_steps": torch.zeros(runs, dtype=torch.int64),
            "window_return": torch.zeros(runs, dtype=torch.float64, device=self.device),
            "window_whole": torch.ones(runs, dtype=torch.bool),
        }

    def begin_episode(self, runs: Tensor | None = None) -> None:
        """Say that the next observation opens an episode; a window that belongs to the last one ends here."""
        super().begin_episode(runs)
        if self.windows == "episode":
            opens = self.everyone if runs is None else self._mask(runs, "runs")
            steps = self.state.get("window_steps")
            self._finish(opens & (steps > 0) & (steps < self.lookahead), None)
            steps.masked_fill_(opens, 0)

    def propose(self, observation: Tensor, runs: Tensor) -> Tensor:  # (n, d)
        opening = runs[self.state.get("window_steps")[runs] == 0]
        weights = self.state.get("weights")
        if len(opening) > 0:
            rows = opening.to(self.device)
            drawn = self.state.get("center")[rows] + self.std * self.noise("lola", (self.bfm.dim,), opening)
            projected = self._onto_sphere(drawn)
            self.state.get("point")[rows] = projected if self.density == "projected" else drawn
            weights = weights.index_copy(0, rows, projected)
        return self.rows_of(weights, runs)

    def learn(self, step: Transitions, active: Tensor) -> Tensor:  # batch (B,), (B,) bool -> (B,) bool
        state = self.state
        steps = state.get("window_steps")
        counts = (steps < self.lookahead) & active
        taken = counts & step.observed
        discount = (self.bfm.discount ** steps.double()).to(self.device)
        state.get("window_return").add_(torch.where(taken.to(self.device), discount * step.reward, 0.0))
        state.get("window_whole").logical_and_(step.observed | ~counts)
        steps.add_(counts)
        ended = counts & (steps == self.lookahead)
        if ended.any():
            self._finish(ended, step.next_observation)
            if self.windows == "running":
                steps.masked_fill_(ended, 0)
        return taken

    def _finish(self, ended: Tensor, last: Tensor | None) -> None:  # (B,) bool on the CPU, (B, o)
        """Close the windows of some runs; with ``last``, the critics say what follows it."""
        state = self.state
        value = torch.zeros_like(state.get("window_return"))
        if last is not None:
            rows = ended.to(self.device).nonzero().squeeze(-1)
            value[rows] = self.bfm.discount**self.lookahead * self._terminal_value(last[rows], rows)
            broken = ended & ~value.isfinite().cpu()
            if broken.any():
                self.stop(broken, "the critics' value of the window's last state is not finite")
                ended = ended & ~broken
        kept = (ended & state.get("window_whole")).nonzero().squeeze(-1)
        rows, slot = kept.to(self.device), state.get("windows")[kept].to(self.device)
        state.get("returns")[rows, slot] = state.get("window_return")[rows] + value[rows]
        state.get("points")[rows, slot] = state.get("point")[rows]
        state.get("windows")[kept] += 1
        state.get("window_return").masked_fill_(ended.to(self.device), 0.0)
        state.get("window_whole").masked_fill_(ended, True)
        full = state.get("windows") == self.group
        if full.any():
            self._ascend(full)
            state.get("windows").masked_fill_(full, 0)

    def _terminal_value(self, observation: Tensor, rows: Tensor) -> Tensor:  # (n, o), (n,) int64 -> (n,)
        """agg_e ψ_e(s, π(s), z)ᵀ w₀ with the z that these runs act for."""
        if "fitted_weights" in self.state.keys():
            weights = self.state.get("fitted_weights")[rows]
        else:
            weights = torch.nn.functional.normalize(self.state.get("center")[rows], dim=-1)
        successor_features = self.bfm.successor_features(observation, self.state.get("z")[rows]).double()  # (n, E, d)
        values = (successor_features @ weights.unsqueeze(-1)).squeeze(-1)
        return values.amin(dim=-1) if self.ensemble == "min" else values.mean(dim=-1)

    def _ascend(self, full: Tensor) -> None:  # (B,) bool on the CPU
        """One step of Adam for the runs whose group of windows is full."""
        state, chosen = self.state, full.to(self.device).unsqueeze(-1)
        center, returns, points = state.get("center"), state.get("returns"), state.get("points")
        others = (returns.sum(dim=-1, keepdim=True) - returns) / (self.group - 1)
        scores = (points - center.unsqueeze(-2)) / self.std**2
        gradient = ((returns - others).unsqueeze(-1) * scores).mean(dim=-2)
        first = FIRST_DECAY * state.get("first_moment") + (1 - FIRST_DECAY) * gradient
        second = SECOND_DECAY * state.get("second_moment") + (1 - SECOND_DECAY) * gradient.square()
        state.get("updates").add_(full)
        count = state.get("updates").to(self.device).clamp(min=1).double().unsqueeze(-1)
        step = (first / (1 - FIRST_DECAY**count)) / ((second / (1 - SECOND_DECAY**count)).sqrt() + SMALLEST_DEVIATION)
        moved = self._onto_sphere(center + self.learning_rate * step)
        for key, value in (("center", moved), ("first_moment", first), ("second_moment", second)):
            state.set(key, torch.where(chosen, value, state.get(key)))

    def _onto_sphere(self, x: Tensor) -> Tensor:  # (*b, d)
        radius = self.radius if self.radius is not None else math.sqrt(x.shape[-1])
        return radius * x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
