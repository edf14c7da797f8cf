"""Tasks of the rows of an environment, as a recipe gives them."""

from __future__ import annotations

from collections.abc import Sequence

from bfmkit.interfaces.spec import EnvironmentSpec
from bfmkit.rewards.expression import split_name


def task_rows(spec: EnvironmentSpec, task: str | Sequence[str] | None, reward: str | None) -> list[str]:
    """Task of each row.

    Args:
        spec: of the environment.
        task: a name, several names joined by ``+``, a named reward, or a list of names and typed rewards.
        reward: a typed reward, for a single row; given one, ``task`` is not looked at.

    Raises:
        ValueError: if neither is given, or a string names a task that there is not.
    """
    if reward is not None:
        return [reward]
    if task is None:
        raise ValueError(f"{spec.domain} needs a task ({', '.join(spec.tasks)}) or a reward")
    if not isinstance(task, str):
        return list(task)
    if split_name(task)[0] is not None:
        return [task]
    names = task.split("+")
    for name in names:
        # A plus sign joins names here; in a typed reward, which goes under another key, it adds numbers.
        spec.require_named_task(name)
    return names
