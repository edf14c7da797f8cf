"""bfmkit: online task inference for behaviour foundation models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bfmkit.environments.gymnasium_registration import register_with_gymnasium

if TYPE_CHECKING:
    from bfmkit.api import (
        draw_returns,
        evaluate,
        list_components,
        load_agent,
        load_model,
        load_recipe,
        make,
        make_env,
        read_results,
        register,
        run,
        save_record,
    )

    __version__: str

__all__ = [
    "__version__", "draw_returns", "evaluate", "list_components", "load_agent", "load_model", "load_recipe", "make",
    "make_env", "read_results", "register", "run", "save_record",
]  # fmt: skip

register_with_gymnasium()


def __getattr__(name: str) -> Any:
    # `import bfmkit` must stay light, for the command line is built on it.
    if name == "__version__":
        from importlib.metadata import version

        return version("bfmkit")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from bfmkit.utils.startup import postpone_imports

    postpone_imports()
    return getattr(import_module("bfmkit.api"), name)
