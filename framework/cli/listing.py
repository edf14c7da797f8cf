"""``bfmkit list``: what there is, without importing any of it."""

from __future__ import annotations

import argparse
import sys

from bfmkit.cli.errors import Refused
from bfmkit.recipe.sources import shipped
from bfmkit.registry import discovery
from bfmkit.registry.kinds import KINDS
from bfmkit.registry.messages import one_of, suggestion
from bfmkit.rewards.quantity import listed_quantities

_OURS = ("bfmkit", "bfmkit.components")

QUANTITIES = "quantities"
"""Listed only when asked for: they are no components."""


def run(arguments: argparse.Namespace) -> int:
    """Print kinds, names and first docstring lines; broken files and packages are named as such."""
    wanted = arguments.kind
    kinds = [*KINDS, "recipe", QUANTITIES]
    if wanted is not None and wanted not in kinds:
        raise Refused(f'no kind "{wanted}"{suggestion(wanted, kinds)} {one_of(kinds)}')
    lines = _quantities() if wanted == QUANTITIES else []
    for kind in KINDS if wanted is None else [wanted]:
        lines += _components(kind) if kind in KINDS else []
    if wanted in (None, "recipe"):
        lines += _recipes()
    sys.stdout.write("\n".join(lines) + "\n")
    for package in discovery.packages():
        problem = discovery.package_problem(package)
        if problem is not None:
            sys.stderr.write(f"plugin {package}: broken: {problem}\n")
    return 0


def _components(kind: str) -> list[str]:
    lines = [f"{kind}:"]
    for found in discovery.find(KINDS[kind].folder):
        about = found.summary if found.problem is None else f"BROKEN: {found.problem}"
        origin = "" if found.package in _OURS else f" [{found.package}]"
        lines.append(f"  {found.name:<28} {about}{origin}".rstrip())
    return lines


def _recipes() -> list[str]:
    lines = ["recipe:"]
    for name, path in shipped().items():
        first = path.read_text(encoding="utf-8").split("\n")[0]
        lines.append(f"  {name:<28} {first.lstrip('# ') if first.startswith('#') else ''}".rstrip())
    return lines


def _quantities() -> list[str]:
    """What typed rewards are made of: quantities by domain, and functions."""
    # Imported here: NumPy comes with it, and only this list needs it.
    from bfmkit.rewards.expression import STEP
    from bfmkit.rewards.functions import FUNCTIONS, usage

    lines: list[str] = []
    for domain, quantities in listed_quantities().items():
        lines.append(f"{domain}:")
        lines += [f"  {each.name:<24} {each.unit:<8} {each.about}" for each in quantities]
    lines += ["any domain:", f"  {STEP:<24} {'1':<8} steps since the episode began, the first being 1"]
    lines.append("functions:")
    return lines + [f"  {usage(name)}\n      {function.__doc__}" for name, function in FUNCTIONS.items()]
