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
        # It imports the whole suite, so not where a name is ours.
        from dm_control import suite

        from bfmkit.components.environments.domains.suite import BODIES, suite_domain

        if name in BODIES:
            return suite_domain(name)
        elsewhere = ""
        if name in suite.TASKS_BY_DOMAIN:
            task = suite.TASKS_BY_DOMAIN[name][0]
            elsewhere = (
                f"; dm_control's own is {{type: torchrl, name: DMControlEnv, "
                f"arguments: {{env_name: {name}, task_name: {task}}}}}"
            )
        known = (*NAMES, *BODIES)
        raise ValueError(f'there is no domain "{name}"{suggestion(name, known)} {one_of(known)}{elsewhere}')
    return import_module(f"{__name__}.{name}").DOMAIN()
