"""Base class of objectives with an actor, z-conditioned critics and target networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn

from bfmkit.interfaces import BFM, DrawnRewards, EnvironmentSpec, LatentContext, LatentSampler, Objective
from bfmkit.training.actor_critic_losses import frozen_call, policy_value, with_clipped_noise
from bfmkit.training.ema import frozen_copy, move_towards
from bfmkit.utils.checks import one_per_row

GOAL_SHARE = 0.5
"""Share of goal states among z, where no sampler is named; that of the forward-backward papers."""


class ActorCriticModel(Protocol):
    """What these objectives need of a BFM, beside the interface."""

    environment_spec: EnvironmentSpec
    discount: float
    dim: int
    actor_network: nn.Module

    def scaled(self, observation: Tensor) -> Tensor: ...
    def policy_latent(self, weights: Tensor) -> Tensor: ...
    def fit_observation_scale(self, observations: Tensor) -> None: ...


class ActorCriticObjective(Objective):
    r"""Draws z, adds noise to actions, moves target networks, and trains the actor:

        loss_actor = −mean_i pessimistic_e ψ_e(s_i, z_i, ã_i)ᵀz_i,   ã ∼ π_z(s), ψ frozen

    z is drawn by a latent sampler. Actions are π's mean plus clipped Gaussian noise.

    Args:
        bfm: the model to train.
        networks: attributes that it must have.
        target_rate: how far target networks move an update.
        latent_sampler: the distribution of z; half uniform on the sphere, half goal states of the batch if not given.
        action_noise: standard deviation of the noise on π's actions.
        noise_clip: largest absolute noise.
        actor_pessimism: for the actor's value.
        actor_every: the actor is trained in every so many updates, the critic in all.

    Raises:
        ValueError: if ``target_rate`` is no share, noise negative, or ``actor_every`` not positive.
        TypeError: if ``bfm`` lacks a network.
    """

    def __init__(
        self,
        bfm: BFM,
        networks: Sequence[str],
        target_rate: float,
        latent_sampler: LatentSampler | None,
        action_noise: float,
        noise_clip: float,
        actor_pessimism: float,
        actor_every: int = 1,
    ) -> None:
        super().__init__()
        missing = [name for name in networks if not hasattr(bfm, name)]
        if missing:
            raise TypeError(f"{type(self).__name__} cannot train a {type(bfm).__name__}: it has no {missing[0]}")
        self.bfm = bfm
        self._target_rate, self._latent_sampler = target_rate, latent_sampler
        self._action_noise, self._noise_clip = action_noise, noise_clip
        self._actor_pessimism, self.period = actor_pessimism, actor_every
        self.start_update(0)

    def _follow(self, **networks: nn.Module) -> None:
        """Make a target network of each.

        Each is a child ``target_NAME_params``, and as an attribute of that name its parameters: so TorchRL's
        ``SoftUpdate`` and ``HardUpdate`` find them.
        """
        self._followed = networks
        for name, network in networks.items():
            self._modules[f"target_{name}_params"] = frozen_copy(network)

    @property
    def _targets(self) -> tuple[nn.Module, ...]:
        return tuple(self._modules[f"target_{name}_params"] for name in self._followed)  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_params"):
            source = self.__dict__.get("_followed", {}).get(name.removeprefix("target_").removesuffix("_params"))
            if source is not None:
                return TensorDict.from_module(self._modules[name] if name.startswith("target_") else source)
        return super().__getattr__(name)

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of all but the target networks, as TorchRL's losses have it."""
        targets = f"{prefix}.target_" if prefix else "target_"
        named = super().named_parameters(prefix, recurse)
        return ((name, parameter) for name, parameter in named if not name.startswith(targets))

    @abstractmethod
    def _latent_context(self, observation: Tensor, action: Tensor, following: Tensor) -> LatentContext:
        """What z are made of, from transitions (N,) with standardised observations."""

    def _seen(self, tensordict: TensorDictBase) -> tuple[Tensor, Tensor, Tensor]:  # (N, o), (N, o), (N, 1)
        """s, s' as the networks see them, and γ(1−t)."""
        model = cast(ActorCriticModel, self.bfm)
        s = model.scaled(self.entry(tensordict, "observation"))
        following = model.scaled(self.entry(tensordict, "observation", "next"))
        terminated = one_per_row(self.entry(tensordict, "terminated", "next"), len(s), "terminated").bool()
        return s, following, model.discount * (~terminated).to(s.dtype).unsqueeze(-1)

    @torch.no_grad()
    def _sample_z(self, context: LatentContext) -> Tensor:  # (N, d)
        """One z a row; without a sampler, half uniform on the sphere and half goals."""
        if self._latent_sampler is not None:
            return self._latent_sampler.sample(context)
        goals = context.goals
        sphere = context.policy_latent(torch.randn_like(goals))
        is_goal = torch.rand(len(goals), 1, device=goals.device) < GOAL_SHARE
        return torch.where(is_goal, goals, sphere)

    def _action(self, observation: Tensor, z: Tensor) -> Tensor:  # as the actor sees it, (N, d) -> (N, a)
        """π_z(s) with clipped noise."""
        mean = cast(ActorCriticModel, self.bfm).actor_network(observation, z)
        return with_clipped_noise(mean, self._action_noise, self._noise_clip)

    def _actor_losses(
        self, critic: nn.Module, observation: Tensor, z: Tensor, embedding: tuple[Tensor, ...] = ()
    ) -> dict[str, Tensor]:
        """``loss_actor``, and the mean value; nothing in updates that leave the actor as it is."""
        if not self._trains_actor:
            return {}
        frozen = (part.detach() for part in embedding)
        successor = frozen_call(critic, observation, z, self._action(observation, z), *frozen)
        value = policy_value(successor, z, self._actor_pessimism)
        return {"loss_actor": -value.mean(), "value": value.detach().mean()}

    def update_targets(self) -> None:
        """Move all target networks; the next update begins."""
        self._move_targets(self._target_rate)
        self.start_update(self._number + 1)

    def start_update(self, number: int) -> None:
        # Numbers of the processor, so that a recording on a GPU need not look at any of its own.
        self._number, self._trains_actor = number, number % self.period == 0

    def start_from(self, model: BFM) -> None:
        """Take over all weights; target networks start where the networks do."""
        self.bfm.load_state_dict(model.state_dict())
        self._move_targets(1.0)

    def _move_targets(self, rate: float) -> None:
        for target, network in zip(self._targets, self._followed.values(), strict=True):
            move_towards(target, network, rate)

    @torch.no_grad()
    def latents(self, transitions: TensorDictBase) -> Tensor:  # batch (n,) -> (n, d)
        """z of the latent sampler."""
        model = cast(ActorCriticModel, self.bfm)
        s = model.scaled(self.entry(transitions, "observation"))
        following = model.scaled(self.entry(transitions, "observation", "next"))
        return self._sample_z(self._latent_context(s, self.entry(transitions, "action"), following))

    def draw_rewards(self, transitions: TensorDictBase) -> DrawnRewards | None:  # batch (n,)
        """Those of the latent sampler."""
        if self._latent_sampler is None:
            return None
        observation = cast(ActorCriticModel, self.bfm).scaled(transitions["observation"])
        with torch.random.fork_rng(devices=[]):  # a picture changes no training
            return self._latent_sampler.draw_rewards(observation)

    def prepare(self, observations: Tensor) -> None:  # (n, o)
        """Fix the scaling of observations."""
        cast(ActorCriticModel, self.bfm).fit_observation_scale(observations)
