"""Base class of improvers that train an actor from a replay buffer of their own."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from tensordict import TensorDict
from torch import Tensor

from bfmkit.interfaces import Improver, InferredTask, ObservedStep
from bfmkit.utils.batched_adam import BatchedAdam
from bfmkit.utils.rng import generator, normal_noise

CHUNK = 2048
"""Transitions that the model looks at together when a buffer is gone through."""


class ReplayBatch(NamedTuple):
    """Replay batch: n transitions of each of B runs, drawn from its own buffer, s' being m ≤ ``n_steps`` steps after s.

    m is smaller where the episode ends before, a reward is missing, or nothing later is stored.
    """

    observation: Tensor  # (B, n, o)
    action: Tensor  # (B, n, a)
    base_action: Tensor  # (B, n, a), π_z(s) of the anchored z
    inferred_value: Tensor  # (B, n), min_e ψ_e(s, a, z)ᵀŵ
    reward: Tensor  # (B, n), Σ_k γ^k r_k over the m steps
    next_discount: Tensor  # (B, n), γ^m
    next_observation: Tensor  # (B, n, o)
    next_base_action: Tensor  # (B, n, a), π_z(s')
    next_inferred_value: Tensor  # (B, n), min_e ψ_e(s', π_z(s'), z)ᵀŵ


STATE = ("observation", "action", "base_action", "inferred_value")
NEXT_STATE = ("next_observation", "next_base_action", "next_inferred_value")
"""Entries of a buffer that a batch takes from a transition, and from the last of the m steps."""


class ActorImprover(Improver):
    r"""Base class of actors of B runs, trained up the gradient of an action value on each run's own transitions.

    maximise  mean_s [ q(s, π(s))/q̄ − penalty · ‖π(s) − π_z(s)‖² ],  q̄ = mean |ψ(s, a, z)ᵀŵ| over the buffer

    z and ŵ are the inferred ones of the moment of :meth:`anchor` and stay; steps from before count too. A subclass says
    what the actor is (:meth:`actor`), of which parameters, and what an action is worth (:meth:`value`). Buffers are
    rings in :attr:`state` and not TorchRL's, for each run owns one, draws from it as it would alone, and stands still
    where it is told to. Gradients are those of B separate actors, computed together.

    Args:
        batch_size: transitions an update.
        update_every: environment steps between two updates.
        learning_rate: of Adam.
        noise: standard deviation of what is added to actions while the improved policy acts.
        penalty: of actions away from the inferred policy's.
        capacity: transitions that a run keeps.

    Raises:
        ValueError: if a number is not positive, or ``noise`` or ``penalty`` negative.
    """

    needs_weights = True

    value_scale: float = 1.0
    """What ψᵀŵ is multiplied by, where values are meant with another discount than the model's."""

    gamma: float = 1.0
    """Discount of a step in :class:`ReplayBatch`; subclasses that look at rewards set it."""

    n_steps: int = 1
    """Steps from s to s' in :class:`ReplayBatch`."""

    def __init__(
        self,
        batch_size: int = 64,
        update_every: int = 2,
        learning_rate: float = 3e-4,
        noise: float = 0.1,
        penalty: float = 0.05,
        capacity: int = 50_000,
    ) -> None:
        self.batch_size, self.update_every, self.capacity = batch_size, update_every, capacity
        self.noise, self.penalty, self.adam = noise, penalty, BatchedAdam(learning_rate)

    @abstractmethod
    def actor_parameters(self) -> TensorDict:
        """Parameters of the actor, batch (B,), with which it is the inferred policy exactly."""

    @abstractmethod
    def actor(
        self,
        parameters: TensorDict,
        observation: Tensor,  # (B, n, o)
        base_action: Tensor,  # (B, n, a)
    ) -> Tensor:  # (B, n, a) in [-1, 1]
        """The improved policy's actions."""

    def value(self, observation: Tensor, action: Tensor) -> Tensor:  # (B, n, o), (B, n, a) -> (B, n)
        """Action value min_e ψ_e(s, a, z)ᵀŵ; subclasses may add to it."""
        return self.inferred_value(observation, action)

    def update_critic(self, batch: ReplayBatch, runs: Tensor) -> None:
        """One update of what :meth:`value` learns; nothing here."""

    def preferred(
        self,
        observation: Tensor,  # (B, n, o)
        action: Tensor,  # (B, n, a), the actor's
        base_action: Tensor,  # (B, n, a), π_z(s)
    ) -> Tensor:  # (B, n, a)
        """What is done of both; the actor's action unless overridden."""
        return action

    # What it does with them.

    def prepare(self) -> dict[str, Any]:
        runs, spec = len(self.seeds), self.bfm.environment_spec
        o, a = spec.observation_size, spec.action_size

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(runs, *shape, device=self.device)

        sizes = {"observation": (o,), "action": (a,), "next_observation": (o,), "reward": (),
                 "base_action": (a,), "next_base_action": (a,), "inferred_value": (),
                 "next_inferred_value": ()}  # fmt: skip
        buffer = {name: zeros(self.capacity, *shape) for name, shape in sizes.items()}
        buffer["continues"] = zeros(self.capacity).bool()
        counts = {name: torch.zeros(runs, dtype=torch.int64) for name in ("stored", "updates")}
        parameters = self.actor_parameters()
        return {
            **counts,
            "interrupted": torch.ones(runs, dtype=torch.bool),
            "buffer": TensorDict(buffer, [runs]),
            "z": zeros(self.bfm.dim),
            "weights": zeros(self.bfm.dim),
            "scale": zeros() + 1.0,
            "center": zeros(o),
            "spread": zeros(o) + 1.0,
            "actor": parameters,
            "actor_adam": self.adam.blank(parameters),
        }

    def begin_episode(self, inferred: InferredTask, runs: Tensor) -> None:
        self.state["interrupted"].logical_or_(runs)

    def anchor(self, inferred: InferredTask, runs: Tensor) -> None:
        state, weights = self.state, self.value_scale * inferred.weights()
        chosen = runs.to(self.device)
        latent = self.bfm.policy_latent(weights.to(state["z"].dtype))
        for name, value in (("z", latent), ("weights", weights.to(state["z"].dtype))):
            state[name] = torch.where(chosen.unsqueeze(-1), value, state[name])
        for run in runs.nonzero().squeeze(-1).tolist():
            self._look_back(run, min(int(state["stored"][run]), self.capacity))

    def _look_back(self, run: int, count: int) -> None:
        """Scales, and the inferred policy's actions, of what a run has stored."""
        if count == 0:
            return
        rows, z = self.state["buffer"][run], self.state["z"][run]
        for first in range(0, count, CHUNK):
            part = slice(first, min(first + CHUNK, count))
            steps = {name: rows[name][part] for name in ("observation", "action", "next_observation")}
            for name, value in self._judged(**steps, z=z, weights=self.state["weights"][run]).items():
                rows[name][part] = value
        self.state["scale"][run] = rows["inferred_value"][:count].abs().mean().clamp(min=1e-6)
        self.state["center"][run] = rows["observation"][:count].mean(0)
        self.state["spread"][run] = rows["observation"][:count].std(0, correction=0).clamp(min=1e-2)

    def act(self, observation: Tensor, z: Tensor, inferred: InferredTask) -> Tensor:  # (B, a)
        base, rows = self.bfm.act(observation, self.state["z"]).unsqueeze(1), observation.unsqueeze(1)
        action = self.preferred(rows, self.actor(self.state["actor"], rows, base), base).squeeze(1)
        if self.noise > 0:
            drawn = normal_noise(self.seeds, "improver action", inferred.step.tolist(), tuple(action.shape[1:]))
            action = action + self.noise * drawn.to(action)
        return action.clamp(-1, 1)

    def learn(self, step: ObservedStep, inferred: InferredTask, anchored: Tensor) -> None:
        self._store(step)
        state = self.state
        enough = state["stored"] >= self.batch_size
        due = step.moved & anchored & enough & (inferred.step % self.update_every == 0)
        if due.any():
            batch = self._drawn(inferred.step, due)
            self.update_critic(batch, due)
            self._update_actor(batch, due)
            state["updates"].add_(due)

    def _store(self, step: ObservedStep) -> None:
        interrupted = self.state["interrupted"]
        interrupted.logical_or_(step.moved & ~step.observed)
        rows = step.observed.nonzero().squeeze(-1)
        if len(rows) == 0:
            return
        device_rows, slots = rows.to(self.device), (self.state["stored"][rows] % self.capacity).to(self.device)
        buffer = self.state["buffer"]
        z, weights = self.state["z"][device_rows], self.state["weights"][device_rows]
        steps = {
            "observation": step.observation[device_rows],
            "action": step.action[device_rows],
            "next_observation": step.next_observation[device_rows],
        }
        judged = self._judged(**steps, z=z, weights=weights)
        continues = ~interrupted[rows].to(self.device)
        parts = steps | {"reward": step.reward[device_rows], "continues": continues} | judged
        for name, value in parts.items():
            buffer[name][device_rows, slots] = value.to(buffer[name].dtype)
        self.state["stored"].add_(step.observed)
        interrupted.logical_and_(~step.observed)

    def _judged(
        self, observation: Tensor, action: Tensor, next_observation: Tensor, z: Tensor, weights: Tensor
    ) -> dict[str, Tensor]:
        """What the inferred policy does before and after steps (n,), and what it and the actions are worth."""

        def value(state: Tensor, action: Tensor) -> Tensor:  # (n,)
            return (self.bfm.successor_features(state, z, action) @ weights.unsqueeze(-1)).squeeze(-1).amin(-1)

        following = self.bfm.act(next_observation, z)
        return {
            "base_action": self.bfm.act(observation, z),
            "next_base_action": following,
            "inferred_value": value(observation, action),
            "next_inferred_value": value(next_observation, following),
        }

    def _drawn(self, steps: Tensor, due: Tensor) -> ReplayBatch:
        """A batch of each run, drawn by its seed and step; the first transition again where none is due."""
        stored = self.state["stored"].clamp(max=self.capacity).tolist()
        indices = torch.zeros(len(self.seeds), self.batch_size, dtype=torch.int64)
        for run in due.nonzero().squeeze(-1).tolist():
            draw = generator(self.seeds[run], "improver batch", int(steps[run]))
            indices[run] = torch.from_numpy(draw.integers(stored[run], size=self.batch_size))
        return self._batch(indices.to(self.device))

    def _batch(self, first: Tensor) -> ReplayBatch:  # (B, n), places in the buffers
        buffer, rows = self.state["buffer"], torch.arange(len(self.seeds), device=self.device).unsqueeze(-1)
        newest = ((self.state["stored"] - 1) % self.capacity).unsqueeze(-1).to(self.device)
        last, reward = first, buffer["reward"][rows, first]
        discount, goes_on = torch.full_like(reward, self.gamma), torch.ones_like(first, dtype=torch.bool)
        for _ in range(self.n_steps - 1):
            following = (last + 1) % self.capacity
            goes_on = goes_on & (last != newest) & buffer["continues"][rows, following]
            reward = reward + torch.where(goes_on, discount * buffer["reward"][rows, following], 0.0)
            discount = torch.where(goes_on, discount * self.gamma, discount)
            last = torch.where(goes_on, following, last)
        parts = {name: buffer[name][rows, first] for name in STATE}
        later = {name: buffer[name][rows, last] for name in NEXT_STATE}
        return ReplayBatch(**parts, reward=reward, next_discount=discount, **later)

    def _update_actor(self, batch: ReplayBatch, runs: Tensor) -> None:
        parameters = self.state["actor"]
        with torch.enable_grad():
            leaves = parameters.apply(lambda value: value.detach().requires_grad_())
            action = self.actor(leaves, batch.observation, batch.base_action)
            value = self.value(batch.observation, action) / self.state["scale"].unsqueeze(-1)
            away = (action - batch.base_action).square().sum(-1)
            # A sum over runs: each one's gradient is that of its own mean.
            loss = (self.penalty * away - value).mean(-1).sum()
        self.descend(loss, leaves, parameters, self.state["actor_adam"], runs)

    def descend(
        self, loss: Tensor, leaves: TensorDict, parameters: TensorDict, memory: TensorDict, runs: Tensor
    ) -> None:
        """One step of Adam down the gradient; runs whose gradient is not finite stand still."""
        names = list(leaves.keys(True, True))
        slopes = torch.autograd.grad(loss, [leaves.get(name) for name in names])
        finite = torch.stack([slope.flatten(1).sum(1).isfinite() for slope in slopes]).all(0).cpu()
        gradient = parameters.empty()
        for name, slope in zip(names, slopes, strict=True):
            gradient.set(name, slope)
        self.adam.step(parameters, gradient, memory, runs & finite)

    def inferred_value(self, observation: Tensor, action: Tensor) -> Tensor:  # (B, n, o), (B, n, a) -> (B, n)
        """Action value min_e ψ_e(s, a, z)ᵀŵ of the anchored z and weights."""
        z = self.state["z"].unsqueeze(1).expand(*observation.shape[:2], -1)
        values = self.bfm.successor_features(observation, z, action) @ self.state["weights"][:, None, :, None]
        return values.squeeze(-1).amin(-1)

    def scaled(self, observation: Tensor) -> Tensor:  # (B, n, o)
        """Observations in units of those stored at the anchor, at most ten."""
        center, spread = self.state["center"].unsqueeze(1), self.state["spread"].unsqueeze(1)
        return ((observation - center) / spread).clamp(-10, 10)


def clamped(action: Tensor) -> Tensor:  # (*b, a)
    """Clamp to [-1, 1] that passes gradients (straight-through), so that an actor at its limits still learns."""
    return action + (action.clamp(-1, 1) - action).detach()
