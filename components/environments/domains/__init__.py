"""Bodies of the dm_control environments: one file a domain."""

from __future__ import annotations

from importlib import import_module

from bfmkit.components.environments.domains.domain import Domain
from bfmkit.registry.messages import one_of, suggestion

NAMES = ("walker", "cheetah", "quadruped", "point_mass_maze")


def make_domain(name: str) -> Domain:
    """The domain called ``name``, e.g. ``"walker"``; its module is imported now.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if name not in NAMES:
        from dm_control import suite  # imports SciPy, so not where a name is right

        elsewhere = ""
        if name in suite.TASKS_BY_DOMAIN:
            task = suite.TASKS_BY_DOMAIN[name][0][1]
            elsewhere = (
                f"; dm_control's own is {{type: torchrl, name: DMControlEnv, "
                f"arguments: {{env_name: {name}, task_name: {task}}}}}"
            )
        raise ValueError(f'there is no domain "{name}"{suggestion(name, NAMES)} {one_of(NAMES)}{elsewhere}')
    return import_module(f"{__name__}.{name}").DOMAIN()
