from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit import registry
from bfmkit.models import zoo
from bfmkit.recipe.sources import shipped
from bfmkit.recipe.yaml_text import read
from bfmkit.registry.kinds import KINDS


def test_everything_is_listed(bfmkit, here: Path) -> None:
    outcome = bfmkit("list")
    assert outcome.code == 0
    assert outcome.err == ""
    headings = [line for line in outcome.out.splitlines() if not line.startswith(" ")]
    assert headings == [f"{kind}:" for kind in ["model", *KINDS, "recipe"]]
    assert "  ridge                        Ridge regression on the rewards so far" in outcome.out
    assert "BROKEN" not in outcome.out


def test_one_kind_is_listed(bfmkit, here: Path) -> None:
    lines = bfmkit("list", "schedule").out.splitlines()
    assert lines[0] == "schedule:"
    assert {"episode", "every"} <= {line.split()[0] for line in lines[1:]}
    names = {line.split()[0] for line in bfmkit("list", "recipe").out.splitlines()[1:]}
    assert names == set(shipped())


def test_an_unknown_kind_is_refused(bfmkit, here: Path) -> None:
    outcome = bfmkit("list", "shedule")
    assert outcome.code == 2
    assert outcome.err.startswith('no kind and no component "shedule"; did you mean "schedule"?; kinds are job, ')
    outcome = bfmkit("list", "posterior.rigde")
    assert outcome.code == 2
    assert outcome.err.startswith('no posterior "rigde"; did you mean "ridge"? (')


def test_models_are_listed_with_body_and_tasks(bfmkit, here: Path) -> None:
    lines = bfmkit("list", "model").out.splitlines()
    assert lines[0] == "model:"
    assert "  zoo:walker-fb                  walker: forward_backward; tasks stand, walk, run, flip" in lines
    assert [line.split()[0] for line in lines[1:]] == [f"zoo:{name}" for name in zoo.names()]


@pytest.mark.parametrize("words", ["model.walker", "model.zoo:walker", "zoo:walker"])
def test_a_model_is_shown_with_its_use(bfmkit, here: Path, words: str) -> None:
    lines = bfmkit("list", words).out.splitlines()
    assert lines[1].startswith("  zoo:walker ") and "tasks stand, walk, run, flip" in lines[1]
    assert read(lines[-1]) == {"bfm": {"type": "checkpoint", "path": "zoo:walker"}}


def test_a_recipe_is_shown_by_its_first_line(bfmkit, here: Path) -> None:
    for words in ("recipe.opti_bfm", "opti_bfm"):
        assert bfmkit("list", words).out.startswith("recipe.opti_bfm: OpTI-BFM with the settings of the paper")
    # A component comes first where a recipe has its name too.
    assert bfmkit("list", "inspect").out.startswith("job.inspect: ")
    assert bfmkit("list", "recipe.inspect").out.startswith("recipe.inspect: ")
    assert bfmkit("list", "recipe.nowhere").code == bfmkit("list", "zoo:nowhere").code == 2


def test_a_component_is_shown_with_arguments_defaults_and_an_example(bfmkit, here: Path) -> None:
    for words in ("posterior.ridge", "ridge"):
        outcome = bfmkit("list", words)
        assert (outcome.code, outcome.err) == (0, "")
        lines = outcome.out.splitlines()
        assert lines[0].startswith("posterior.ridge: Ridge regression on the rewards so far")
        place = lines.index("  regularization: a number; default 1.0")
        assert lines[place + 1] == "      λ > 0, the weight of the prior w = 0."
        example = lines[lines.index("in a recipe:") + 1]
        assert read(example) == {"posterior": {"type": "ridge", "regularization": 1.0, "discount": 1.0}}
        assert lines[-1].endswith("posteriors/ridge.py")


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_component_can_be_shown(bfmkit, here: Path, kind: str) -> None:
    for name in registry.names(kind):
        outcome = bfmkit("list", f"{kind}.{name}")
        assert outcome.code == 0, outcome.err
        lines = outcome.out.splitlines()
        node = read(lines[lines.index("in a recipe:") + 1])
        assert (node if kind == "job" else node[kind])["type"] == name


def test_quantities_are_listed_with_units_and_functions_with_arguments(bfmkit, here: Path) -> None:
    outcome = bfmkit("list", "quantities")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings == ["cheetah:", "point_mass_maze:", "quadruped:", "walker:", "any domain:", "functions:"]
    assert "  horizontal_velocity      m/s      of the centre of mass, forward positive" in lines
    assert "  tolerance(x, lower, upper, margin=0, value_at_margin=0.1)" in lines
    assert any(line.startswith("  step ") for line in lines)
