"""``bfmkit new``: a working component and its test, as a start."""

from __future__ import annotations

import argparse
import keyword
import re
import sys
import tomllib
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from bfmkit.registry import discovery, registry
from bfmkit.registry.kinds import KINDS, Kind
from bfmkit.registry.messages import one_of, suggestion
from bfmkit.utils.errors import CommandError

_CLASS_ENDINGS = {
    "posterior": "Posterior",
    "acquisition": "Acquisition",
    "candidate_sampler": "Candidates",
    "schedule": "Schedule",
    "query_rule": "QueryRule",
    "agent": "Agent",
    "feature_map": "Features",
    "feature_objective": "Objective",
    "environment": "Environment",
    "bfm": "BFM",
    "objective": "Objective",
    "networks": "Networks",
    "latent_sampler": "Latents",
    "dataset": "Dataset",
    "explorer": "Explorer",
    "improver": "Improver",
    "job": "Job",
}
_DEFAULT_PACKAGE = "my_components"
_TEST_MODULES = ("pytest", "mpmath")
"""Of the extra ``testing``."""


def run(arguments: argparse.Namespace) -> int:
    """Write two files (and what a new plugin package needs besides), then say what to do with them."""
    kind = _kind(arguments.kind)
    name = _name(arguments.name, kind)
    here = Path.cwd()
    in_bfmkit = (here / "framework" / "registry").is_dir() and (here / "components").is_dir()
    package = "bfmkit.components" if in_bfmkit else _package(arguments.package, here)
    source = Path("components") if in_bfmkit else Path(*package.split("."))
    tests = Path("tests", "components") if in_bfmkit else Path("tests")
    words = {
        "name": name,
        "Class": "".join(part.capitalize() for part in name.split("_")) + _CLASS_ENDINGS[kind.name],
        "module": f"{package}.{kind.folder}.{name}",
        "package": package,
        "plugin": package.split(".")[-1],
        "top": package.split(".")[0],
        "distribution": package.replace("_", "-").replace(".", "-"),
    }
    component = source / kind.folder / f"{name}.py"
    test = tests / kind.folder / f"test_{name}.py"
    contents = {component: _fill(kind.name, words), test: _fill(f"{kind.name}_test", words)}
    if not in_bfmkit:
        if not (here / "pyproject.toml").exists():
            contents[Path("pyproject.toml")] = _fill("pyproject", words)
        for folder in (component.parent, *component.parent.parents):
            if folder != Path() and not (folder / "__init__.py").exists():
                contents[folder / "__init__.py"] = ""
    _write(contents)
    _explain(kind, name, package, component, test, declared=in_bfmkit or package in _declared(here))
    return 0


def _kind(word: str) -> Kind:
    if word not in KINDS:
        raise CommandError(f'no kind "{word}"{suggestion(word, KINDS)} {one_of(KINDS)}')
    return KINDS[word]


def _name(word: str, kind: Kind) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", word) or keyword.iskeyword(word):
        raise CommandError(f'"{word}" is not a component name: use lower_snake_case')
    if word in registry.names(kind.name):
        raise CommandError(f'there is a {kind.name} "{word}" already')
    return word


def _package(asked: str | None, here: Path) -> str:
    declared = _declared(here)
    package = asked or (declared[0] if declared else _DEFAULT_PACKAGE)
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in package.split(".")):
        raise CommandError(f'--package: "{package}" is not the name of a Python package')
    return package


def _declared(here: Path) -> list[str]:
    """The packages that ./pyproject.toml declares to hold components."""
    try:
        project = tomllib.loads((here / "pyproject.toml").read_text(encoding="utf-8"))
        values = project["project"]["entry-points"][discovery.ENTRY_POINTS].values()
        return [value for value in values if isinstance(value, str)]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return []


def _fill(template: str, words: dict[str, str]) -> str:
    text = (files("bfmkit.cli") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(words)


def _write(contents: dict[Path, str]) -> None:
    taken = [path for path in contents if path.exists()]
    if taken:
        raise CommandError("\n".join(f"{path}: is there already" for path in taken))
    try:
        for path, text in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{error.filename}: cannot be written: {error.strerror}") from error


def _explain(kind: Kind, name: str, package: str, component: Path, test: Path, declared: bool) -> None:
    lines = [
        f"wrote {component}",
        f"wrote {test}",
        "",
        f"It works as it is; change it, and keep the test passing:   python -m pytest {test}",
        f"Recipes in this folder know it now, as {{type: {name}}}:      bfmkit list {kind.name}",
    ]
    if not declared:
        lines[-1:] = [
            "So that bfmkit finds it, add this to ./pyproject.toml:",
            f'  [project.entry-points."{discovery.ENTRY_POINTS}"]',
            f'  {package.split(".")[-1]} = "{package}"',
            "and this, so that pytest does:",
            "  [tool.pytest.ini_options]",
            '  pythonpath = ["."]',
            f"Recipes in this folder know it then, as {{type: {name}}}:     bfmkit list {kind.name}",
        ]
    missing = [module for module in _TEST_MODULES if find_spec(module) is None]
    if missing:
        install = f"{sys.executable} -m pip install {' '.join(missing)}"
        lines.append(f"The test needs what is not installed here:                {install}")
    if not package.startswith("bfmkit"):
        lines.append("To use it from anywhere:                                  pip install -e .")
    sys.stdout.write("\n".join(lines) + "\n")
