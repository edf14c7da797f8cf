"""Who may import whom, and what gets packaged: read off the sources."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bfmkit.registry.kinds import KINDS

ROOT = Path(__file__).parent.parent
FRAMEWORK, COMPONENTS = ROOT / "framework", ROOT / "components"
HOUSEHOLD = {"framework", "components", "recipes"}  # folders, not packages: nothing imports them by these names


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file, as a full dotted name."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parts = package_of(path).split(".")
                module = ".".join([*parts[: len(parts) - node.level + 1], *([module] if module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def package_of(path: Path) -> str:
    folder = path.parent
    if folder.is_relative_to(COMPONENTS):
        return ".".join(["bfmkit", "components", *folder.relative_to(COMPONENTS).parts])
    if folder.is_relative_to(FRAMEWORK):
        return ".".join(["bfmkit", *folder.relative_to(FRAMEWORK).parts])
    return ""


def test_the_framework_knows_no_component() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources(FRAMEWORK)
        for module in imports(path)
        if module == "bfmkit.components" or module.startswith("bfmkit.components.")
    ]
    assert guilty == []


def test_a_kind_meets_another_only_through_interfaces() -> None:
    guilty = []
    for path in sources(COMPONENTS):
        own = ("bfmkit.components", path.relative_to(COMPONENTS).parts[0])
        for module in imports(path):
            parts = module.split(".")
            if parts[:2] == ["bfmkit", "components"] and len(parts) > 2 and parts[2] != own[1]:
                guilty.append(f"{path.relative_to(ROOT)}: {module}")
    assert guilty == []


def test_a_component_imports_no_other_component_of_its_kind() -> None:
    """Sharing goes through the framework, or a folder beside; so that taking one file away breaks no other."""
    guilty = []
    for kind in KINDS.values():
        folder = COMPONENTS / kind.folder
        files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        for path in sources(folder):
            names = {f"bfmkit.components.{kind.folder}.{name}" for name in files - {path.stem}}
            guilty += [f"{path.relative_to(ROOT)}: {module}" for module in imports(path) if module in names]
    assert guilty == []


FLOORS = (
    "api", "cli", "jobs", "live", "regret", "report", "evaluation", "training", "testing", "runs", "inference",
        "models",
    "data", "environments", "tabular", "recipe", "interfaces", "rewards", "registry", "utils",
)  # fmt: skip
"""The folders of framework/, from the top floor down. A file imports from its own floor and from those below it."""


def imports_within_framework() -> dict[str, set[str]]:
    """Each module of framework/ and those of it that it imports, without the package's name in front."""
    modules = {
        package_of(path) + (f".{path.stem}" if path.stem != "__init__" else ""): path for path in sources(FRAMEWORK)
    }
    found = {}
    for module, path in modules.items():
        names = {name for name in imports(path) if name in modules and name not in {"bfmkit", module}}
        # `from package import module` names both; the module is what is meant.
        packages = {name for name in names if any(other.startswith(f"{name}.") for other in names)}
        found[module.removeprefix("bfmkit.")] = {name.removeprefix("bfmkit.") for name in names - packages}
    return found


