"""Environments of TorchRL, by the names of their classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import torchrl.envs
from torchrl.envs import EnvBase

from bfmkit.environments.adapted import EPISODE_STEPS, OWN_REWARD, AdaptedEnvironment, reason_of
from bfmkit.interfaces import Environment
from bfmkit.registry import register
from bfmkit.registry.messages import suggestion
from bfmkit.utils.checks import PositiveInt


@register(Environment, "torchrl")
class TorchRLEnvironment(AdaptedEnvironment):
    """Environment class of ``torchrl.envs``, such as ``GymEnv``, ``DMControlEnv`` or ``PendulumEnv``, by name.

    Its own reward is the task ``own_reward``; others may be typed over the names of its observation (``th``,
    ``velocity_0``), ``action_0``, ... and ``own_reward``. Copies are stepped one after another. For an ``EnvBase`` of
    your own, register a subclass of ``bfmkit.environments.adapted.AdaptedEnvironment``.

    Args:
        name: of the class.
        arguments: of its constructor, e.g. ``{env_name: Pendulum-v1}``.
        task: ``own_reward``, or a list of it and typed rewards, a row each.
        reward: a typed reward; given one, ``task`` is not looked at.
        episode_steps: after which an episode is truncated, if it has not ended before.
        observation_keys: which entries of the observation to take, in this order, nested ones with a dot; all of
            them, sorted by name, if not given.
        domain: what to call it, so that data and models of the same body fit; class and arguments if not given.

    Raises:
        ValueError: if there is no such class, it cannot be made or adapted, or for a task or key that there is not.

    Example:
        ``environment: {type: torchrl, name: PendulumEnv}``
    """

    def __init__(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        task: str | list[str] = OWN_REWARD,
        reward: str | None = None,
        episode_steps: PositiveInt = EPISODE_STEPS,
        observation_keys: list[str] | None = None,
        domain: str | None = None,
    ) -> None:
        maker = Maker(name, arguments or {})
        rows = [reward] if reward is not None else task
        super().__init__(maker, domain or maker.domain, rows, episode_steps, observation_keys)


@dataclass(frozen=True)
class Maker:
    """Makes one environment; pickles."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """What it is called: class and arguments."""
        words = ", ".join(f"{key}={value}" for key, value in sorted(self.arguments.items()))
        return f"{self.name}({words})"

    def __call__(self) -> EnvBase:
        """A new one.

        Raises:
            ValueError: if there is no such class, or its constructor fails.
        """
        known = [name for name in dir(torchrl.envs) if _is_environment(getattr(torchrl.envs, name))]
        if self.name not in known:
            raise ValueError(f'torchrl.envs has no environment "{self.name}"{suggestion(self.name, known)}')
        try:
            return getattr(torchrl.envs, self.name)(**self.arguments)
        except Exception as error:
            if self.name.startswith("Gym") and not any(map(find_spec, ("gymnasium", "gym"))):
                raise ValueError(f"{self.domain} needs Gymnasium: pip install gymnasium") from error
            raise ValueError(f"{self.domain} cannot be made: {reason_of(error)}") from error


def _is_environment(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, EnvBase)
