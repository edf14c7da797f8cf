"""Agent that goes on learning from the policy that was inferred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from bfmkit.inference.fallback import Fallback
from bfmkit.interfaces import BFM, Agent, Improver, InferredTask, ObservedStep
from bfmkit.interfaces.agent import restored
from bfmkit.registry import register


@register(Agent, "fine_tuning")
class FineTuningAgent(Agent):
    r"""Acts as another agent infers, or as an improver makes of it, whichever has earned more lately.

    each step:  z ← base (infers the task);  a ← improver(s, z) in improved episodes, π_z(s) in the others;
                base and improver learn from (s, a, s', r)

    The base infers from every step, whoever acts, and a query rule is its own: the improver and the fallback see every
    observed reward. So its belief and records are those of a plain agent that took the same steps: ``z``, ``weights``
    and ``belief`` in :attr:`state` are the base's, and a record replays them. A record does not hold what the improver
    learnt, which follows from all steps of the run; it is in the job's checkpoint.

    An action of the improver that is not finite is replaced by the inferred one. Whether an episode ended because the
    body failed is not told to agents, so improvers look beyond every end; rewards of dm_control have no such ends.

    Args:
        base: the agent that infers; its policy is the fallback.
        improver: what changes the policy.
        fallback: when to return to the inferred policy; null: never, the improver acts from the first step.

    Raises:
        ValueError: if the base has a teacher, who alone would see the rewards.

    Reference:
        Sikchi et al., Fast Adaptation with Behavioral Foundation Models, 2025, which starts from labelled data.

    Example:
        ``agent={type: fine_tuning, base: {type: oracle}, improver: {type: gpi}}``
    """

    def __init__(self, base: Agent, improver: Improver, fallback: Fallback | None = Fallback()) -> None:  # noqa: B008
        if getattr(base, "teacher", None) is not None:
            raise ValueError("an improver learns from the rewards that a teacher alone sees: give a base without one")
        self.base, self.improver, self.fallback = base, improver, fallback
        self.labelled_transitions, self.label_every = base.labelled_transitions, base.label_every
        self.label_memory = base.label_memory
        self.failures: dict[int, str] = {}
        if hasattr(base, "posterior"):
            self.posterior = base.posterior

    @property
    def state(self) -> TensorDict:  # type: ignore[override]
        """The base's entries, then ``improver`` and ``fine_tuning``; the tensors themselves, no copies."""
        parts = {"improver": self.improver.state, "fine_tuning": self._state}
        return TensorDict({**dict(self.base.state.items()), **parts}, self.base.state.batch_size)

    @property
    def belief(self) -> TensorDict:
        """The base's belief."""
        return self.base.belief

    @property
    def acquisition(self) -> Any:
        """The base's acquisition."""
        return self.base.acquisition  # type: ignore[attr-defined]

    @torch.no_grad()
    def start(self, bfm: BFM, seeds: Sequence[int] = (0,), labelled: TensorDictBase | None = None) -> None:
        self.base.label_log, self.base.label_memory = self.label_log, self.label_memory
        self.base.start(bfm, seeds, labelled)
        self.bfm, self.seeds, self.failures = bfm, self.base.seeds, self.base.failures
        self.device = self.base.state["z"].device or torch.device("cpu")
        runs = len(self.seeds)
        self.improver.start(bfm, self.seeds, self.device)
        flags = {name: torch.zeros(runs, dtype=torch.bool) for name in ("anchored", "acted")}
        self._state = TensorDict({**flags, "opens": torch.ones(runs, dtype=torch.bool)}, [runs])
        if self.fallback is not None:
            self._state["fallback"] = self.fallback.blank(runs, bfm.environment_spec.episode_steps)

    def begin_episode(self, runs: Tensor | None = None) -> None:
        self.base.begin_episode(runs)
        self._state["opens"].logical_or_(self._mask(runs))

    @torch.no_grad()
    def choose(self, observation: Tensor, runs: Tensor | None = None) -> Tensor:  # (B, o) -> (B, d)
        inferred = self.base.choose(observation, runs)
        improved = self._improved(runs)
        self._state["acted"].copy_(torch.where(self._moving(runs), improved, self._state["acted"]))
        if not improved.any():
            return inferred
        z = self.improver.choose(self._rows(observation), self._inferred(), improved)
        return self._where(improved, z, inferred.reshape(z.shape)).reshape(inferred.shape)

    @torch.no_grad()
    def act(self, observation: Tensor, runs: Tensor | None = None) -> Tensor:  # (B, o) -> (B, a)
        inferred = self.base.act(observation, runs)
        improved = self._improved(runs)
        self._state["acted"].copy_(torch.where(self._moving(runs), improved, self._state["acted"]))
        if not improved.any():
            return inferred
        rows, task = self._blank(observation, improved), self._inferred()
        action = self.improver.act(rows, self.improver.choose(rows, task, improved), task)
        usable = improved & action.isfinite().all(-1).cpu()
        self._state["acted"].logical_and_(usable | ~improved)
        action = action.to(inferred.device, inferred.dtype)
        return self._where(usable, action, inferred.reshape(action.shape)).reshape(inferred.shape)

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
        before = self.base.state["step"].clone()
        inferred = self._inferred()
        self.base.observe(observation, action, next_observation, reward, observed, runs)
        # A run that was stopped by this step has learnt nothing from it, nor does the improver.
        moved = self.base.state["step"] > before
        rewarded = moved & self._mask(observed)
        device_mask = rewarded.to(self.device)
        rewards = torch.where(device_mask, torch.as_tensor(reward).reshape(-1).to(self.device, torch.float64), 0.0)
        s, a, following = (self._blank(rows, moved) for rows in (observation, action, next_observation))
        told = torch.where(device_mask, self._in_units_of_weights(rewards), 0.0)
        step = ObservedStep(s, a, following, told, moved, rewarded, self._state["acted"] & moved)
        self.improver.learn(step, inferred, self._state["anchored"])
        if self.fallback is not None:
            self.fallback.count(self._state["fallback"], rewards.cpu(), moved)

    def label(self, reward: Tensor | float, *args: Any, **options: Any) -> None:
        """The base's: the improver learns from observed rewards alone."""
        self.base.label(reward, *args, **options)

    def stage(self, episodes: int) -> str | None:
        return self.base.stage(episodes)

    def policies(self) -> list[str]:
        """``inferred``, ``improved``, or ``taken back`` where the inferred one took over within the episode."""
        improved, taken_back = self._state["anchored"], torch.zeros(len(self.seeds), dtype=torch.bool)
        if self.fallback is not None:
            improved, taken_back = self._state["fallback", "improves"], self._state["fallback", "taken_back"]
        words = torch.where(taken_back, 2, improved.long()).tolist()
        return [("inferred", "improved", "taken back")[word] for word in words]

    def flush(self) -> None:
        self.base.flush()

    def diagnostics(self, observation: Tensor) -> dict[str, Tensor]:  # (B, o) -> (B, ...) each
        return self.base.diagnostics(observation)

    @property
    def control_timestep(self) -> float | None:  # type: ignore[override]
        """The base's."""
        return self.base.control_timestep

    @control_timestep.setter
    def control_timestep(self, seconds: float | None) -> None:
        self.base.control_timestep = seconds

    @property
    def acts_by_steps(self) -> bool:  # type: ignore[override]
        """Whether the base does."""
        return self.base.acts_by_steps

    @property
    def acts_by_latent(self) -> bool:  # type: ignore[override]
        """Whether the improver changes z alone."""
        return type(self.improver).act is Improver.act and self.base.acts_by_latent

    def state_dict(self) -> dict[str, Any]:
        own = {"improver": self.improver.state.clone().to_dict(), "fine_tuning": self._state.clone().to_dict()}
        return self.base.state_dict() | own

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = {"improver": self.improver.state, "fine_tuning": self._state}
        if not own.keys() <= state.keys():
            raise ValueError("the saved state is that of another kind of agent")
        if self.fallback is not None and "fallback" in state["fine_tuning"]:
            self.fallback.make_room(self._state["fallback"], len(state["fine_tuning"]["fallback"]["curve"][0]))
        parts = {name: restored(now, state[name]) for name, now in own.items()}
        self.base.load_state_dict({name: value for name, value in state.items() if name not in own})
        self.improver.state, self._state = parts["improver"], parts["fine_tuning"]
        self.failures = self.base.failures

    # Inside.

    def _improved(self, runs: Tensor | None) -> Tensor:  # (B,) bool
        """Rows in which the improver acts now; decides at the start of an episode."""
        moving = self._moving(runs)
        opening = self._state["opens"] & moving
        if opening.any():
            self._open(opening)
        acts = self._state["anchored"]
        if self.fallback is not None:
            acts = acts & self._state["fallback", "improves"]
        return acts & moving

    def _open(self, runs: Tensor) -> None:  # (B,) bool
        ready = runs
        if self.fallback is not None:
            self.fallback.begin_episode(self._state["fallback"], runs)
            ready = runs & self.fallback.is_ready(self._state["fallback"])
        fresh = ready & ~self._state["anchored"]
        if self.improver.needs_weights:
            fresh = fresh & (self._weights() != 0).any(-1).cpu()
        if fresh.any():
            self.improver.anchor(self._inferred(), fresh)
            self._state["anchored"].logical_or_(fresh)
        if self.fallback is not None:
            self._state["fallback", "improves"].logical_and_(self._state["anchored"])
        self.improver.begin_episode(self._inferred(), runs)
        self._state["opens"].masked_fill_(runs, False)

    def _inferred(self) -> InferredTask:
        return InferredTask(self.base.state["z"], self.base.state["step"].clone(), self._weights)

    def _weights(self) -> Tensor:  # (B, d) float64
        if "belief" in self.base.state.keys():
            return self.posterior.mean(self.belief)
        return self.base.state["weights"]

    def _in_units_of_weights(self, reward: Tensor) -> Tensor:  # (B,) float64
        """Rewards as ψᵀŵ counts them, where a posterior standardizes them."""
        if "belief" not in self.base.state.keys() or not self.posterior.is_standardized:
            return reward
        offset, scale = self.posterior.reward_units(self.belief)
        return (reward - offset) / scale

    def _moving(self, runs: Tensor | None) -> Tensor:  # (B,) bool
        return self._mask(runs) & ~self.base.state["stopped"]

    def _mask(self, runs: Tensor | None) -> Tensor:  # (B,) bool on the CPU
        if runs is None:
            return torch.ones(len(self.seeds), dtype=torch.bool)
        return torch.as_tensor(runs).reshape(-1).cpu()

    def _rows(self, value: Tensor) -> Tensor:  # (B, n), or (n,) when B = 1
        return torch.as_tensor(value).reshape(len(self.seeds), -1).to(self.device, self.base.state["z"].dtype)

    def _blank(self, value: Tensor, runs: Tensor) -> Tensor:  # (B, n), (B,) bool
        """Zero in the rows outside a mask: whatever is there must not reach the networks."""
        rows = self._rows(value)
        return self._where(runs, rows, torch.zeros_like(rows))

    def _where(self, mask: Tensor, one: Tensor, other: Tensor) -> Tensor:  # (B,), (B, n), (B, n)
        return torch.where(mask.to(one.device).unsqueeze(-1), one, other)
