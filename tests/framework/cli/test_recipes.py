"""``show``, ``copy``, ``check``, ``schema``."""

from __future__ import annotations

import json
from pathlib import Path

from bfmkit.recipe.sources import shipped


def test_show_prints_a_recipe_that_is_whole(toys, bfmkit, here: Path) -> None:
    (here / "base.yaml").write_text("type: toy\nquery_rule: {type: toy}\nname: ${query_rule.type}\n")
    (here / "mine.yaml").write_text("extends: base\n")
    outcome = bfmkit("show", "mine", "query_rule.mode=soft")
    assert outcome.code == 0
    assert outcome.out == "schema_version: 1\ntype: toy\nquery_rule:\n  type: toy\n  mode: soft\nname: toy\n"
    assert bfmkit("show", "mine", "query_rule.mood=soft").code == 2


def test_copy_copies_and_overwrites_nothing(bfmkit, here: Path) -> None:
    name, source = next(iter(shipped().items()))
    assert bfmkit("copy", name).out == f"{name}.yaml\n"
    assert (here / f"{name}.yaml").read_text() == source.read_text()
    (here / f"{name}.yaml").write_text("mine now")
    outcome = bfmkit("copy", f"{source.parent.name}/{name}")
    assert (outcome.code, outcome.err) == (2, f"{name}.yaml: is there already\n")
    assert (here / f"{name}.yaml").read_text() == "mine now"
    (here / "folder").mkdir()
    assert bfmkit("copy", f"{source.parent.name}/{name}", "folder").out == f"folder/{name}.yaml\n"
    assert bfmkit("copy", f"{source.parent.name}/{name}", "other.yaml").code == 0
    assert bfmkit("copy", f"{source.parent.name}/{name}", "no/such/folder.yaml").code == 2
    assert bfmkit("copy", "no_such_recipe").code == 2


def test_check_reports_on_each(toys, bfmkit, here: Path) -> None:
    (here / "good.yaml").write_text("type: toy\nquery_rule: {type: toy}\n")
    (here / "bad.yaml").write_text("type: toy\nquery_rule: {type: toy, threshold: 0}\n")
    (here / "worse.yaml").write_text("type: toy\n")
    outcome = bfmkit("check", "bad.yaml", "good", "worse")
    assert outcome.code == 2
    assert outcome.out == "ok good.yaml\n"
    assert [line.split(":")[0] for line in outcome.err.splitlines()] == ["bad.yaml", "worse.yaml"]
    assert bfmkit("check", "good.yaml") == (0, "ok good.yaml\n", "")


def test_check_takes_overrides(toys, bfmkit, here: Path) -> None:
    for name in ("one", "two"):
        (here / f"{name}.yaml").write_text("type: toy\nquery_rule: {type: toy}\n")
    assert bfmkit("check", "one", "two", "steps=4").out == "ok one.yaml\nok two.yaml\n"
    outcome = bfmkit("check", "one", "steps=many", "two.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines() == ['command line: steps: expected a whole number, got "many"'] * 2
    outcome = bfmkit("check", "environment.task=walk")
    assert (outcome.code, outcome.err) == (2, "environment.task=walk: name the recipe that it changes\n")
    (here / "a=b.yaml").write_text("type: toy\nquery_rule: {type: toy}\n")
    assert bfmkit("check", "a=b.yaml").out == "ok a=b.yaml\n"


def test_a_recipe_is_copied_beside_an_earlier_copy_of_it(bfmkit, here: Path) -> None:
    assert bfmkit("copy", "random").code == 0
    (here / "random.yaml").write_text("mine now")
    assert bfmkit("copy", "random", "again.yaml").code == 0
    assert (here / "again.yaml").read_text() == shipped()["random"].read_text()


def test_check_is_patient_with_files_that_another_job_will_write(toys, bfmkit, here: Path) -> None:
    (here / "early.yaml").write_text("type: toy\nquery_rule: {type: toy_file, file: later.txt}\n")
    outcome = bfmkit("check", "early.yaml")
    assert outcome == (0, "ok early.yaml\n", "early.yaml: query_rule: there is no file later.txt (yet)\n")


def test_schema_is_json(bfmkit, here: Path) -> None:
    outcome = bfmkit("schema")
    assert outcome.code == 0
    assert json.loads(outcome.out)["$schema"].startswith("https://json-schema.org")
