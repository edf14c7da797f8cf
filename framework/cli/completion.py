"""Completion scripts of the command line for shells."""

from __future__ import annotations

import argparse
import sys
from typing import Any

SHELLS = ("bash", "zsh", "fish")


class CompletionAction(argparse.Action):
    """Option that prints the script of a shell and exits."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        sys.stdout.write(completion(parser, values))
        parser.exit()


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Script that completes commands, options, names of recipes and files in one of :data:`SHELLS`."""
    import shtab

    from bfmkit.recipe.sources import shipped
    from bfmkit.registry.kinds import KINDS

    names = " ".join(sorted(shipped()))
    recipes = {
        "bash": "_bfmkit_recipes",
        "zsh": f"_alternative 'recipes:recipe:({names})' 'files:file:_files'",
        "fish": f"{names} (__fish_complete_path (commandline -ct))",
    }
    for action in _actions(parser):
        if action.metavar == "RECIPE":
            action.complete = recipes  # type: ignore[attr-defined]
        elif action.metavar == "KIND":
            action.choices = sorted(KINDS)
        elif action.type is not None and action.type is not int:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    preamble: Any = {"bash": f'_bfmkit_recipes() {{ compgen -W "{names}" -- "$1"; _shtab_compgen_files "$1"; }}'}
    script: str = shtab.complete(parser, shell, preamble=preamble)
    return script


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for command in action.choices.values() for inner in _actions(command)]
    return found
