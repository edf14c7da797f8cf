"""Residual critic and actor on top of the inferred ones."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn import functional

from bfmkit.inference.actor_improver import ActorImprover, ReplayBatch, clamped
from bfmkit.interfaces import Improver
from bfmkit.registry import register
from bfmkit.utils.checks import NonNegativeFloat, OpenShare, PositiveFloat, PositiveInt
from bfmkit.utils.rng import normal_noise


@register(Improver, "residual")
class ResidualImprover(ActorImprover):
    r"""A residual critic on ψᵀŵ and a residual actor on π_z, learnt from the run's own replay buffer (ReLA).

    Q_i(s, a) = κ min_e ψ_e(s, a, z)ᵀŵ + q̄ ρ_i(s, a),  i = 1, 2;    π(s) = clip(π_z(s) + reach · tanh δ(s, π_z(s)))
    a = argmax of min_j Q_j(s, ·) over {π(s), π_z(s)}
    ρ_i descends (Σ_{k<n} γᵏ r_k + γⁿ max_{a'} min_j Q'_j(s', a') − Q_i(s, a))²/q̄²,  a' in {π(s'), π_z(s')}
    δ ascends min_j Q_j(s, π(s))/q̄ − penalty ‖π − π_z‖²

    ρ and δ start at zero: the first Q is the model's and the first policy the inferred one. Q' is Q with a slow copy of
    ρ. The choice between both actions keeps the inferred one in states that a run seldom meets, as when it lies on the
    floor, where an actor that is trained on the others does worse. Several steps in a target bring rewards to the
    critic sooner; their actions are those of the time, which is not corrected for. Where γ is not the model's γ', κ =
    (1 − γ')/(1 − γ) brings ψᵀŵ to the new horizon, exactly for a constant reward. The loss is twin delayed DDPG's,
    written out for B runs with parameters of their own; TorchRL's loss modules hold one set of parameters each, and B
    of them spend most of an update outside the networks.

    Further arguments are those of :class:`~bfmkit.inference.actor_improver.ActorImprover`.

    Args:
        width: hidden units of ρ and δ, two layers each.
        reach: largest change of an action's entry.
        target_rate: how far the slow copy moves an update.
        actor_every: critic updates for one of the actor.
        n_steps: n, steps from s to s' in a target, fewer at an episode's end.
        discount: γ of an environment step; none: the model's. A model that was trained with actions held for several
            steps has one of several steps.

    Raises:
        ValueError: if a number is not positive, or ``noise`` or ``penalty`` negative.

    Reference:
        Sikchi et al., Fast Adaptation with Behavioral Foundation Models, 2025; Fujimoto et al., Addressing function
        approximation error in actor-critic methods, 2018; Silver et al., Residual policy learning, 2018; Zhang et al.,
        Policy expansion for bridging offline-to-online reinforcement learning, 2023; Barth-Maron et al., Distributed
        distributional deterministic policy gradients, 2018, for targets of several steps.

    Example:
        ``agent.improver={type: residual, discount: 0.99}``
    """

    def __init__(
        self,
        width: PositiveInt = 128,
        reach: PositiveFloat = 1.0,
        target_rate: PositiveFloat = 0.01,
        actor_every: PositiveInt = 2,
        n_steps: PositiveInt = 5,
        discount: OpenShare | None = None,
        batch_size: PositiveInt = 128,
        update_every: PositiveInt = 1,
        learning_rate: PositiveFloat = 3e-4,
        noise: NonNegativeFloat = 0.1,
        penalty: NonNegativeFloat = 0.0,
        capacity: PositiveInt = 50_000,
    ) -> None:
        super().__init__(batch_size, update_every, learning_rate, noise, penalty, capacity)
        self.width, self.reach, self.target_rate, self.actor_every = width, reach, target_rate, actor_every
        self.n_steps, self.discount = n_steps, discount

    def prepare(self) -> dict[str, Any]:
        spec = self.bfm.environment_spec
        self.gamma = self.bfm.discount if self.discount is None else self.discount
        self.value_scale = (1.0 - self.bfm.discount) / (1.0 - self.gamma)
        critic = self._network("critic", 2, spec.observation_size + spec.action_size, 1)
        return super().prepare() | {"critic": critic, "target": critic.clone(), "critic_adam": self.adam.blank(critic)}

    def actor_parameters(self) -> TensorDict:
        spec = self.bfm.environment_spec
        return self._network("actor", 1, spec.observation_size + spec.action_size, spec.action_size)

    def actor(self, parameters: TensorDict, observation: Tensor, base_action: Tensor) -> Tensor:
        inputs = torch.cat([self.scaled(observation), base_action], -1)
        return clamped(base_action + self.reach * torch.tanh(_forward(parameters, inputs).squeeze(1)))

    def value(self, observation: Tensor, action: Tensor) -> Tensor:  # (B, n)
        return self._value("critic", observation, action)

    def preferred(self, observation: Tensor, action: Tensor, base_action: Tensor) -> Tensor:  # (B, n, a)
        better = self.value(observation, action) > self.value(observation, base_action)
        return torch.where(better.unsqueeze(-1), action, base_action)

    def update_critic(self, batch: ReplayBatch, runs: Tensor) -> None:
        state = self.state
        following = self.actor(state["actor"], batch.next_observation, batch.next_base_action)
        scale = state["scale"].unsqueeze(-1)
        later = torch.maximum(
            self._value("target", batch.next_observation, following),
            batch.next_inferred_value
            + scale * self._residual("target", batch.next_observation, batch.next_base_action),
        )
        wanted = (batch.reward + batch.next_discount * later - batch.inferred_value) / scale  # (B, n)
        with torch.enable_grad():
            leaves = state["critic"].apply(lambda value: value.detach().requires_grad_())
            inputs = torch.cat([self.scaled(batch.observation), batch.action], -1)
            error = _forward(leaves, inputs).squeeze(-1) - wanted.unsqueeze(1)
            loss = error.square().mean(-1).sum()
        self.descend(loss, leaves, state["critic"], state["critic_adam"], runs)
        there = runs.nonzero().squeeze(-1).to(self.device)
        for name, value in state["critic"].items():
            slow = state["target", name]
            slow.index_copy_(0, there, slow[there].lerp(value[there], self.target_rate))

    def _update_actor(self, batch: ReplayBatch, runs: Tensor) -> None:
        due = runs & (self.state["updates"] % self.actor_every == 0)
        if due.any():
            super()._update_actor(batch, due)

    def _value(self, name: str, observation: Tensor, action: Tensor) -> Tensor:  # (B, n)
        residual = self._residual(name, observation, action)
        return self.inferred_value(observation, action) + self.state["scale"].unsqueeze(-1) * residual

    def _residual(self, name: str, observation: Tensor, action: Tensor) -> Tensor:  # (B, n)
        inputs = torch.cat([self.scaled(observation), action], -1)
        return _forward(self.state[name], inputs).squeeze(-1).amin(1)

    def _network(self, stream: str, members: int, inputs: int, outputs: int) -> TensorDict:  # batch (B,)
        """Two hidden layers and an output of zeros, for each run and member."""
        runs, width = len(self.seeds), self.width

        def drawn(layer: str, rows: int) -> Tensor:
            noise = normal_noise(self.seeds, f"{stream} {layer}", [0] * runs, (members, rows, width))
            return (noise / rows**0.5).float().to(self.device)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(runs, members, *shape, device=self.device)

        return TensorDict(
            {
                "first": drawn("first", inputs), "first_bias": zeros(1, width),
                "second": drawn("second", width), "second_bias": zeros(1, width),
                "out": zeros(width, outputs), "out_bias": zeros(1, outputs),
            },
            [runs],
        )  # fmt: skip


def _forward(parameters: TensorDict, inputs: Tensor) -> Tensor:  # (B, n, i) -> (B, members, n, outputs)
    width = parameters["first"].shape[-1]
    x = inputs.unsqueeze(1) @ parameters["first"] + parameters["first_bias"]
    x = torch.tanh(functional.layer_norm(x, (width,)))
    x = functional.layer_norm(x @ parameters["second"] + parameters["second_bias"], (width,))
    return functional.relu(x) @ parameters["out"] + parameters["out_bias"]
