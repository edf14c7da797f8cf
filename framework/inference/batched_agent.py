"""Base class of batched online agents: step counters, scheduled selection of z, failed runs."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.interfaces import BFM, Agent, RunStoppedError, Schedule, ScheduleState
from bfmkit.utils.checks import one_per_row
from bfmkit.utils.placement import placement
from bfmkit.utils.rng import normal_noise


class Transitions(NamedTuple):
    """Transitions of runs: one step of each of B, or n steps of each of m, oldest first; batch (B,) or (m, n)."""

    observation: Tensor  # (*batch, o)
    action: Tensor  # (*batch, a)
    next_observation: Tensor  # (*batch, o)
    reward: Tensor  # (*batch) float64, zero where not observed
    observed: Tensor  # (*batch) bool on the CPU


class SelectionInputs(NamedTuple):
    """Inputs of a selection of weights for n runs, beside the agent's own state."""

    observation: Tensor  # (n, o)
    previous: Tensor  # (n, d) float64, the weights before it
    runs: Tensor  # (n,) int64, ascending indices of the runs
    step: Tensor  # (n,) int64, how many steps each has taken
    episode: Tensor  # (n,) int64, the number of its present episode, from 0


class BatchedAgent(Agent):
    """Base class of agents of B runs that act with z = policy_latent(w), for weights w that a subclass proposes.

    A subclass says what it remembers (:meth:`prepare`), which weights it wants (:meth:`propose`) and what it makes of
    a reward (:meth:`learn`). Counters and masks live on the CPU, everything else on the model's device.

    Args:
        schedule: when to choose again within an episode; None chooses at every step.
    """

    selects_once: bool = False
    """Whether weights stay the same within an episode, so that they are selected at its start alone."""

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.schedule = schedule
        self.failures: dict[int, str] = {}

    # What a subclass adds.

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        """Initial entries of the state that a subclass adds, batch (B,)."""
        return {}

    @abstractmethod
    def propose(self, inputs: SelectionInputs) -> Tensor:  # (n, d)
        """Weights to act for from now on."""

    def learn(
        self,
        step: Transitions,  # batch (B,)
        active: Tensor,  # (B,) bool on the CPU, the runs that took it
    ) -> Tensor:  # (B,) bool on the CPU
        """Update from a step of the active runs; returns which rewards were learnt, here none."""
        return self.nobody

    def choosing(self, runs: Tensor) -> None:
        """Hook before the runs of a mask (B,) select weights, for subclasses that buffer steps; may stop some."""

    def chosen(self, runs: Tensor, inputs: SelectionInputs) -> None:
        """Hook after the runs of a mask (B,) have selected weights, all or some of those asked."""

    def information(self) -> Tensor:  # (B,) float64
        """Growth of the log determinant of the precision since the last choice; NaN for an agent without a belief."""
        return self.unknown

    # The life of an agent.

    @torch.no_grad()
    def start(self, bfm: BFM, seeds: Sequence[int] = (0,), labelled: TensorDictBase | None = None) -> None:
        if len(seeds) == 0:
            raise ValueError("an agent needs at least one seed")
        if self.labelled_transitions > 0 and labelled is None:
            raise ValueError(f"{type(self).__name__} needs labelled transitions to start from")
        self.bfm = bfm
        self.seeds = tuple(int(seed) for seed in seeds)
        self.device, self.dtype = placement(bfm)
        self.failures = {}
        rows, dim = len(self.seeds), bfm.dim
        # What every step needs; nobody changes them. That a mask is this very `everyone` saves looking into it.
        self.indices = torch.arange(rows)
        self.everyone, self.nobody = self.indices >= 0, self.indices < 0
        self.unknown = torch.full((rows,), math.nan, dtype=torch.float64)
        self.entries: dict[str, Any] = {
            "weights": torch.zeros(rows, dim, dtype=torch.float64, device=self.device),
            "z": torch.zeros(rows, dim, dtype=self.dtype, device=self.device),
            "step": torch.zeros(rows, dtype=torch.int64),
            "steps_since_choice": torch.zeros(rows, dtype=torch.int64),
            "labels": torch.zeros(rows, dtype=torch.int64),
            "stopped": torch.zeros(rows, dtype=torch.bool),
            "opens_episode": torch.ones(rows, dtype=torch.bool),
            "episodes_begun": torch.zeros(rows, dtype=torch.int64),
        }
        self.entries |= self.prepare(labelled)

    @property
    def state(self) -> TensorDict:  # batch (B,)
        """All that the runs have learnt and counted: ``entries``, which steps read faster, as a TensorDict.

        It is made when asked for, of the tensors themselves; a subclass puts another tensor into ``entries``.
        """
        return TensorDict(self.entries, [len(self.seeds)])

    @state.setter
    def state(self, state: TensorDict) -> None:
        # Of the dictionary itself, for the belief refers to it.
        self.entries |= dict(state.items())

    def begin_episode(self, runs: Tensor | None = None) -> None:
        self._require_start()
        self.entries["opens_episode"].logical_or_(self.everyone if runs is None else self._mask(runs, "runs"))

    @torch.no_grad()
    def choose(self, observation: Tensor, runs: Tensor | None = None) -> Tensor:  # (B, o) -> (B, d)
        self._require_start()
        rows = self._rows(observation, "observation", self.bfm.environment_spec.observation_size)
        z = self._select(rows, self._active(runs))
        return z if rows.ndim == _as_tensor(observation).ndim else z[0]

    @torch.no_grad()
    def act(self, observation: Tensor, runs: Tensor | None = None) -> Tensor:  # (B, o) -> (B, a)
        self._require_start()
        observations = _as_tensor(observation)
        rows = self._rows(observations, "observation", self.bfm.environment_spec.observation_size)
        active = self._active(runs)
        z = self._select(rows, active)
        action = self.bfm.act(self._masked(rows, self._going(active)), z)
        self._require_finite(action, self._going(active), "the action")
        action = self._masked(action, self._going(active)).to(observations.device)
        return action if observations.ndim == 2 else action[0]

    @torch.no_grad()
    def observe(
        self,
        observation: Tensor,
        action: Tensor,
        next_observation: Tensor,
        reward: Tensor | float,
        observed: Tensor | None = None,
        runs: Tensor | None = None,
    ) -> None:
        self._require_start()
        sizes = self.bfm.environment_spec
        step = Transitions(
            self._rows(observation, "observation", sizes.observation_size),
            self._rows(action, "action", sizes.action_size),
            self._rows(next_observation, "next observation", sizes.observation_size),
            self._rewards(reward),
            self.everyone if observed is None else self._mask(observed, "observed"),
        )
        # A reward that has not arrived may be anything; it never gets further than this line.
        step = step._replace(reward=self._masked(step.reward, step.observed))
        active = self._active(runs)
        self._require_finite_step(step, active)
        active = self._going(active)
        if active is not self.everyone:
            step = Transitions._make([*(self._masked(part, active) for part in step[:-1]), step.observed & active])
        learnt = self.learn(step, active)
        active = self._going(active)
        # Adding a number takes half as long as adding flags.
        moved = 1 if active is self.everyone else active
        self.entries["step"].add_(moved)
        self.entries["steps_since_choice"].add_(moved)
        if learnt is not self.nobody:
            self.entries["labels"].add_(learnt if active is self.everyone else learnt & active)

    def stop(self, runs: Tensor, reason: str) -> None:
        """Stop the running ones of ``runs`` (B,); for subclasses, from :meth:`propose` or :meth:`learn`.

        Raises:
            RunStoppedError: when no run is left.
        """
        stopped, steps = self.entries["stopped"], self.entries["step"]
        for run in (runs.cpu() & ~stopped).nonzero().squeeze(-1).tolist():
            self.failures[run] = f"run {run} (seed {self.seeds[run]}) stopped at step {int(steps[run])}: {reason}"
            stopped[run] = True
        self._require_a_run()

    def labelled_features(self, labelled: TensorDictBase) -> tuple[Tensor, Tensor]:  # (n, d), (n, B, *rest)
        """Features of labelled transitions, the same for all runs, and the rewards of each run.

        Raises:
            ValueError: if there is not one reward a transition and run.
        """
        keys = ("observation", "action", ("next", "observation"))
        features = self.bfm.features(*(labelled.get(key).to(self.device, self.dtype) for key in keys))
        reward = labelled.get(("next", "reward")).to(self.device, torch.float64)
        if reward.shape[:2] != (len(features), len(self.seeds)):
            raise ValueError(f"rewards must be ({len(features)}, {len(self.seeds)}), got {tuple(reward.shape)}")
        return features, reward

    def noise(self, stream: str, shape: tuple[int, ...], runs: Tensor) -> Tensor:  # (n, *shape) float64
        """Standard normal noise of some runs, by index, at their present steps, on the model's device."""
        steps, indices = self.entries["step"].tolist(), runs.tolist()
        drawn = normal_noise([self.seeds[run] for run in indices], stream, [steps[run] for run in indices], shape)
        return drawn.to(self.device)

    def runs_of(self, active: Tensor) -> Tensor:  # (B,) bool -> (n,) int64
        """The indices of some runs, in order."""
        return self.indices if active is self.everyone else active.nonzero().squeeze(-1)

    def rows_of(self, value: Tensor, runs: Tensor) -> Tensor:  # (B, *rest), (n,) int64 -> (n, *rest)
        """The rows of some runs; ``value`` itself where these are all of them, in order."""
        return value if runs.numel() == len(self.seeds) else value[runs.to(value.device)]

    def with_rows(self, value: Tensor, runs: Tensor, rows: Tensor) -> Tensor:  # (B, *rest), (n,), (n, *rest)
        """Copy of ``value`` with other rows for some runs."""
        return rows if runs.numel() == len(self.seeds) else value.index_copy(0, runs.to(value.device), rows)

    # Inside.

    def _select(self, observation: Tensor, active: Tensor) -> Tensor:  # (B, o), (B,) bool -> (B, d)
        """The z of each run, selected anew where that is due."""
        self._require_finite(observation, active, "the observation")
        entries = self.entries
        due, active = self._due(), self._going(active)
        due = self._all_or_some(due if active is self.everyone else due & active)
        if due is self.nobody:
            return entries["z"]
        self.choosing(due)
        runs = self.runs_of(self._going(due))
        if runs.numel() == 0:
            return entries["z"]
        previous = entries["weights"]
        inputs = SelectionInputs(
            self.rows_of(observation, runs),
            self.rows_of(previous, runs),
            runs,
            self.rows_of(entries["step"].clone(), runs),
            self.rows_of(entries["episodes_begun"] - 1 + entries["opens_episode"], runs),
        )
        weights = self.propose(inputs)
        bad = _not_finite(weights)
        if bad is not None:
            self.stop(torch.zeros_like(due).index_put((runs,), bad.cpu()), "the chosen weights are not finite")
            runs, weights = runs[~bad.cpu()], weights[~bad]
        # Not in place: an earlier z may be lying in somebody's rollout.
        entries["weights"] = self.with_rows(previous, runs, weights)
        entries["z"] = self.with_rows(entries["z"], runs, self.bfm.policy_latent(weights.to(self.dtype)))
        chosen = self.everyone if runs.numel() == len(self.seeds) else torch.zeros_like(due).index_fill(0, runs, True)
        entries["steps_since_choice"].masked_fill_(chosen, 0)
        if any(entries["opens_episode"].tolist()):
            entries["episodes_begun"].add_(entries["opens_episode"] & chosen)
            entries["opens_episode"].masked_fill_(chosen, False)
        self.chosen(chosen, inputs)
        return entries["z"]

    def _due(self) -> Tensor:  # (B,) bool
        if self.selects_once:
            return self.entries["opens_episode"]
        since = self.entries["steps_since_choice"]
        # Acting twice in one step is one choice.
        due = since >= 1
        if self.schedule is not None:
            information = self.information() if self.schedule.needs_information else self.unknown
            due = due & self.schedule.due(ScheduleState(self.entries["step"], since, information)).cpu()
        return due | self.entries["opens_episode"]

    def _active(self, runs: Tensor | None) -> Tensor:  # (B,) bool; `everyone` itself where all are
        """Which runs a call is about, of those that go on."""
        self._require_a_run()
        if runs is None:
            return self._going(self.everyone)
        return self._going(self._all_or_some(self._mask(runs, "runs")))

    def _all_or_some(self, runs: Tensor) -> Tensor:  # (B,) bool on the CPU
        """``everyone`` or ``nobody`` themselves where a mask is of all runs or of none."""
        flags = runs.tolist()  # takes a tenth of a look at a tensor
        return self.everyone if all(flags) else runs if any(flags) else self.nobody

    def _going(self, active: Tensor) -> Tensor:  # (B,) bool
        """Those of the active runs that have not stopped; ``active`` itself as long as none has."""
        return active & ~self.entries["stopped"] if self.failures else active

    def _masked(self, value: Tensor, active: Tensor) -> Tensor:  # (B, *rest), (B,) bool
        """Zero in the rows that stand still: whatever is there must not reach the networks."""
        if active is self.everyone:
            return value
        return torch.where(active.to(self.device).reshape(-1, *[1] * (value.ndim - 1)), value, 0.0)

    def _require_finite(self, value: Tensor, active: Tensor, name: str) -> None:  # (B, *rest), (B,) bool
        """Stop the active runs in which a value is not finite."""
        bad = _not_finite(value)
        if bad is not None:
            self.stop(bad.cpu() & active, f"{name} is not finite")

    def _require_finite_step(self, step: Transitions, active: Tensor) -> None:  # batch (B,), (B,) bool
        # All together, for each look takes as long as a layer of a network.
        entries = torch.cat([step.observation, step.action, step.next_observation, step.reward.unsqueeze(-1)], -1)
        if _not_finite(entries) is not None:
            names = ("the observation", "the action", "the next observation", "the reward")
            for value, name in zip(step[:-1], names, strict=True):
                self._require_finite(value, active, name)

    def _rows(self, value: Tensor, name: str, size: int) -> Tensor:  # (B, size), or (size,) when B = 1
        value, runs = _as_tensor(value), len(self.seeds)
        if value.shape == (size,) and runs == 1:
            value = value.unsqueeze(0)
        if value.shape != (runs, size):
            entries = self.bfm.environment_spec.observation_names if name.endswith("observation") else ()
            words = f"; the model's observation is {', '.join(entries)}" if entries else ""
            raise ValueError(f"{name} must be ({runs}, {size}), got {tuple(value.shape)}{words}")
        return value.to(self.device, self.dtype)

    def _rewards(self, value: Tensor | float) -> Tensor:  # (B,) float64
        value = _as_tensor(value)
        if value.ndim == 0:
            value = value.unsqueeze(0)
        if value.shape != self.everyone.shape:
            value = one_per_row(value, len(self.seeds), "reward")
        return value.to(self.device, torch.float64)

    def _mask(self, value: Tensor, name: str) -> Tensor:  # (B,) bool on the CPU
        value = _as_tensor(value)
        if value.dtype != torch.bool:
            raise ValueError(f"{name} must be of bool, got {value.dtype}")
        if value.ndim == 0:
            value = value.unsqueeze(0)
        return one_per_row(value, len(self.seeds), name).cpu()

    def _require_start(self) -> None:
        if not hasattr(self, "seeds"):
            raise RuntimeError("call start(bfm, seeds) before anything else")

    def _require_a_run(self) -> None:
        if len(self.failures) == len(self.seeds):
            raise RunStoppedError("; ".join(self.failures[run] for run in sorted(self.failures)))


def _as_tensor(value: Tensor | float) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value)


def _not_finite(value: Tensor) -> Tensor | None:  # (B, ...) -> (B,) bool, or None where all is well
    # A sum costs a tenth of isfinite().all(), and is finite unless an entry is not (or the sum overflows).
    if math.isfinite(value.sum().item()):
        return None
    bad = ~value.isfinite().reshape(len(value), -1).all(dim=-1)
    return bad if bad.any() else None
