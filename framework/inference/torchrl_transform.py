"""An agent inside a TorchRL environment."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torchrl.data import Composite, TensorSpec, Unbounded
from torchrl.envs.transforms import Transform

from bfmkit.interfaces import Agent


class TaskInferenceTransform(Transform):
    """Lets an agent learn inside an environment, and writes the ``z`` to act for beside each observation.

    Use it with a policy that reads ``observation`` and ``z``; a BFM is one::

        agent.start(bfm, seeds)
        environment = TransformedEnv(environment, TaskInferenceTransform(agent))
        environment.rollout(1000, bfm)

    The agent learns in the environment's step, where reward and next observation are known, so it learns in rollouts
    and collectors too. It belongs to one environment: one that runs in another process has its own copy. Nobody says
    here when an episode is over; before looking at the agent's state call its ``settle()``.

    Args:
        agent: started, with as many seeds as the environment has rows.
        observe_reward: whether the agent is told the environment's rewards; without them it learns from :meth:`label`
            alone.

    Raises:
        RunStopped: from a step, when no run of the agent is left.
    """

    def __init__(self, agent: Agent, observe_reward: bool = True) -> None:
        super().__init__(in_keys=[], out_keys=["z"])
        self.agent = agent
        self.observe_reward = observe_reward

    def label(self, reward: Tensor | float, *args: Any, **options: Any) -> None:
        """Learn a reward for steps taken earlier: :meth:`bfmkit.interfaces.Agent.label`, with all its arguments."""
        self.agent.label(reward, *args, **options)

    def _reset(self, tensordict: TensorDictBase, tensordict_reset: TensorDictBase) -> TensorDictBase:
        runs = None
        if tensordict is not None and "_reset" in tensordict.keys():
            runs = self._rows(tensordict.get("_reset"))
        self.agent.begin_episode(runs)
        return tensordict_reset.set("z", self._choose(tensordict_reset, runs))

    def _step(self, tensordict: TensorDictBase, next_tensordict: TensorDictBase) -> TensorDictBase:
        observation, action = (self._matrix(tensordict.get(key)) for key in ("observation", "action"))
        reward = next_tensordict.get("reward").reshape(-1)
        observed = None if self.observe_reward else torch.zeros(len(reward), dtype=torch.bool)
        self.agent.observe(observation, action, self._matrix(next_tensordict.get("observation")), reward, observed)
        # After an episode's last step there is nothing left to choose for: the next reset asks.
        done = next_tensordict.get("done", None)
        return next_tensordict.set("z", self._choose(next_tensordict, None if done is None else ~self._rows(done)))

    def transform_observation_spec(self, observation_spec: TensorSpec) -> TensorSpec:
        """Add ``z``."""
        if not isinstance(observation_spec, Composite):
            raise ValueError(f"expected a composite of observations, got {type(observation_spec).__name__}")
        z = self.agent.state["z"]
        shape = (*observation_spec.shape, z.shape[-1])
        observation_spec["z"] = Unbounded(shape, dtype=z.dtype, device=observation_spec.device)
        return observation_spec

    def forward(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Refuse data that no agent has acted on.

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
