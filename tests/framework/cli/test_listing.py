from __future__ import annotations

from pathlib import Path

from bfmkit.recipe.sources import shipped
from bfmkit.registry.kinds import KINDS


def test_everything_is_listed(bfmkit, here: Path) -> None:
    outcome = bfmkit("list")
    assert outcome.code == 0
    assert outcome.err == ""
    headings = [line for line in outcome.out.splitlines() if not line.startswith(" ")]
    assert headings == [f"{kind}:" for kind in [*KINDS, "recipe"]]
    assert "  ridge                        Regularised least squares" in outcome.out
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
    assert outcome.err.startswith('no kind "shedule"; did you mean "schedule"? (job, ')


def test_quantities_are_listed_with_units_and_functions_with_arguments(bfmkit, here: Path) -> None:
    outcome = bfmkit("list", "quantities")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings == ["cheetah:", "point_mass_maze:", "quadruped:", "walker:", "any domain:", "functions:"]
    assert "  horizontal_velocity      m/s      of the centre of mass, forward positive" in lines
    assert "  tolerance(x, lower, upper, margin=0, value_at_margin=0.1)" in lines
    assert any(line.startswith("  step ") for line in lines)