def test_every_folder_has_its_floor_and_nothing_else_lies_at_the_top() -> None:
    folders = {path.name for path in FRAMEWORK.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(FLOORS) - {"api"}
    assert {path.name for path in FRAMEWORK.iterdir() if path.is_file()} <= {
        "__init__.py",
        "__main__.py",
        "api.py",
        "py.typed",
    }


def test_no_import_runs_up() -> None:
    up = [
        (module, other)
        for module, others in imports_within_framework().items()
        for other in others
        if module not in {"bfmkit", "__main__"}
        and FLOORS.index(module.split(".")[0]) > FLOORS.index(other.split(".")[0])
    ]
    assert up == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {module: others for module, others in imports_within_framework().items() if module != "bfmkit"}
    while leaves := {module for module, others in graph.items() if not others & graph.keys()}:
        graph = {module: others for module, others in graph.items() if module not in leaves}
    assert circles(graph) == {}


def circles(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left once modules that nobody in the rest imports are gone too."""
    while tops := graph.keys() - {other for others in graph.values() for other in others}:
        graph = {module: others for module, others in graph.items() if module not in tops}
    return graph


NO_TEST_OF_THEIR_OWN = {
    "framework/data/exploration",
    "framework/data/stored_dataset",
    "framework/data/stored_transitions",
    "framework/environments/body",
    "framework/evaluation/diagnostics/online",
    "framework/evaluation/diagnostics/policy_evaluation",
    "framework/evaluation/diagnostics/report",
    "framework/live/build",
    "framework/live/player",
    "framework/live/scene",
    "framework/live/serve",
    "framework/live/server",
    "framework/regret/pool_model",
    "framework/report/pictures",
    "framework/report/plots/trace",
    "framework/runs/recording",
    "framework/runs/run_records",
}
"""Files without a mirrored test, tested through their users. The set only shrinks."""


def test_tests_mirror_the_sources() -> None:
    tests = {str(path.relative_to(ROOT / "tests")) for path in sources(ROOT / "tests")}
    files = [path.relative_to(ROOT).with_suffix("") for path in sources(FRAMEWORK) + sources(COMPONENTS)]
    # An interface is tested by what implements it, a contract by what passes it.
    abstract = {Path("framework/interfaces"), Path("framework/testing")}
    bare = {
        str(file)
        for file in files
        if file.name not in {"__init__", "__main__"}
        and file.parent not in abstract
        and f"{file.parent}/test_{file.name}.py" not in tests
    }
    assert bare == NO_TEST_OF_THEIR_OWN


def test_every_test_stands_where_its_source_does() -> None:
    """``test_NAME.py``, or ``test_NAME_ASPECT.py`` where one file would be too long."""
    files = {str(path.relative_to(ROOT).with_suffix("")) for path in sources(FRAMEWORK) + sources(COMPONENTS)}
    astray = []
    for root in ("framework", "components"):
        for path in (ROOT / "tests" / root).rglob("test_*.py"):
            own = path.relative_to(ROOT / "tests").parent / path.stem.removeprefix("test_")
            if not any(str(own) == file or str(own).startswith(f"{file}_") for file in files):
                astray.append(str(own))
    assert astray == []


def test_interfaces_know_little_but_interfaces() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources(FRAMEWORK / "interfaces")
        for module in imports(path)
        if module.startswith("bfmkit")
        and not module.startswith(
            (
                "bfmkit.interfaces",
                "bfmkit.utils.rng",
                "bfmkit.utils.errors",
                "bfmkit.rewards.expression",
                "bfmkit.registry",
            )
        )
    ]
    assert guilty == []


def test_nothing_imports_the_folders_by_name() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}: {module}"
        for folder in (FRAMEWORK, COMPONENTS, ROOT / "tests")
        for path in sources(folder)
        for module in imports(path)
        if module.split(".")[0] in HOUSEHOLD
    ]
    assert guilty == []


def test_the_library_prints_nothing_and_has_no_junk_folders() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in (FRAMEWORK, COMPONENTS)
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert guilty == []
    names = {part for path in sources(FRAMEWORK) + sources(COMPONENTS) for part in path.relative_to(ROOT).parts}
    assert not names & {"common", "helpers", "base", "misc"}


def test_every_folder_with_code_is_packaged() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {package_of(path) for path in sources(FRAMEWORK) + sources(COMPONENTS)}
    if any((ROOT / "recipes").glob("*.py")):
        there.add("bfmkit.recipes")
    assert there == listed
    assert all((path.parent / "__init__.py").exists() for path in sources(FRAMEWORK) + sources(COMPONENTS))


@pytest.mark.parametrize("folder", [kind.folder for kind in KINDS.values() if kind.name != "job"])
def test_every_kind_has_its_folder(folder: str) -> None:
    assert (COMPONENTS / folder / "__init__.py").exists()


def test_the_walk_sees_every_way_of_importing(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("import a.b\nfrom c import d\ndef f():\n    from e.f import g as h\n")
    assert sorted(imports(path)) == ["a.b", "c", "c.d", "e.f", "e.f.g"]
