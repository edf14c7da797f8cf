"""Fast imports of TensorDict, TorchRL and dm_control, without what few of their users need."""

from __future__ import annotations

import importlib
import os
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
_ON_FIRST_USE = ("ray", "scipy.ndimage", "scipy.interpolate", "scipy.linalg")
"""TorchRL imports Ray wherever it is installed (a second), ``dm_control.suite`` SciPy for a few domains (a third)."""


def postpone_imports() -> None:
    """Have ``import tensordict``, ``torchrl`` and ``dm_control`` not load what they may never use.

    TensorDict and TorchRL decorate functions for torch's compiler, and each decorator loads it: a second or more. What
    the decorators would have told it is told when it is loaded, as ``torch.compile`` does. Ray and parts of SciPy are
    loaded when one of their attributes is asked for. Where there is no screen, MuJoCo's libraries are told to look for
    none (``MUJOCO_GL=disabled``, unless it is set): they would load GLFW, a third of a second, to warn that it fails.
    Does nothing where TensorDict or the compiler are there already.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "disabled")
    known = any(isinstance(finder, _Finder) for finder in sys.meta_path)
    if not known and not {"tensordict", COMPILER} & sys.modules.keys():
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the few modules whose execution has to be wrapped."""

    def __init__(self) -> None:
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
