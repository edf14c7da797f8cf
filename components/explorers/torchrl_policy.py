"""Exploration by a policy of TorchRL."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import TensorDictModuleBase
from torch import Tensor
from torchrl.envs.utils import ExplorationType, set_exploration_type

from bfmkit.interfaces import EnvironmentSpec, Explorer, StepResult
from bfmkit.registry import register


@register(Explorer, "torchrl_policy")
class TorchRLPolicyExplorer(Explorer):
    """Actions of a TensorDict policy that reads ``observation`` and writes ``action`` in [-1, 1]; it learns nothing.

    Any policy of TorchRL: a ``ProbabilisticActor`` (sampled), a module followed by ``AdditiveGaussianModule`` or
    ``OrnsteinUhlenbeckProcessModule``, one with a memory. What it writes beside the action it reads again at the next
    step; ``is_init`` says where episodes begin.

    Args:
        spec: sizes of the environment.
        policy: ``MODULE:FUNCTION`` of a function that makes the policy from the spec; from Python the policy itself
            may be given.

    Raises:
        ValueError: if there is no such function, or it makes no such policy.

    Example:
        ``explorer: {type: torchrl_policy, policy: "my_policies:make"}``
    """

    def __init__(self, spec: EnvironmentSpec, policy: str) -> None:
        self._policy = _made(policy, spec) if isinstance(policy, str) else policy
        keys = [getattr(self._policy, name, ()) for name in ("in_keys", "out_keys")]
        if not isinstance(self._policy, TensorDictModuleBase) or "action" not in keys[1]:
            raise ValueError(
                f"{policy} must be a TensorDict module that writes action, got {type(self._policy).__name__}"
            )
        self._kept = TensorDict()
        self._over: Tensor | None = None
        self._sizes: list[float] = []

    @torch.no_grad()
    def act(self, observation: Tensor) -> Tensor:  # (B, o) -> (B, a)
        """The policy's action, sampled where it is random."""
        if self._kept.batch_size != observation.shape[:1]:
            self._kept, self._over = TensorDict(batch_size=observation.shape[:1]), None
        begins = torch.ones(len(observation), dtype=torch.bool) if self._over is None else self._over
        self._kept.update({"observation": observation, "is_init": begins.unsqueeze(-1)})
        with set_exploration_type(ExplorationType.RANDOM):
            self._kept = self._policy(self._kept)
        action = self._kept["action"].clamp(-1, 1)
        self._sizes.append(float(action.abs().mean()))
        return action

    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None:
        """Look at where episodes end, and at what the policy hands on to its next step."""
        self._over = outcome.terminated | outcome.truncated
        following = self._kept.pop("next", None)
        if following is not None:
            self._kept.update(following)

    def remember(self, transitions: TensorDictBase) -> None:  # batch (n,)
        """Nothing: the policy does not learn."""

    def metrics(self) -> dict[str, float]:
        """The mean size of the actions."""
        sizes, self._sizes = self._sizes, []
        return {"action_size": sum(sizes) / len(sizes)} if sizes else {}

    def state_dict(self) -> dict[str, Any]:
        """The policy's, and what it keeps from step to step."""
        return {"policy": self._policy.state_dict(), "kept": self._kept.to_dict(), "over": self._over}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._policy.load_state_dict(state["policy"])
        self._over = state["over"]
        rows = [] if self._over is None else [len(self._over)]
        self._kept = TensorDict(state["kept"], batch_size=rows)


def _made(path: str, spec: EnvironmentSpec) -> Any:
    module, _, name = path.partition(":")
    try:
        make = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"policy must be MODULE:FUNCTION, got {path!r}: {error}") from error
    return make(spec)
