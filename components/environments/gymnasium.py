"""Environments of Gymnasium, by their ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bfmkit.environments.adapted import EPISODE_STEPS, OWN_REWARD, AdaptedEnvironment, reason_of
from bfmkit.interfaces import Environment
from bfmkit.registry import register
from bfmkit.utils.checks import PositiveInt


@register(Environment, "gymnasium")
class GymnasiumEnvironment(AdaptedEnvironment):
    """Environment of Gymnasium, such as ``Pendulum-v1``, by its id; needs the extra ``gymnasium``.

    Observations of Box, Discrete (one-hot), MultiDiscrete and MultiBinary spaces, nested in Dict and Tuple, are laid
    end to end, sorted by name. Actions are Boxes of any bounds, Discrete or MultiDiscrete. Its own reward is the task
    ``own_reward``; others may be typed over the names of its observation, ``action_0``, ... and ``own_reward``.

    Args:
        id: as registered, ``module:Name-v0`` for one that a module registers when it is imported.
        arguments: of the environment's constructor.
        task: ``own_reward``, or a list of it and typed rewards, a row each.
        reward: a typed reward; given one, ``task`` is not looked at.
        episode_steps: after which an episode is truncated, if it has not ended before; the environment's own limit if
            not given, or 1000 for one without.
        observation_keys: which entries of the observation to take, in this order, nested ones with a dot; all of them,
            sorted by name, if not given.
        domain: what to call it, so that data and models of the same body fit; the id if not given.

    Raises:
        ValueError: if Gymnasium is not installed, the environment cannot be made or adapted, or for a task or key that
            there is not.

    Example:
        ``environment: {type: gymnasium, id: Pendulum-v1}``
    """

    def __init__(
        self,
        id: str,
        arguments: dict[str, Any] | None = None,
        task: str | list[str] = OWN_REWARD,
        reward: str | None = None,
        episode_steps: PositiveInt | None = None,
        observation_keys: list[str] | None = None,
        domain: str | None = None,
    ) -> None:
        maker = GymnasiumMaker(id, arguments or {})
        steps = maker.limit() if episode_steps is None else episode_steps
        rows = [reward] if reward is not None else task
        super().__init__(maker, domain or id, rows, steps, observation_keys)


@dataclass(frozen=True)
class GymnasiumMaker:
    """Makes one environment; pickles."""

    id: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def limit(self) -> int:
        """The environment's own limit on steps."""
        made = self()
        made.close()
        return getattr(made.spec, "max_episode_steps", None) or EPISODE_STEPS

    def __call__(self) -> Any:
        """A new one.

        Raises:
            ValueError: if Gymnasium is not installed, or it cannot be made.
        """
        try:
            import gymnasium
        except ImportError as error:
            raise ValueError("environments of Gymnasium need it installed: pip install 'bfmkit[gymnasium]'") from error
        try:
            return gymnasium.make(self.id, disable_env_checker=True, **self.arguments)
        except Exception as error:
            raise ValueError(f"{self.id} cannot be made: {reason_of(error)}") from error
