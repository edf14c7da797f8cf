"""Exploration by random network distillation."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn
from torch.nn import functional
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs.transforms.rnd import RunningMeanStd
from torchrl.modules import MLP

from bfmkit.interfaces import EnvironmentSpec, Explorer, StepResult
from bfmkit.registry import register
from bfmkit.training.ema import frozen_copy, move_towards
from bfmkit.utils.checks import NonNegativeFloat, NonNegativeInt, OpenShare, PositiveFloat, PositiveInt, Share


@register(Explorer, "random_network_distillation")
class RandomNetworkDistillation(Explorer):
    """Random network distillation: actions towards states where a predictor still misses a random network.

    r(a, s') = ‖f(s') − g(s')‖² / σ − effort · mean(a²), g a random network, f one trained to agree with it on the
    states seen, σ the running deviation of the first term. A deterministic actor-critic (DDPG) maximises it; rewards
    are computed when a batch is drawn, so old transitions carry today's novelty. LayerNorm in actor and
    critic, and an f that learns slowly, make it explore at few updates a transition; a walker explored with neither lay
    down and thrashed.

    The three losses are written out: for networks this small, TorchRL's ``DDPGLoss`` and ``RNDLoss`` spend much of an
    update outside the networks. In 20 s of one core on the walker they made 880 to 932 updates and saw 494 to 593 cells
    of height, uprightness and velocity in three seeds, these 1,208 to 1,242 and 644 to 691; the largest rewards were
    alike (``tests/benchmarks/exploration.py``).

    Args:
        spec: sizes of the environment.
        width: hidden units of every layer.
        embedding_dim: outputs of the random network.
        batch_size: transitions an update.
        updates: gradient updates for each step of the batch of environments.
        learning_rate: of actor and critic (Adam).
        distillation_rate: learning rate of f; slower, so that novelty lasts long enough to be gone after.
        discount: γ of the exploration policy.
        target_rate: how far the target critic moves an update.
        noise: standard deviation of the Gaussian noise on actions.
        action_penalty: price of large actions, in deviations of the novelty.
        warmup: transitions of uniformly random actions at the start.
        capacity: transitions kept for updates.
        observation_clip: largest standardised observation. Bounds what a simulation's rare kicks do; it must be
            larger than the whole space where exploration starts in a small part of it.
        frequency: factor on the inputs of f and g. With few observations f agrees with g everywhere at once unless g
            varies faster than the standardised observations do.

    Raises:
        ValueError: if a size, a rate or ``updates`` is not positive, or ``discount`` lies outside (0, 1).

    Example:
        ``explorer: {type: random_network_distillation, width: 256}``

    Reference:
        Burda et al., Exploration by random network distillation, 2018; for control, Laskin et al., URLB, 2021.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        width: PositiveInt = 256,
        embedding_dim: PositiveInt = 64,
        batch_size: PositiveInt = 256,
        updates: PositiveInt = 2,
        learning_rate: PositiveFloat = 3e-4,
        distillation_rate: PositiveFloat = 1e-4,
        discount: OpenShare = 0.99,
        target_rate: Share = 0.01,
        noise: NonNegativeFloat = 0.2,
        action_penalty: NonNegativeFloat = 0.3,
        warmup: NonNegativeInt = 4000,
        capacity: PositiveInt = 1_000_000,
        observation_clip: PositiveFloat = 5.0,
        frequency: PositiveFloat = 1.0,
    ) -> None:
        o, a = spec.observation_size, spec.action_size
        self._action_size, self._updates, self._discount, self._target_rate = a, updates, discount, target_rate
        self._clip, self._frequency = observation_clip, frequency
        self._noise, self._effort, self._warmup, self._capacity = noise, action_penalty, warmup, capacity
        normalised = {"norm_class": nn.LayerNorm, "norm_kwargs": {"normalized_shape": width}}
        shape: dict[str, Any] = {"num_cells": [width, width], "activation_class": nn.ReLU}
        self._actor = MLP(in_features=o, out_features=a, **shape, **normalised)
        self._critic = MLP(in_features=o + a, out_features=1, **shape, **normalised)
        self._imitator = MLP(in_features=o, out_features=embedding_dim, **shape)
        self._random = MLP(in_features=o, out_features=embedding_dim, **shape).requires_grad_(False)
        self._target = frozen_copy(self._critic)
        self._scale, self._novelty_scale = RunningMeanStd((o,)), RunningMeanStd(())
        self._modules = nn.ModuleDict(
            {
                "actor": self._actor,
                "critic": self._critic,
                "predictor": self._imitator,
                "random": self._random,
                "target": self._target,
                "scale": self._scale,
                "novelty_scale": self._novelty_scale,
            }
        )
        control = [*self._actor.parameters(), *self._critic.parameters()]
        self._optimizer = torch.optim.Adam(
            [
                {"params": control, "lr": learning_rate},
                {"params": list(self._imitator.parameters()), "lr": distillation_rate},
            ],
            fused=True,
        )
        self._replay = TensorDictReplayBuffer(storage=LazyTensorStorage(capacity), batch_size=batch_size)
        self._seen = 0
        self._log: dict[str, list[float]] = {}

    @torch.no_grad()
    def act(self, observation: Tensor) -> Tensor:  # (B, o) -> (B, a)
        """The actor's action with noise; uniform during warm-up."""
        shape = (len(observation), self._action_size)
        if self._seen < self._warmup:
            return torch.rand(shape) * 2 - 1
        return (self._policy(self._scaled(observation)) + self._noise * torch.randn(shape)).clamp_(-1, 1)

    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None:
        """Store the step, then make this step's updates."""
        self._scale.update(observation)
        self._seen += len(observation)
        following = {"observation": outcome.observation, "terminated": outcome.terminated}
        self.remember(TensorDict({"observation": observation, "action": action, "next": following}, [len(observation)]))
        if self._seen >= self._warmup:
            for _ in range(self._updates):
                self._update()

    def remember(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Put transitions into the replay buffer."""
        kept = transitions.select("observation", "action", ("next", "observation"), ("next", "terminated"))
        self._replay.extend(kept[-self._capacity :])

    def _update(self) -> None:
        batch = self._replay.sample()
        observation, following = self._scaled(batch["observation"]), self._scaled(batch["next", "observation"])
        action, going_on = batch["action"], (~batch["next", "terminated"]).float()

        looked_at = self._frequency * following
        error = (self._imitator(looked_at) - self._random(looked_at)).square().mean(-1)
        with torch.no_grad():
            self._novelty_scale.update(error)
            novelty = error / self._novelty_scale.var.sqrt().clamp(min=1e-8).float()
            reward = novelty - self._effort * action.square().mean(-1)
            next_value = self._value(self._target, following, self._policy(following))
            target = reward + self._discount * going_on * next_value
        critic_loss = functional.mse_loss(self._value(self._critic, observation, action), target)
        # The actor's loss runs through the critic without asking for gradients of its weights.
        self._critic.requires_grad_(False)
        value = self._value(self._critic, observation, self._policy(observation)).mean()
        self._critic.requires_grad_(True)

        self._optimizer.zero_grad()
        (critic_loss - value + error.mean()).backward()
        self._optimizer.step()
        move_towards(self._target, self._critic, self._target_rate)
        for name, number in (("novelty", error.mean()), ("value", value)):
            self._log.setdefault(name, []).append(number.item())

    def _policy(self, scaled: Tensor) -> Tensor:
        return torch.tanh(self._actor(scaled))

    def _value(self, network: nn.Module, scaled: Tensor, action: Tensor) -> Tensor:
        return network(torch.cat([scaled, action], -1)).squeeze(-1)

    def _scaled(self, observation: Tensor) -> Tensor:
        return self._scale.normalize(observation).clamp(-self._clip, self._clip).float()

    def metrics(self) -> dict[str, float]:
        """Mean novelty (not divided) of the batches and the actor's value, since the last call."""
        means = {name: sum(values) / len(values) for name, values in self._log.items()}
        self._log = {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Networks, scales and optimiser; the replay buffer is filled again by :meth:`remember`."""
        return {"networks": self._modules.state_dict(), "optimizer": self._optimizer.state_dict(), "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._modules.load_state_dict(state["networks"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._seen = state["seen"]
