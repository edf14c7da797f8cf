"""Registry of components: finding, registering and looking them up by name."""

from bfmkit.registry.registry import (
    ENTRY_POINTS,
    BrokenComponentError,
    UnknownComponentError,
    constructor,
    constructor_parameters,
    lookup,
    names,
    register,
)

__all__ = [
    "ENTRY_POINTS", "BrokenComponentError", "UnknownComponentError", "constructor", "constructor_parameters", "lookup",
        "names", "register",
]  # fmt: skip
