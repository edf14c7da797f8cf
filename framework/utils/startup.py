"""Fast imports of TensorDict and TorchRL without torch's compiler, and of dm_control without SciPy."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
_MARKS = ("assume_constant_result", "allow_in_graph")
"""Decorators that leave a function as it is and tell the compiler of it."""
_ON_FIRST_USE = ("scipy.ndimage", "scipy.interpolate", "scipy.linalg")
"""What ``dm_control.suite`` imports for a few of its domains; a third of a second, most of its import."""


def postpone_compiler(hide_ray: bool = False) -> None:
    """Have ``import tensordict`` and ``import torchrl`` not load torch's compiler, nor ``dm_control.suite`` SciPy.

    They decorate functions for the compiler, and each decorator loads it: a second or more. What the decorators would
    have told it is told when it is loaded, as ``torch.compile`` does. Parts of SciPy are loaded when one of their
    attributes is asked for. Does nothing where TensorDict or the compiler are there already.

    Args:
        hide_ray: whether TorchRL, which imports Ray wherever it is installed, is kept from it; nobody else is.
    """
    known = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if not known and not {"tensordict", COMPILER} & sys.modules.keys():
        sys.meta_path.insert(0, _Finder(hide_ray))


class _Finder(MetaPathFinder):
    """Finds the few modules whose execution has to be wrapped."""

    def __init__(self, hides_ray: bool) -> None:
        self._hides_ray = hides_ray
        self._postponed: _Postponed | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        wrap: Callable | None = None
        if name in _ON_FIRST_USE:
            return _lazy(PathFinder.find_spec(name, path, target))
        if name == "tensordict":
            wrap = self._prepared
        elif name == COMPILER and self._postponed is not None:
            wrap = self._postponed.told
        elif self._hides_ray and name.partition(".")[0] == "torchrl":
            wrap = _without_ray
        spec = PathFinder.find_spec(name, path, target) if wrap else None
        if spec is not None and spec.loader is not None and wrap is not None:
            spec.loader = _Wrapped(spec.loader, wrap)
        return spec

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        # Asking whether there is such a package, as a listing does, must not import torch.
        if self._postponed is None and COMPILER not in sys.modules:
            self._postponed = _Postponed()
        yield


def _lazy(spec: ModuleSpec | None) -> ModuleSpec | None:
    if spec is not None and spec.loader is not None:
        spec.loader = LazyLoader(spec.loader)
    return spec


class _Wrapped(Loader):
    def __init__(self, loader: Loader, around: Callable) -> None:
        self._loader, self._around = loader, around

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with self._around():
            self._loader.exec_module(module)


class _Postponed:
    """Stands in for the decorators of ``torch.compiler`` until the compiler is loaded."""

    def __init__(self) -> None:
        import torch
        import torch.compiler

        self._originals = {name: getattr(torch.compiler, name) for name in (*_MARKS, "disable")}
        self._marked: list[tuple[str, Any]] = []
        self._disabled: list[Callable[[], None]] = []
        self._loaded = False
        stands_in: dict[str, Any] = {name: self._mark(name) for name in _MARKS} | {"disable": self._disable}
        for name, function in stands_in.items():
            setattr(torch.compiler, name, function)
        # torch imports the compiler when this attribute is asked for; the import puts the module in its place.
        torch._dynamo = _StandIn(stands_in)  # type: ignore[assignment]

    def _mark(self, name: str) -> Callable:
        def decorator(function: Any) -> Any:
            if self._loaded:
                return self._originals[name](function)
            self._marked.append((name, function))
            return function

        return decorator

    def _disable(self, function: Any = None, *arguments: Any, **settings: Any) -> Any:
        if self._loaded:
            return self._originals["disable"](function, *arguments, **settings)
        if function is None:
            return lambda inner: self._disable(inner, *arguments, **settings)
        now = function

        def disable() -> None:
            nonlocal now
            now = self._originals["disable"](function, *arguments, **settings)

        self._disabled.append(disable)
        return wraps(function)(lambda *words, **named: now(*words, **named))

    @contextmanager
    def told(self) -> Iterator[None]:
        """Load the compiler, then tell it all that it would have been told."""
        yield
        import torch
        import torch.compiler

        self._loaded = True
        # Python itself does so a moment later.
        torch._dynamo = sys.modules[COMPILER]
        for name, original in self._originals.items():
            setattr(torch.compiler, name, original)
        for name, function in self._marked:
            self._originals[name](function)
        for disable in self._disabled:
            disable()


class _StandIn:
    def __init__(self, decorators: dict[str, Any]) -> None:
        self.__dict__.update(decorators)

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(COMPILER), name)


@contextmanager
def _without_ray() -> Iterator[None]:
    """As if Ray were not installed."""
    hides = "ray" not in sys.modules
    if hides:
        sys.modules["ray"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hides:
            del sys.modules["ray"]
