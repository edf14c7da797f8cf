"""Agent as a transform of a TorchRL environment."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torchrl.data import Bounded, Composite, TensorSpec, Unbounded
from torchrl.envs import EnvBase
from torchrl.envs.transforms import Transform

from bfmkit.interfaces import Agent


class TaskInferenceTransform(Transform):
    """TorchRL transform in which an agent learns, and which writes the ``z`` to act with beside each observation.

    Use it with a policy that reads ``observation`` and ``z``; a BFM is one::

        agent.start(bfm, seeds)
        environment = TransformedEnv(environment, TaskInferenceTransform(agent))
        environment.rollout(1000, bfm)

    The agent learns in the environment's step, where reward and next observation are known, so it learns in rollouts
    and collectors too. It belongs to one environment: one that runs in another process has its own copy. Nobody says
    here when an episode is over; before looking at the agent's state call its ``flush()``.

    It is attached where the environment has an entry ``observation`` and actions in [-1, 1]: after ``CatTensors`` for
    an environment with several entries, after ``ActionScaling`` for one with other bounds. Observations of any float
    type are taken.

    Args:
        agent: started, with as many seeds as the environment has rows.
        observe_reward: whether the agent is told the environment's rewards; without them it learns from :meth:`label`
            alone.

    Raises:
        ValueError: when it is attached to an environment that the agent's model cannot act in; the message says which
            transform is missing.
        RunStoppedError: from a step, when no run of the agent is left.
    """

    def __init__(self, agent: Agent, observe_reward: bool = True) -> None:
        super().__init__(in_keys=[], out_keys=["z"])
        self.agent = agent
        self.observe_reward = observe_reward
        self._action: Tensor = torch.empty(0)

    def set_container(self, container: Transform | EnvBase) -> None:
        """Attach, where the environment fits the agent's model."""
        super().set_container(container)
        environment = self.parent
        if environment is not None:
            require_fitting(environment, self.agent)

    def label(self, reward: Tensor | float, *args: Any, **options: Any) -> None:
        """Update from a late reward: :meth:`bfmkit.interfaces.Agent.label`, with all its arguments."""
        self.agent.label(reward, *args, **options)

    def _reset(self, tensordict: TensorDictBase, tensordict_reset: TensorDictBase) -> TensorDictBase:
        runs = None
        if tensordict is not None and "_reset" in tensordict.keys():
            runs = self._rows(tensordict.get("_reset"))
        self.agent.begin_episode(runs)
        return tensordict_reset.set("z", self._choose(tensordict_reset, runs))

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        observation, action = self._matrix(tensordict.get("observation")), self._matrix(self._action)
        stepped = tensordict.get("_step", None)
        runs = None if stepped is None else self._rows(stepped)
        reward = next_tensordict.get("reward").reshape(-1)
        observed = None if self.observe_reward else torch.zeros(len(reward), dtype=torch.bool)
        following = self._matrix(next_tensordict.get("observation"))
        self.agent.observe(observation, action, following, reward, observed, runs)
        # After an episode's last step there is nothing left to choose for: the next reset asks.
        going = ~self._rows(next_tensordict.get("done"))
        return next_tensordict.set("z", self._choose(next_tensordict, going if runs is None else going & runs))

    def _inv_call(self, tensordict: TensorDictBase) -> TensorDictBase:
        # As the policy gave it: transforms that stand before this one change it on its way to the environment.
        self._action = tensordict.get("action")
        return tensordict

    def transform_observation_spec(self, observation_spec: TensorSpec) -> TensorSpec:
        """Add ``z``."""
        if not isinstance(observation_spec, Composite):
            raise ValueError(f"expected a composite of observations, got {type(observation_spec).__name__}")
        z = self.agent.state["z"]
        shape = (*observation_spec.shape, z.shape[-1])
        observation_spec["z"] = Unbounded(shape, dtype=z.dtype, device=observation_spec.device)
        return observation_spec

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Raise: a transform of stored data has no agent that acted.

        Raises:
            RuntimeError: always; what an agent has learnt depends on the order of steps.
        """
        raise RuntimeError("TaskInferenceTransform works in an environment; it cannot be applied to recorded data")

    def _choose(self, tensordict: TensorDictBase, runs: Tensor | None) -> Tensor:
        observation = tensordict.get("observation")
        # A copy, for the agent goes on with its own.
        z = self.agent.choose(self._matrix(observation), runs).clone()
        return z.to(observation.device).reshape(*observation.shape[:-1], z.shape[-1])

    def _matrix(self, value: Tensor) -> Tensor:  # (*batch, n) -> (B, n)
        return value.reshape(-1, value.shape[-1])

    def _rows(self, flags: Tensor) -> Tensor:  # (*batch, 1) bool -> (B,)
        return flags.reshape(-1).to(torch.bool)


def require_fitting(environment: EnvBase, agent: Agent) -> None:
    """Raise unless the policies of a started agent can act in an environment.

    Raises:
        ValueError: naming what does not fit, and the transform that mends it.
    """
    if not agent.acts_by_latent:
        raise ValueError(
            f"{agent!r} changes actions, and a policy that reads z never asks it: call its act and observe instead"
        )
    spec = agent.bfm.environment_spec
    entries = environment.observation_spec
    names = [name for name in entries.keys() if name != "z"]
    if "observation" not in names:
        raise ValueError(
            f"the environment has no entry observation ({', '.join(sorted(names))}); "
            f'CatTensors(in_keys=[...], out_key="observation") makes one'
        )
    size, rows = entries["observation"].shape[-1], environment.batch_size.numel()
    if size != spec.observation_size:
        raise ValueError(
            f"the model was made for {spec.domain} with observations of {spec.observation_size} numbers; "
            f"this environment's have {size}"
        )
    if rows != len(agent.seeds):
        raise ValueError(f"an environment of {rows} rows needs an agent of as many seeds, got {len(agent.seeds)}")
    action = environment.action_spec
    if not isinstance(action, Bounded | Unbounded) or not action.dtype.is_floating_point:
        raise ValueError(
            f"the environment's actions are choices ({type(action).__name__}), the model's are numbers; an environment "
            "of bfmkit of type torchrl or gymnasium takes the largest number as the choice"
        )
    if action.shape[-1] != spec.action_size:
        raise ValueError(f"the model's actions have {spec.action_size} numbers, this environment's {action.shape[-1]}")
    if isinstance(action, Bounded):
        low, high = float(action.space.low.min()), float(action.space.high.max())
        if not (action.space.low == -1).all() or not (action.space.high == 1).all():
            raise ValueError(
                f"the model's actions lie in [-1, 1], this environment's in [{low:g}, {high:g}]; "
                "put ActionScaling() before this transform"
            )
