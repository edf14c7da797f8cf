from __future__ import annotations

from pathlib import Path

from bfmkit.kinds import KINDS
from bfmkit.recipe.sources import shipped


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
