"""Contract tests of registered components, found by reading the tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bfmkit.registry import discovery, registry
from bfmkit.registry.kinds import KINDS


def contract_name(kind: str) -> str:
    """Name of the contract class of a kind: ``feature_map`` -> ``FeatureMapContract``."""
    return f"{KINDS[kind].interface().__name__}Contract"


@dataclass(frozen=True)
class Untested:
    """Component file that no contract test builds."""

    kind: str
    name: str
    class_name: str
    file: Path

    def __str__(self) -> str:
        wanted = f"no subclass of {contract_name(self.kind)} makes a {self.class_name}"
        return f"{self.kind} {self.name!r} ({self.file}): {wanted}"


def untested(tests: Path, packages: tuple[str, ...] | None = None) -> list[Untested]:
    """Components of ``packages`` (None: all) without a contract test below ``tests``.

    A test class counts for a component if it inherits from the contract of its kind, or from one that extends it and
    ends in its name, directly or through other classes of the same file, and a ``make`` of it, or of such a class,
    names the component's class.
    """
    made = set().union(*(_made(path) for path in sorted(tests.rglob("test_*.py"))), set())
    missing = []
    for kind in KINDS.values():
        for package in packages or discovery.packages():
            for name, file in discovery.component_files(package, kind.folder):
                missing += [
                    Untested(kind.name, name, class_name, file)
                    for class_name in _registered(file)
                    if not any(
                        cls == class_name and contract.endswith(contract_name(kind.name)) for contract, cls in made
                    )
                ]
    return missing


def _registered(file: Path) -> list[str]:
    """The classes and functions that a file registers."""
    definitions = (ast.ClassDef, ast.FunctionDef)
    return [
        node.name
        for node in ast.parse(file.read_bytes()).body
        if isinstance(node, definitions)
        and any(isinstance(each, ast.Call) and _last(each.func) == "register" for each in node.decorator_list)
    ]


def _made(path: Path) -> set[tuple[str, str]]:
    """(contract, class named in ``make``) for each test class in a file."""
    classes = {node.name: node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.ClassDef)}
    made = set()
    for node in classes.values():
        if not node.name.startswith("Test"):
            continue
        lineage = list(_lineage(node, classes))
        make = next((function for each in lineage if (function := _make(each)) is not None), None)
        if make is not None:
            words = {_last(inner) for inner in ast.walk(make)}
            contracts = {_last(base) for each in lineage for base in each.bases}
            made |= {(contract, word) for contract in contracts for word in words if word}
    return made


def _lineage(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    yield node
    for base in node.bases:
        parent = classes.get(_last(base))
        if parent is not None and parent is not node:
            yield from _lineage(parent, classes)


def _make(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "make"), None)


def _last(node: ast.AST) -> str:
    """The last word of a dotted name; nothing for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@contextmanager
def registered(interface: type, name: str, cls: type) -> Iterator[type]:
    """Context in which a class is registered, for tests that need components of their own."""
    key: tuple[str, str] = (interface.kind, name)  # type: ignore[attr-defined]
    registry.register(interface, name)(cls)
    try:
        yield cls
    finally:
        registry._classes.pop(key, None)
