"""Provenance of a result: versions, revision, machine and command."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "bfmkit", "torch", "torchrl", "tensordict", "lightning", "numpy", "scipy", "dm_control", "mujoco", "omegaconf",
    "pydantic", "safetensors",
)  # fmt: skip


def provenance(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance: the given facts (seed, device, command, threads, ...) with versions, revision and machine."""
    return {
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        **facts,
        "git": git_revision(),
        "platform": platform.platform(),
        "processor": processor(),
        "versions": versions(),
    }


def processor() -> str:
    """Name of the processor, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on; "missing" for one that is not installed."""
    return {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}


@cache  # it takes ten milliseconds a package, and a run asks for all of them several times
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def git_revision(folder: Path = Path(__file__).parent) -> dict[str, Any] | None:
    """Git commit of this code, and whether it has changes; None outside a checkout."""
    # An installed copy may lie in somebody else's repository, which does not know this file.
    if _git(folder, "ls-files", "--error-unmatch", "provenance.py") is None:
        return None
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None:
        return None
    return {"revision": revision, "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def command_line() -> str:
    """Command line of this process, quoted for a shell."""
    import shlex

    program = Path(sys.argv[0])
    # python -m bfmkit
    name = program.parent.name if program.name == "__main__.py" else program.name
    return shlex.join([name, *sys.argv[1:]])
