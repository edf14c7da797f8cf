"""What agents have in common: counting, choosing z when it is due, and stopping runs that went wrong."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn

from bfmkit.interfaces import BFM, Agent, RunStoppedError, Schedule, ScheduleState
from bfmkit.utils.checks import one_per_row
from bfmkit.utils.rng import normal_noise


class SelectionInputs(NamedTuple):
    """What a choice was made from, beside what an agent remembers."""

    observation: Tensor  # (n, o)
    previous: Tensor  # (n, d) float64, the weights before it
    runs: Tensor  # (n,) int64, which runs were asked, in the order of the rows


class BatchedAgent(Agent):
    """B runs that act with z = policy_latent(w), for weights w that a subclass proposes.

    A subclass says what it remembers (:meth:`prepare`), which weights it wants (:meth:`propose`) and what it makes of
    a reward (:meth:`learn`). Counters and masks live on the CPU, everything else on the model's device.

    Args:
        schedule: when to choose again within an episode; None chooses at every step.
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        self.schedule = schedule
        self.failures: dict[int, str] = {}

    # What a subclass adds.

    def prepare(self, labelled: TensorDictBase | None) -> dict[str, Tensor | TensorDict]:
        """Further entries of the state, batch (B,), for runs that start afresh."""
        return {}

    @abstractmethod
    def propose(
        self,
        observation: Tensor,  # (n, o)
        runs: Tensor | None,  # (n,) int64, indices of the runs that choose; None: all of them, in order
    ) -> Tensor:  # (n, d)
        """The weights to act for from now on."""

    def learn(
        self,
        observation: Tensor,  # (B, o)
        action: Tensor,  # (B, a)
        next_observation: Tensor,  # (B, o)
        reward: Tensor,  # (B,) float64
        observed: Tensor,  # (B,) bool on the CPU
        runs: Tensor | None,  # (B,) bool on the CPU; None: all
    ) -> Tensor | None:  # (B,) bool on the CPU
        """Take in a step of the runs; say which rewards were taken in (None: no reward at all)."""
        return None

    def choosing(self, runs: Tensor) -> None:
        """Called before the runs of a (B,) mask choose, for subclasses that have put learning off; may stop some."""

    def chosen(self, runs: Tensor, asked: SelectionInputs) -> None:
        """Called after the runs of a (B,) mask have chosen, all or some of those asked."""

    def information(self) -> Tensor:  # (B,) float64
        """Growth of the log determinant of the precision since the last choice; NaN for an agent without a belief."""
        return torch.full((len(self.seeds),), float("nan"), dtype=torch.float64)

    # The life of an agent.

    @torch.no_grad()
    def start(self, bfm: BFM, seeds: Sequence[int] = (0,), labelled: TensorDictBase | None = None) -> None:
        if len(seeds) == 0:
            raise ValueError("an agent needs at least one seed")
        if self.labelled_transitions > 0 and labelled is None:
            raise ValueError(f"{type(self).__name__} needs labelled transitions to start from")
        self.bfm = bfm
        self.seeds = tuple(int(seed) for seed in seeds)
        self.device, self.dtype = _place(bfm)
        self.failures = {}
        rows, dim = len(self.seeds), bfm.dim
        # What every step needs; nobody changes them.
        self.indices = torch.arange(rows)
        self.everyone, self.nobody = self.indices >= 0, self.indices < 0
        self.state = TensorDict(
            {
                "weights": torch.zeros(rows, dim, dtype=torch.float64, device=self.device),
                "z": torch.zeros(rows, dim, dtype=self.dtype, device=self.device),
                "step": torch.zeros(rows, dtype=torch.int64),
                "steps_since_choice": torch.zeros(rows, dtype=torch.int64),
                "labels": torch.zeros(rows, dtype=torch.int64),
                "stopped": torch.zeros(rows, dtype=torch.bool),
                "opens_episode": torch.ones(rows, dtype=torch.bool),
                "episodes_begun": torch.zeros(rows, dtype=torch.int64),
            },
            batch_size=[rows],
        )
        self.state.update(self.prepare(labelled))

    def begin_episode(self, runs: Tensor | None = None) -> None:
        self._require_start()
        opens = self.state.get("opens_episode")
        if runs is None:
            opens.fill_(True)
        else:
            opens.logical_or_(self._mask(runs, "runs"))

    @torch.no_grad()
    def choose(self, observation: Tensor, runs: Tensor | None = None) -> Tensor:  # (B, o) -> (B, d)
        self._require_start()
        rows = self._rows(observation, "observation", self.bfm.environment_spec.observation_size)
        z = self._choose(rows, self._moving(runs))
        return z if rows.ndim == _as_tensor(observation).ndim else z[0]

    @torch.no_grad()
    def act(self, observation: Tensor, runs: Tensor | None = None) -> Tensor:  # (B, o) -> (B, a)
        self._require_start()
        given = _as_tensor(observation)
        rows = self._rows(given, "observation", self.bfm.environment_spec.observation_size)
        moving = self._moving(runs)
        z = self._choose(rows, moving)
        action = self.bfm.act(self._blank(rows, self._still_moving(moving)), z)
        bad = _not_finite(action)
        if bad is not None:
            self._stop(bad, self._still_moving(moving), "the action is not finite")
        standing = self._still_moving(moving)
        if standing is not None:
            action = torch.where(standing.to(self.device).unsqueeze(-1), action, 0.0)
        action = action.to(given.device)
        return action if given.ndim == 2 else action[0]

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
        observation = self._rows(observation, "observation", sizes.observation_size)
        action = self._rows(action, "action", sizes.action_size)
        next_observation = self._rows(next_observation, "next observation", sizes.observation_size)
        reward = self._rewards(reward)
        arrived = self._mask(observed, "observed") if observed is not None else None
        moving = self._moving(runs)
        # A reward that has not arrived may be anything; it never gets further than this line.
        offered = reward if arrived is None else torch.where(arrived.to(self.device), reward, 0.0)
        # All together, for each look takes as long as a layer of a network.
        if _not_finite(torch.cat([observation, action, next_observation, offered.unsqueeze(-1)], -1)) is not None:
            for value, name in (
                (observation, "the observation"),
                (action, "the action"),
                (next_observation, "the next observation"),
                (offered, "the reward"),
            ):
                bad = _not_finite(value)
                if bad is not None:
                    self._stop(bad, self._still_moving(moving), f"{name} is not finite")
        still = self._still_moving(moving)
        if still is not None:
            observation, next_observation = self._blank(observation, still), self._blank(next_observation, still)
            action, offered = self._blank(action, still), torch.where(still.to(self.device), offered, 0.0)
        takes = self.everyone if arrived is None else arrived
        taken = self.learn(
            observation, action, next_observation, offered, takes if still is None else takes & still, still
        )
        moved = self._still_moving(moving)
        if moved is None:
            self.state.get("step").add_(1)
            self.state.get("steps_since_choice").add_(1)
        else:
            self.state.get("step").add_(moved)
            self.state.get("steps_since_choice").add_(moved)
        if taken is not None:
            self.state.get("labels").add_(taken)

    def stop(self, runs: Tensor, reason: str) -> None:
        """Stop those of ``runs`` (B,) that still go on; for subclasses, from :meth:`propose` or :meth:`learn`.

        Raises:
            RunStoppedError: when no run is left.
        """
        stopped, steps = self.state.get("stopped"), self.state.get("step")
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

    def noise(self, stream: str, shape: tuple[int, ...], runs: Tensor | None) -> Tensor:  # (n, *shape) float64
        """Standard normal noise of the runs at their present steps, on the model's device."""
        steps = self.state.get("step").tolist()
        indices = range(len(steps)) if runs is None else runs.tolist()
        drawn = normal_noise([self.seeds[run] for run in indices], stream, [steps[run] for run in indices], shape)
        return drawn.to(self.device)

    def episode(self) -> Tensor:  # (B,) int64
        """The number of each run's present episode, from 0."""
        return self.state.get("episodes_begun") - 1 + self.state.get("opens_episode").long()

    # Inside.

    def _choose(self, observation: Tensor, moving: Tensor | None) -> Tensor:  # (B, o) -> (B, d)
        bad = _not_finite(observation)
        if bad is not None:
            self._stop(bad, self._still_moving(moving), "the observation is not finite")
        state = self.state
        due = self._due()
        still = self._still_moving(moving)
        if still is not None:
            due = due & still
        everyone = bool(due.all())
        if not everyone and not due.any():
            return state.get("z")
        self.choosing(due)
        if self.failures:
            due = due & ~state.get("stopped")
            everyone = bool(due.all())
        previous = state.get("weights")
        if everyone:
            weights, indices = self.propose(observation, None), self.indices
            bad = _not_finite(weights)
            if bad is None:
                state.set("weights", weights)
                state.set("z", self.bfm.policy_latent(weights.to(self.dtype)))
                self._chosen(due, SelectionInputs(observation, previous, indices))
                return state.get("z")
            asked = SelectionInputs(observation, previous, indices)
        else:
            indices = due.nonzero().squeeze(-1)
            if len(indices) == 0:
                return state.get("z")
            rows = indices.to(self.device)
            asked = SelectionInputs(observation[rows], previous[rows], indices)
            weights = self.propose(asked.observation, indices)
            bad = _not_finite(weights)
        if bad is not None:
            self._stop(
                torch.zeros_like(due).index_put((indices,), bad.cpu()), None, "the chosen weights are not finite"
            )
            indices, weights = indices[~bad.cpu()], weights[~bad]
        rows = indices.to(self.device)
        # Copies: an earlier z may be lying in somebody's rollout.
        state.set("weights", previous.index_copy(0, rows, weights))
        state.set("z", state.get("z").index_copy(0, rows, self.bfm.policy_latent(weights.to(self.dtype))))
        self._chosen(torch.zeros_like(due).index_fill(0, indices, True), asked)
        return state.get("z")

    def _due(self) -> Tensor:  # (B,) bool
        since = self.state.get("steps_since_choice")
        if self.schedule is None:
            due = since >= 1
        else:
            due = self.schedule.due(ScheduleState(self.state.get("step"), since, self.information())).cpu()
            # Acting twice in one step is one choice.
            due = due & (since >= 1)
        return due | self.state.get("opens_episode")

    def _chosen(self, runs: Tensor, asked: SelectionInputs) -> None:
        self.state.get("steps_since_choice").masked_fill_(runs, 0)
        opens = self.state.get("opens_episode")
        self.state.get("episodes_begun").add_(opens & runs)
        opens.masked_fill_(runs, False)
        self.chosen(runs, asked)

    def _moving(self, runs: Tensor | None) -> Tensor | None:  # (B,) bool; None: all
        self._require_a_run()
        return None if runs is None else self._mask(runs, "runs")

    def _still_moving(self, moving: Tensor | None) -> Tensor | None:  # (B,) bool; None: all
        if not self.failures:
            return None if moving is None or bool(moving.all()) else moving
        going = ~self.state.get("stopped")
        return going if moving is None else moving & going

    def _stop(self, bad: Tensor, moving: Tensor | None, reason: str) -> None:
        bad = bad.cpu()
        self.stop(bad if moving is None else bad & moving, reason)

    def _blank(self, value: Tensor, still: Tensor | None) -> Tensor:
        """Zero in the rows that stand still: whatever is there must not reach the networks."""
        return value if still is None else torch.where(still.to(self.device).unsqueeze(-1), value, 0.0)

    def _rows(self, value: Tensor, name: str, size: int) -> Tensor:  # (B, size), or (size,) when B = 1
        value, runs = _as_tensor(value), len(self.seeds)
        if value.shape == (size,) and runs == 1:
            value = value.unsqueeze(0)
        if value.shape != (runs, size):
            raise ValueError(f"{name} must be ({runs}, {size}), got {tuple(value.shape)}")
        return value.to(self.device, self.dtype)

    def _rewards(self, value: Tensor | float) -> Tensor:  # (B,) float64
        value = _as_tensor(value)
        if value.ndim == 0:
            value = value.unsqueeze(0)
        return one_per_row(value, len(self.seeds), "reward").to(self.device, torch.float64)

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


def _place(bfm: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a model computes, and in which precision; the CPU in float32 for one without tensors."""
    for tensor in (*bfm.parameters(), *bfm.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32
