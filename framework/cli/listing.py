"""``bfmkit list``: components by kind, without importing any of them; one component with its arguments."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from bfmkit import registry
from bfmkit.recipe.sources import shipped
from bfmkit.registry import discovery
from bfmkit.registry.kinds import KINDS, Kind
from bfmkit.registry.messages import one_of, suggestion
from bfmkit.rewards.quantity import listed_quantities
from bfmkit.utils.errors import CommandError

_OURS = ("bfmkit", "bfmkit.components")

QUANTITIES = "quantities"
"""Listed only when asked for: they are no components."""
MODELS = "model"


def run(arguments: argparse.Namespace) -> int:
    """Print kinds, names and first docstring lines; broken files and packages are named as such."""
    wanted = arguments.kind
    kinds = [*KINDS, "recipe", MODELS, QUANTITIES]
    shipped_one = [] if wanted is None else _shipped(wanted)
    if shipped_one:
        sys.stdout.write("\n".join(shipped_one) + "\n")
        return 0
    if wanted is not None and wanted not in kinds:
        sys.stdout.write("\n\n".join("\n".join(_component(*each)) for each in _named(wanted, kinds)) + "\n")
        return 0
    lines = _quantities() if wanted == QUANTITIES else []
    if wanted in (None, MODELS):
        lines += _models()
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


def _shipped(wanted: str) -> list[str]:
    """What ``model.NAME``, ``zoo:NAME``, ``recipe.NAME`` or ``NAME`` means among models and recipes, and its use."""
    from bfmkit.models import zoo

    name = wanted.removeprefix(f"{MODELS}.").removeprefix(zoo.PREFIX)
    if name != wanted and name in zoo.names():
        node = f"bfm: {{type: checkpoint, path: {zoo.PREFIX}{name}}}"
        return [*_models([name]), "in a recipe:", f"  {node}"]
    name = wanted.removeprefix("recipe.")
    if name not in shipped() or (name == wanted and any(name in registry.names(kind) for kind in KINDS)):
        return []
    return [
        f"recipe.{name}: {_first_comment(name)}",
        f"  bfmkit show {name}    bfmkit copy {name}    bfmkit run {name}",
    ]


def _named(wanted: str, kinds: list[str]) -> list[tuple[Kind, str]]:
    """The components that ``KIND.NAME`` or ``NAME`` means.

    Raises:
        CommandError: if there is none.
    """
    kind, _, name = wanted.rpartition(".")
    among = [KINDS[kind]] if kind in KINDS else [] if kind else list(KINDS.values())
    found = [(each, name) for each in among if name in registry.names(each.name)]
    if found:
        return found
    if kind in KINDS:
        raise CommandError(f'no {kind} "{name}"{suggestion(name, registry.names(kind))} {one_of(registry.names(kind))}')
    components = [f"{each.name}.{component}" for each in KINDS.values() for component in registry.names(each.name)]
    near = suggestion(wanted, [*kinds, *components, *(component.rpartition(".")[2] for component in components)])
    raise CommandError(f'no kind and no component "{wanted}"{near}; kinds are {", ".join(kinds)}')


def _component(kind: Kind, name: str) -> list[str]:
    """A component's summary, its arguments and a node of a recipe that has them."""
    # Imported here: a component is imported, and torch with it, for nothing but its own page.
    from bfmkit.recipe.signature import REQUIRED, signature_of

    try:
        cls = registry.lookup(kind.interface(), name)
    except registry.BrokenComponentError as error:
        raise CommandError(str(error)) from error
    lines = [f"{kind.name}.{name}: {(inspect.getdoc(cls) or '').partition(chr(10))[0]}", "", *_arguments(cls, "  ")]
    node: dict[str, int | float | str] = {"type": name}
    for argument in signature_of(cls).arguments.values():
        if argument.default is REQUIRED:
            node[argument.name] = "???"
        elif isinstance(argument.default, int | float | str):
            node[argument.name] = argument.default
    inside = ", ".join(f"{key}: {_yaml(value)}" for key, value in node.items())
    where = "" if kind.name == "job" else f"{kind.name}: "
    return [*lines, "", "in a recipe:", f"  {where}{{{inside}}}", f"source: {inspect.getsourcefile(cls)}"]


def _arguments(cls: type, indent: str) -> list[str]:
    """Name, type, default and description of each argument; those of nested settings are indented further."""
    from bfmkit.recipe.schema import argument_descriptions
    from bfmkit.recipe.signature import REQUIRED, is_settings, members, signature_of
    from bfmkit.recipe.values import describe

    about, lines, inner = argument_descriptions(cls), [], indent + "    "
    for argument in signature_of(cls).arguments.values():
        nested = [each for each in members(argument.annotation) if is_settings(each)]
        if argument.default is REQUIRED:
            default = "; required"
        else:
            default = "" if is_settings(type(argument.default)) else f"; default {_yaml(argument.default)}"
        lines.append(f"{indent}{argument.name}: {describe(argument.annotation)}{default}")
        lines += textwrap.wrap(about.get(argument.name, ""), 110, initial_indent=inner, subsequent_indent=inner)
        lines += [line for each in nested for line in _arguments(each, inner)]
    return lines


def _yaml(value: Any) -> str:
    """A default on one line, as a recipe has it."""
    if isinstance(value, tuple):
        value = list(value)
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        plain = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
        return str(value) if plain else json.dumps(value, ensure_ascii=False)
    return type(value).__name__


def _models(names: Sequence[str] | None = None) -> list[str]:
    from bfmkit.models import zoo

    lines = [f"{MODELS}:"]
    for name in names or zoo.names():
        recipe = zoo.recipe(name)
        bfm, spec = recipe["bfm"], recipe["spec"]
        family = " over ".join(node["type"] for node in (bfm, bfm.get("features")) if isinstance(node, dict))
        lines.append(f"  {zoo.PREFIX + name:<30} {spec['domain']}: {family}; tasks {', '.join(spec['tasks'])}")
    return lines


def _components(kind: str) -> list[str]:
    lines = [f"{kind}:"]
    for found in discovery.find(KINDS[kind].folder):
        about = found.summary if found.problem is None else f"BROKEN: {found.problem}"
        origin = "" if found.package in _OURS else f" [{found.package}]"
        lines.append(f"  {found.name:<28} {about}{origin}".rstrip())
    return lines


def _recipes() -> list[str]:
    return ["recipe:", *(f"  {name:<28} {_first_comment(name)}".rstrip() for name in shipped())]


def _first_comment(recipe: str) -> str:
    """The comment that a shipped recipe begins with, its first line."""
    first = shipped()[recipe].read_text(encoding="utf-8").split("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


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
