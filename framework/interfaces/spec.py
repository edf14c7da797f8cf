"""Specs of environments: names and sizes of observations, actions, physics and tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bfmkit.registry.messages import one_of, suggestion
from bfmkit.rewards.expression import STEP, RewardError, RewardExpression, parse_reward, split_name

ANY_DOMAIN = "any"
"""The domain of a model that does not say what it was made for; it fits every body of its sizes."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """Sizes and names of one environment; the only runtime object a constructor may ask for.

    Two environments with equal specs can share data and models. It is stored with every dataset and model, and
    compared when they meet an environment.

    Args:
        domain: what moves, e.g. ``"walker"``. Data of different domains never mix.
        observation_size: length o of the flat observation.
        action_size: length a of the action; every entry lies in [-1, 1].
        physics_size: length p of the recorded physics state, enough to compute any task's reward again.
        episode_steps: control steps in an episode.
        control_timestep: seconds between two actions.
        tasks: the names of the rewards that the environment can give.
        quantities: the names of the physics quantities that rewards are functions of.
        changing_tasks: the names of further rewards, which also depend on the step of the episode.
        observation_names: the names of the observation's entries, in order; ``observation_0`` and so on if not given.

    Raises:
        ValueError: if there is not one name an entry, or a name stands for two.
    """

    domain: str
    observation_size: int
    action_size: int
    physics_size: int
    episode_steps: int
    control_timestep: float
    tasks: tuple[str, ...]
    quantities: tuple[str, ...] = ()
    changing_tasks: tuple[str, ...] = ()
    observation_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = self.observation_names or tuple(f"observation_{i}" for i in range(self.observation_size))
        if len(names) != self.observation_size:
            raise ValueError(f"an observation of {self.observation_size} entries has {len(names)} names")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the observation has more than one entry called {', '.join(twice)}")
        object.__setattr__(self, "observation_names", names)

    def entries(self, names: Sequence[str]) -> list[int]:
        """Indices of the named entries in the observation.

        Raises:
            ValueError: for a name that there is not, with the nearest one.
        """
        for name in names:
            if name not in self.observation_names:
                known_names = self.observation_names
                raise ValueError(
                    f'the observation has no entry "{name}"{suggestion(name, known_names)} {one_of(known_names)}'
                )
        return [self.observation_names.index(name) for name in names]

    def to_dict(self) -> dict[str, Any]:
        """The spec in plain lists, numbers and strings, for YAML and JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> EnvironmentSpec:
        """Spec from the result of :meth:`to_dict`."""
        values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in fields.items()}
        return cls(**values)

    def require_task(self, task: str) -> None:
        """Raise unless a task is one of the spec or a reward that can be typed over :attr:`quantities`.

        Raises:
            ValueError: with the nearest name, and all of them; or with the column where a typed reward goes wrong.
        """
        self.typed_reward(task)

    def has_task(self, task: str) -> bool:
        """Whether a text is a task of the spec or a reward that can be typed."""
        try:
            self.require_task(task)
        except ValueError:
            return False
        return True

    def require_named_task(self, task: str) -> None:
        """Raise unless this is the name of a task.

        Raises:
            ValueError: with the nearest name, and all of them.
        """
        known_tasks = (*self.tasks, *self.changing_tasks)
        if task not in known_tasks:
            raise ValueError(f'{self.domain} has no task "{task}"{suggestion(task, known_tasks)} {one_of(known_tasks)}')

    def typed_reward(self, task: str) -> RewardExpression | None:
        """Reward function of a typed task, of the quantities and ``step``; None for a task of the spec.

        A formula may have a name, as in ``low = torso_height < 0.8``.

        Raises:
            ValueError: as :meth:`require_task`, or if that name is taken.
        """
        if task in self.tasks or task in self.changing_tasks:
            return None
        name, formula = split_name(task)
        if name is not None:
            return self._named_reward(task, name, formula)
        if task.isidentifier() and task not in (*self.quantities, STEP):
            self.require_named_task(task)
        return parse_reward(task, self.quantities)

    def _named_reward(self, task: str, name: str, formula: str) -> RewardExpression:
        if name in (*self.quantities, STEP):
            raise RewardError(
                task, 1, f'"{name}" is a quantity; a comparison is written ==, and a reward has another name'
            )
        if name in (*self.tasks, *self.changing_tasks):
            raise RewardError(task, 1, f'{self.domain} has a task "{name}" already; choose another name')
        try:
            return parse_reward(formula, self.quantities)
        except RewardError as error:
            raise RewardError(task, len(task) - len(formula) + error.column, error.reason) from None

    def require_compatible(self, other: EnvironmentSpec, what: str) -> None:
        """Raise if ``what`` (a model, a dataset) was made for another body.

        Of :data:`ANY_DOMAIN`, observation and action alone must fit. Entries of the observation are compared by name,
        unless one side knows none.

        Raises:
            ValueError: if domain, sizes or the observation's entries differ; the message names both.
        """
        sizes = ("observation_size", "action_size")
        names = sizes if other.domain == ANY_DOMAIN else ("domain", *sizes, "physics_size")
        unlike = [name for name in names if getattr(self, name) != getattr(other, name)]
        if unlike:
            theirs = ", ".join(f"{name} {getattr(other, name)}" for name in unlike)
            ours = ", ".join(f"{name} {getattr(self, name)}" for name in unlike)
            raise ValueError(f"{what} was made for {theirs}; this environment has {ours}")
        if self._named and other._named and self.observation_names != other.observation_names:
            pairs = zip(other.observation_names, self.observation_names, strict=True)
            entry, (theirs, ours) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
            raise ValueError(
                f"{what} was made for an observation whose entry {entry} is {theirs}; this environment's is {ours} "
                f"(its entries: {', '.join(self.observation_names)})"
            )

    @property
    def _named(self) -> bool:
        """Whether the observation's entries have names of their own."""
        return self.observation_names != tuple(f"observation_{i}" for i in range(self.observation_size))
