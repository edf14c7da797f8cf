"""Registration of our environments with Gymnasium, whichever is imported first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

TASKS = {
    "walker": ("stand", "walk", "run", "flip"),
    "cheetah": ("walk", "run", "walk_backward", "run_backward"),
    "quadruped": ("stand", "walk", "run", "jump"),
    "point_mass_maze": ("reach_top_left", "reach_top_right", "reach_bottom_left", "reach_bottom_right"),
}


def register() -> None:
    """Register ``bfmkit/DOMAIN-TASK-v0`` for every task, such as ``bfmkit/walker-run-v0``."""
    import gymnasium

    for domain, tasks in TASKS.items():
        for task in tasks:
            name = f"bfmkit/{domain}-{task}-v0".replace("_", "-")
            if name not in gymnasium.registry:
                gymnasium.register(
                    name,
                    entry_point="bfmkit.environments.gymnasium_view:make_dm_control",
                    kwargs={"domain": domain, "task": task},
                )


def register_with_gymnasium() -> None:
    """Register our environments now if Gymnasium is loaded, else as soon as it is loaded."""
    if "gymnasium" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _AfterGymnasium())


class _AfterGymnasium(MetaPathFinder):
    """Import hook that registers our environments once Gymnasium is loaded."""

    _asks_others = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium" or self._asks_others:
            return None
        self._asks_others = True
        try:
            spec = find_spec(fullname)
        finally:
            self._asks_others = False
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        load = loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            sys.meta_path.remove(self)
            register()

        loader.exec_module = load_and_register
        return spec
