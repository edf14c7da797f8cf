"""``bfmkit list``: what there is, without importing any of it."""

from __future__ import annotations

import argparse
import sys

from bfmkit import discovery
from bfmkit.cli.refused import Refused
from bfmkit.kinds import KINDS
from bfmkit.recipe.sources import shipped
from bfmkit.wording import one_of, suggestion

_OURS = ("bfmkit", "bfmkit.components")


def run(arguments: argparse.Namespace) -> int:
    """Print kinds, names and first docstring lines; broken files and packages are named as such."""
    wanted = arguments.kind
    kinds = [*KINDS, "recipe"]
    if wanted is not None and wanted not in kinds:
        raise Refused(f'no kind "{wanted}"{suggestion(wanted, kinds)} {one_of(kinds)}')
    lines: list[str] = []
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
