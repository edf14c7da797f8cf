"""``bfmkit doctor``: what works on this machine, one line each."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from bfmkit.registry import BrokenComponentError, UnknownComponentError, discovery, lookup
from bfmkit.registry.kinds import KINDS
from bfmkit.utils.provenance import versions
from bfmkit.utils.threads import CoreLoad, choose_threads

Finding = tuple[str, str]  # "ok", "warn" or "fail", and one line

_HAS_BODIES = sys.version_info < (3, 13)
"""Whether dm_control is installed with bfmkit: labmaze, which it needs, has no wheel for later versions."""
_MUST_IMPORT = ("torch", "tensordict", "torchrl", "lightning", "mujoco", *(["dm_control.suite"] if _HAS_BODIES else []))
_OURS = ("bfmkit", "bfmkit.components")
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def run(arguments: argparse.Namespace) -> int:
    """Print every finding; 1 if something must be repaired."""
    failed = False
    device = partial(_device, CoreLoad())
    for part in (_python, _packages, _imports, device, _place, _components):
        for state, line in part():
            failed = failed or state == "fail"
            sys.stdout.write(f"{state:<5} {line}\n")
            sys.stdout.flush()
    return 1 if failed else 0


def _python() -> Iterator[Finding]:
    fits = (3, 11) <= sys.version_info[:2] < (3, 15)
    yield "ok" if fits else "fail", f"python {platform.python_version()}" + ("" if fits else "; 3.11 to 3.14 is needed")
    if fits and not _HAS_BODIES:
        yield (
            "warn",
            "no bodies of dm_control (walker, ...): labmaze has no wheel for this Python; 3.11 and 3.12 have them",
        )


def _packages() -> Iterator[Finding]:
    """Installed versions against those that bfmkit asks for, which are known to work together."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("bfmkit") or ()]
    except PackageNotFoundError:
        yield "fail", "bfmkit is not installed (pip install -e .), so its components are not found"
        return
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        fix = f"pip install '{requirement.name}{requirement.specifier}'"
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield "fail", f"{requirement.name} is missing: {fix}"
            continue
        if requirement.specifier.contains(found, prereleases=True):
            yield "ok", f"{requirement.name} {found}"
        else:
            yield "fail", f"{requirement.name} {found} is not known to work here: {fix}"


def _imports() -> Iterator[Finding]:
    for name in _MUST_IMPORT:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001  the point is to say what happened
            yield "fail", f"import {name}: {type(error).__name__}: {' '.join(str(error).split())}"
            continue
    known = versions()
    triple = ", ".join(f"{name} {known[name]}" for name in ("torch", "torchrl", "tensordict"))
    yield "ok", f"tried together: {triple}; torch 2.13.0, torchrl 0.14.1, tensordict 0.14.3 are known to work"


def _device(load: CoreLoad) -> Iterator[Finding]:
    waiting = next((f"{name}={os.environ[name]}" for name in _WAITING if name in os.environ), "OpenMP's default")
    yield "ok", f"a run started now would have {choose_threads(load)}; how its threads wait: {waiting}"
    try:
        import torch

        if torch.cuda.is_available():
            yield "ok", f"cuda: {torch.cuda.get_device_name()} (--device cuda)"
        else:
            yield "ok", "no GPU that torch can use; everything runs on the CPU"
    except Exception as error:  # noqa: BLE001  a broken torch has been reported above
        yield "warn", f"devices unknown: {error}"


def _place() -> Iterator[Finding]:
    place = Path("runs") if Path("runs").is_dir() else Path()
    try:
        with tempfile.TemporaryFile(dir=place):
            yield "ok", f"run directories can be written to {Path('runs').absolute()}"
    except OSError as error:
        yield "fail", f"{place.absolute()} cannot be written ({error.strerror}): use --out or another directory"


def _components() -> Iterator[Finding]:
    """Import every component there is."""
    works = 0
    for package in discovery.packages():
        problem = discovery.package_problem(package)
        if problem is not None:
            yield "fail" if package in _OURS else "warn", f"plugin {package}: {problem}"
    for kind in KINDS.values():
        for found in discovery.find(kind.folder):
            try:
                lookup(kind.interface(), found.name)
                works += 1
            except (BrokenComponentError, UnknownComponentError) as error:
                is_missing_body = found.name == "dm_control" and not _HAS_BODIES
                state = "fail" if found.package in _OURS and not is_missing_body else "warn"
                yield state, re.sub(r"\s+", " ", str(error))
            except Exception as error:  # noqa: BLE001  an interface that does not import has been reported above
                yield "fail", f"{kind.name}: {type(error).__name__}: {' '.join(str(error).split())}"
                break
    yield "ok", f"{works} components can be used"
