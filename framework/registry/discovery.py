"""Discovery of component files, ours and those of plugins, without importing them."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

ENTRY_POINTS = "bfmkit.components"
"""The entry-point group; each value names a package with a folder a kind and a file a component."""

_project_packages: list[str] = []


@dataclass(frozen=True)
class Found:
    """Component file that has not been imported."""

    folder: str
    name: str
    package: str
    file: Path
    summary: str  # first line of the class's docstring
    problem: str | None = None  # why it cannot be imported, as far as reading it tells

    @property
    def module(self) -> str:
        """Module whose import registers it."""
        return f"{self.package}.{self.folder}.{self.name}"


def packages() -> tuple[str, ...]:
    """Packages that hold components: ours, those of installed plugins, those of the working directory."""
    return tuple(dict.fromkeys([*_installed_packages(tuple(sys.path)), *_project_packages]))


@cache
def _installed_packages(_path: tuple[str, ...]) -> tuple[str, ...]:
    values = {entry.value for entry in entry_points(group=ENTRY_POINTS)}
    return tuple(sorted(values, key=lambda value: (value.split(".")[0] != "bfmkit", value)))


def add_project(folder: Path) -> None:
    """Add the modules of ``folder``, and the plugin in it, installed or not.

    Modules are found after all that are installed, so an environment of one's own is ``id: my_module:Name-v0``.
    A plugin counts if ``folder/pyproject.toml`` declares the entry-point group; its packages then win over nothing and
    are found beside the installed ones.
    """
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        declared = project["project"]["entry-points"][ENTRY_POINTS].values()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return
    known = packages()
    for package in declared:
        if not isinstance(package, str) or package in known or not folder.joinpath(*package.split(".")).is_dir():
            continue
        _project_packages.append(package)


def package_problem(package: str) -> str | None:
    """Reason why ``package`` cannot be used; None if it can."""
    try:
        # Importing a package's own __init__ is cheap by convention; its components are not imported.
        __import__(package)
    except BaseException as error:  # a plugin may fail in any way, and must break nothing else
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    return None


def folder_of(package: str, folder: str) -> Path | None:
    """Folder of a package's components of one kind; None if it has none."""
    try:
        spec = find_spec(f"{package}.{folder}")
    except BaseException as error:  # the package's __init__ failed: look at its files all the same
        if isinstance(error, KeyboardInterrupt):
            raise
        return _folder_by_path(package, folder)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


def _folder_by_path(package: str, folder: str) -> Path | None:
    top, *rest = package.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        place = Path(location).joinpath(*rest, folder)
        if place.is_dir():
            return place
    return None


def component_files(package: str, folder: str) -> Iterator[tuple[str, Path]]:
    """Name and file of each component in a kind's folder."""
    place = folder_of(package, folder)
    if place is None:
        return
    for path in sorted([*place.glob("*.py"), *place.glob("*/__init__.py")]):
        if path.parent == place and path.name == "__init__.py":
            continue
        name = path.parent.name if path.name == "__init__.py" else path.stem
        text = path.read_text(encoding="utf-8", errors="replace")
        if not name.startswith("_") and re.search(r"^@register\(", text, flags=re.MULTILINE):
            yield name, path


def component_names(folder: str) -> set[str]:
    """Names of a kind's components, over all packages."""
    return {name for package in packages() for name, _ in component_files(package, folder)}


def find(folder: str) -> list[Found]:
    """Components of one kind by name, with what is known of each without importing it."""
    found = []
    for package in packages():
        broken = package_problem(package)
        for name, path in component_files(package, folder):
            summary, problem = _read(path, name)
            found.append(Found(folder, name, package, path, summary, broken or problem))
    return sorted(found, key=lambda each: each.name)


def _read(path: Path, name: str) -> tuple[str, str | None]:
    """First docstring line of a component, and what is visibly wrong with its file."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        return "", f"{type(error).__name__}: {error}"
    registered: dict[object, ast.ClassDef | ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "register":
                    last = decorator.args[-1] if decorator.args else None
                    registered[getattr(last, "value", None)] = node
    problem = _missing_import(tree)
    if problem is None and name not in registered:
        problem = f"registers {', '.join(map(repr, registered))}; the file's name must be the component's"
    component = registered.get(name)
    docstring = (ast.get_docstring(component) if component else None) or ""
    return docstring.split("\n")[0], problem


def _missing_import(tree: ast.Module) -> str | None:
    for node in tree.body:
        if isinstance(node, ast.Raise):
            return f"raises on import: {ast.unparse(node)}"
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules = [node.module]
        for module in modules:
            top = module.split(".")[0]
            if top not in sys.modules and find_spec(top) is None:
                return f"ModuleNotFoundError: No module named {top!r}"
    return None
