"""The example in each component's docstring is right: a node that its kind's check accepts, or a command."""

from __future__ import annotations

import inspect
import re
import shlex

import pytest

from bfmkit.interfaces import Job
from bfmkit.recipe import check_node, load_recipe
from bfmkit.recipe.yaml_text import read
from bfmkit.registry import lookup, names
from bfmkit.registry.kinds import KINDS

COMPONENTS = [(kind, name) for kind in KINDS for name in names(kind)]


def example_of(cls: type) -> str:
    text = re.search(r"^Example:\n +``(.*?)``$", inspect.getdoc(cls) or "", flags=re.MULTILINE | re.DOTALL)
    assert text is not None, f"{cls.__module__}: no example"
    return " ".join(text[1].split())


@pytest.mark.parametrize(("kind", "name"), [each for each in COMPONENTS if each[0] != "job"])
def test_the_example_of_a_component_is_a_node_of_it(kind: str, name: str) -> None:
    interface = KINDS[kind].interface()
    example = re.fullmatch(r"([\w.]+)(?:=|: )({.*})", example_of(lookup(interface, name)))
    assert example is not None
    key, node = example[1], read(example[2])
    assert node["type"] == name
    assert check_node(interface, node, key).cls is lookup(interface, name)


@pytest.mark.parametrize("name", [name for kind, name in COMPONENTS if kind == "job"])
def test_the_example_of_a_job_is_a_command_that_runs_it(name: str) -> None:
    program, command, recipe, *overrides = shlex.split(example_of(lookup(Job, name)))
    assert (program, command) == ("bfmkit", "run")
    assert load_recipe(recipe, overrides).job_class is lookup(Job, name)
