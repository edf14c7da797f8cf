"""From a file to a built job, and every way in which that is refused."""

# ruff: noqa: E501  a table of cases reads best with a case a line

from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.interfaces import EnvironmentSpec, Gate, Schedule
from bfmkit.recipe import RecipeError, build_node, check_node, load_recipe
from bfmkit.testing.models import ball_spec

BASE = "type: toy\ngate: {type: toy, threshold: 2}\n"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def problems(name: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, overrides).build()
    assert str(caught.value).split("\n") == list(map(str, caught.value.problems))
    return list(map(str, caught.value.problems))


def test_a_recipe_is_built(toys, here: Path) -> None:
    write(here, mine=BASE + "later: {type: toy_pair, gate: {type: toy}}\nrate: 1\npath: a/b\nrow: [{type: toy}]\n")
    recipe = load_recipe("mine.yaml")
    assert (recipe.name, recipe.source, recipe.job_class) == ("mine", "mine.yaml", toys.Job)
    job = recipe.build()
    assert isinstance(job.gate, toys.Gate)
    assert job.gate.threshold == 2.0
    assert isinstance(job.gate.threshold, float)
    assert job.path == Path("a/b")
    assert isinstance(job.row[0], toys.Gate)
    assert job.steps == 3
    later = job.later.build(ball_spec())
    assert isinstance(later, toys.PairGate)
    assert later.spec == ball_spec()
    assert later is not job.later.build(ball_spec())


def test_a_resolved_recipe_is_a_recipe(toys, here: Path) -> None:
    write(here, base=BASE + "name: ${gate.type}-1e-3\nseed: 4\n", mine="extends: base\ngate: {mode: soft}\n")
    recipe = load_recipe("mine", ["steps=7"])
    write(here, again=recipe.to_yaml())
    again = load_recipe("again")
    assert again.tree == recipe.tree == {
        "type": "toy", "gate": {"type": "toy", "threshold": 2, "mode": "soft"}, "name": "toy-1e-3", "seed": 4, "steps": 7,
    }  # fmt: skip
    assert recipe.to_yaml().startswith("schema_version: 1\n")


def test_a_shipped_recipe_can_be_extended_by_name(toys, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "shipped").mkdir()
    write(here / "shipped", toy_base=BASE)
    monkeypatch.setattr("bfmkit.recipe.sources.shipped", lambda: {"toy_base": here / "shipped" / "toy_base.yaml"})
    write(here, mine="extends: toy_base\nsteps: 1")
    assert load_recipe("mine").build().steps == 1
    assert load_recipe("toy_base").build().steps == 3
    assert load_recipe("shipped/toy_base").build().steps == 3
    assert problems("toy_bass") == [
        'toy_bass: there is neither such a file nor such a shipped recipe; did you mean "toy_base"? (toy_base)'
    ]
    assert problems("toy_bass.yaml")[0].startswith("toy_bass.yaml: there is no such file; did you mean")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # misspelt type, key; wrong value; missing value; all of them at once
        (
            "type: toy\ngate: {type: toi, threshold: 1}\nstepz: 3\nseed: many\n",
            [
                'bad.yaml: gate.type: no gate "toi"; did you mean "toy"? (always',
                'bad.yaml: stepz: "toy" has no argument "stepz"; did you mean "steps"? (gate, later',
                'bad.yaml: seed: expected a whole number, got "many"',
            ],
        ),
        ("type: toi\n", ['bad.yaml: type: no job "toi"; did you mean "toy"?']),
        ("type: toy\n", ['bad.yaml: gate: missing; "toy" needs a gate']),
        ("typ: toy\n", ['bad.yaml: typ: no such key; did you mean "type"?']),
        ("extend: base\n", ['bad.yaml: extend: no such key; did you mean "extends"?']),
        ("steps: 3\n", ["bad.yaml: type: missing; a job says which one it is (benchmark, collect"]),
        ("type: toy\ngaet: {type: toy}\n", ['bad.yaml: gaet: "toy" has no argument "gaet"; did you mean "gate"?']),
        ("type: toy\ngate: {typo: toy}\n", ['bad.yaml: gate.typo: no such key; did you mean "type"?']),
        ("type: toy\ngate: {threshold: 1}\n", ["bad.yaml: gate.type: missing; a gate says which one it is (always"]),
        ("type: toy\ngate: toy\n", ["bad.yaml: gate: expected a gate (a mapping with a type), got \"toy\"; did you mean {type: toy}?"]),
        ("type: toy\ngate: 3\n", ["bad.yaml: gate: expected a gate (a mapping with a type), got 3"]),
        ("type: toy\ngate: {type: [toy]}\n", ["bad.yaml: gate.type: expected the name of a gate, got a list"]),
        ("type: toy\ngate:\n", ["bad.yaml: gate: expected a gate (a mapping with a type), got nothing"]),
        (BASE + "steps: true", ["bad.yaml: steps: expected a whole number, got true"]),
        (BASE + 'steps: "3"', ['bad.yaml: steps: expected a whole number, got "3"']),
        (BASE + "steps: 1.5", ["bad.yaml: steps: expected a whole number, got 1.5"]),
        (BASE + "steps:", ["bad.yaml: steps: expected a whole number, got nothing"]),
        (BASE + "steps: ???", ["bad.yaml: steps: must be given: a whole number"]),
        (BASE + "name: 3", ["bad.yaml: name: expected text, got 3"]),
        (BASE + "path: [a]", ["bad.yaml: path: expected a path, got a list"]),
        (BASE + "rate: fast", ['bad.yaml: rate: expected a number or "auto", got "fast"']),
        (BASE + "rate: aut", ['bad.yaml: rate: expected a number or "auto", got "aut"; did you mean "auto"?']),
        (BASE + "rate: .nan", ["bad.yaml: rate: expected a number or \"auto\", got nan"]),
        (BASE + "ends: wel", ['bad.yaml: ends: expected one of "well", "failed", "crash", "interrupt", got "wel"; did you mean "well"?']),
        (BASE + "gates: [1]", ["bad.yaml: gates: expected a mapping of gates, got a list"]),
        (BASE + "gates: {a: {type: toi}}", ['bad.yaml: gates.a.type: no gate "toi"']),
        (BASE + "row: [{type: toy}, {type: toy, treshold: 1}]", ['bad.yaml: row.1.treshold: "toy" has no argument "treshold"; did you mean "threshold"?']),
        (BASE + "row: {type: toy}", ["bad.yaml: row: expected a list of gates, got a mapping"]),
        (BASE + "either: {type: nothing}", ["bad.yaml: either: expected a schedule (a mapping with a type) or a gate"]),
        (BASE + "either: text", ['bad.yaml: either: expected a whole number, got "text"']),
        (BASE + "settings: {rat: 1}", ['bad.yaml: settings.rat: "settings" has no argument "rat"; did you mean "rate"? (rate, count)']),
        (BASE + "settings: {count: 1}", ['bad.yaml: settings.rate: missing; "settings" needs a number']),
        (BASE + "settings: 3", ["bad.yaml: settings: expected a mapping (rate, count), got 3"]),
        (BASE + "settings: {rate: x, count: y}", ["bad.yaml: settings.rate: expected a number", "bad.yaml: settings.count: expected a whole"]),
        ("type: toy\ngate: {type: toy, sizes: [1, x]}", ['bad.yaml: gate.sizes.1: expected a whole number, got "x"']),
        ("type: toy\ngate: {type: toy, sizes: 3}", ["bad.yaml: gate.sizes: expected a list of whole numbers or nothing, got 3"]),
        ("type: toy\ngate: {type: toy, pair: [1]}", ["bad.yaml: gate.pair: expected a list of 2 values, got 1"]),
        ("type: toy\ngate: {type: toy, share: 2}", ["bad.yaml: gate.share: expected a value less than or equal to 1, got 2"]),
        ("type: toy\ngate: {type: toy, flag: 1}", ["bad.yaml: gate.flag: expected true or false, got 1"]),
        ("type: toy\ngate: {type: toy, flag: yes}", ['bad.yaml: gate.flag: expected true or false, got "yes"']),
        ("type: toy\ngate: {type: toy_pair, gate: {type: toy}}", ['bad.yaml: gate.type: "toy_pair" is made for one environment']),
        (BASE + "later: {type: toy_pair, gate: {type: toy}, spec: {}}", ['bad.yaml: later.spec: "toy_pair" gets "spec" from the environment']),
        # what a constructor refuses
        ("type: toy\ngate: {type: toy, threshold: 0}", ["bad.yaml: gate: threshold must be positive, got 0.0"]),
        (
            "type: toy\ngate: {type: toy, threshold: 0}\nrow: [{type: toy}, {type: toy, threshold: -1}]",
            ["bad.yaml: gate: threshold must be positive", "bad.yaml: row.1: threshold must be positive"],
        ),
        ("type: toy\ngate: {type: toy_file, file: nowhere.txt}", ["bad.yaml: gate: there is no file nowhere.txt"]),
        # what is no recipe at all
        ("", ["bad.yaml: the file is empty"]),
        ("# nothing but a comment\n", ["bad.yaml: the file is empty"]),
        ("- type: toy\n", ["bad.yaml: expected a mapping that starts with `type: JOB`, got a list"]),
        ("toy\n", ["bad.yaml: expected a mapping that starts with `type: JOB`, got \"toy\""]),
        ("type: toy\ngate: {type: toy\n", ["bad.yaml: line 3: not YAML"]),
        ("type: toy\ntype: toy\n", ['bad.yaml: line 2: the key "type" is given twice']),
        ("type: toy\nname: !!python/object/apply:os.getcwd []\n", ["bad.yaml: line 2: the tag !!python/object/apply:os.getcwd is refused"]),
        ("extends: bad\n", ["bad.yaml: extends: a recipe cannot inherit from itself (bad.yaml -> bad.yaml)"]),
        ("extends: nowhere\n", ['bad.yaml: extends: "nowhere": there is neither such a file nor such a shipped recipe']),
        ("extends: [a, b]\n", ["bad.yaml: extends: expected the name or file of one recipe, got a list"]),
        (BASE + "schema_version: 2", ["bad.yaml: schema_version: expected 1, got 2; it needs a newer bfmkit"]),
        (BASE + "schema_version: one", ['bad.yaml: schema_version: expected 1, got "one"']),
        # interpolation
        (BASE + "name: ${oc.env:HOME}", ['bad.yaml: name: "${oc.env:HOME}": only ${path.to.key} of this recipe is allowed']),
        (BASE + "name: ${oc.${gate.type}:HOME}", ["bad.yaml: name: "]),
        (BASE + "name: a${gat.type}", ['bad.yaml: name: "a${gat.type}": this recipe says nothing of the kind; did you mean "gate.type"?']),
        (BASE + "name: ${path}\npath: ${name}", ["bad.yaml: path: ", "bad.yaml: name: "]),
        (BASE + "steps: ${gate.type}", ['bad.yaml: steps: expected a whole number, got "toy"']),
        (BASE + "name: ${nothing}\nsteps: x", ["bad.yaml: name: ", "bad.yaml: steps: expected a whole number"]),
    ],
)  # fmt: skip
def test_a_bad_recipe_is_refused_with_every_reason(toys, here: Path, text: str, expected: list[str]) -> None:
    write(here, bad=text)
    found = problems("bad.yaml")
    assert len(found) == len(expected), found
    for line in expected:
        assert any(each.startswith(line) for each in found), found


def test_problems_name_the_file_that_is_to_blame(toys, here: Path) -> None:
    (here / "deep").mkdir()
    write(here / "deep", base="type: toy\nsteps: x\nseed: y\n")
    write(here, middle="extends: deep/base\nseed: z\n", mine="extends: middle\nends: never\n")
    assert [line.split(":")[:2] for line in problems("mine", "name=3", "gat=1")] == [
        ["deep/base.yaml", " steps"],
        ["middle.yaml", " seed"],
        ["mine.yaml", " ends"],
        ["command line", " name"],
        ["command line", " gat"],
    ]
    assert [line.split(":")[:2] for line in problems("mine")][-1] == ["mine.yaml", " gate"]


def test_a_constructor_s_refusal_goes_to_whoever_spoke_last(toys, here: Path) -> None:
    write(
        here,
        base="type: toy\ngate: {type: toy}\n",
        mine="extends: base\ngate: {threshold: -1}\n",
        other="extends: base\n",
    )
    assert problems("mine") == ["mine.yaml: gate: threshold must be positive, got -1.0"]
    assert problems("mine", "gate.threshold=-2") == ["command line: gate: threshold must be positive, got -2.0"]
    assert problems("other", "gate.threshold=0") == ["command line: gate: threshold must be positive, got 0.0"]


def test_a_circle_of_recipes_is_refused(toys, here: Path) -> None:
    write(here, a="extends: b", b="extends: c", c="extends: a")
    assert problems("a") == [
        "c.yaml: extends: a recipe cannot inherit from itself (a.yaml -> b.yaml -> c.yaml -> a.yaml)"
    ]


def test_what_cannot_be_read_is_refused(toys, here: Path) -> None:
    (here / "binary.yaml").write_bytes(b"type: \xff\xfe")
    assert problems("binary")[0].startswith("binary.yaml: not a text file in UTF-8")
    (here / "folder").mkdir()
    assert problems("folder") == ["folder: expected a recipe, and this is a folder"]
    assert "there is no such file" in problems("nowhere/x.yaml")[0]


def test_overrides_are_checked_against_the_constructor(toys, here: Path) -> None:
    write(here, mine=BASE)
    job = load_recipe("mine", ["gate.mode=soft", "steps=5", "name=a=b=c", "rate=1e-2", "path=x"]).build()
    assert (job.gate.mode, job.steps, job.name, job.rate, job.path) == ("soft", 5, "a=b=c", 0.01, Path("x"))
    assert load_recipe("mine", {"gate.sizes": (1, 2), "path": Path("y")}).build().gate.sizes == [1, 2]
    assert load_recipe("mine", ["gate={type: always}"]).tree["gate"] == {"type": "always"}
    assert load_recipe("mine", ["gate={mode: soft}"]).tree["gate"] == {"type": "toy", "threshold": 2, "mode": "soft"}
    assert load_recipe("mine", ["gate.threshold=${steps}", "steps=4"]).build().gate.threshold == 4
    for override, expected in {
        "gate.treshold=1": 'command line: gate.treshold: "toy" has no argument "treshold"; did you mean "threshold"?',
        "gait.threshold=1": 'command line: gait: "toy" has no argument "gait"; did you mean "gate"?',
        "steps.x=1": "command line: steps: expected a whole number, got a mapping",
        "gate.threshold.x=1": 'command line: gate.threshold.x: "gate.threshold" is 2, and has nothing inside',
        "later.threshold=1": "command line: later.type: missing; a gate says which one it is",
        "steps=x": 'command line: steps: expected a whole number, got "x"',
        "steps": 'command line: "steps": expected path.to.key=value',
        "=3": 'command line: "=3": expected path.to.key=value',
        "gate..mode=3": 'command line: "gate..mode=3": expected path.to.key=value',
        "name=[": "command line: name: not YAML",
        "name=!!python/name:os.system": "command line: name: the tag",
        "name=${oc.env:HOME}": "command line: name: ",
        "schema_version=2": "command line: schema_version: belongs to the file",
        "extends=other": "command line: extends: belongs to the file",
    }.items():
        found = problems("mine", override)
        assert len(found) == 1, found
        assert found[0].startswith(expected), found


def test_another_type_drops_what_belonged_to_the_old_one(toys, here: Path) -> None:
    write(here, mine=BASE)
    assert load_recipe("mine", ["gate.type=always"]).tree["gate"] == {"type": "always"}
    assert load_recipe("mine", ["gate.type=toy"]).tree["gate"] == {"type": "toy", "threshold": 2}
    # In whatever order they are given.
    for overrides in (["later.type=toy", "later.mode=soft"], ["later.mode=soft", "later.type=toy"]):
        assert load_recipe("mine", overrides).tree["later"] == {"type": "toy", "mode": "soft"}


def test_a_union_takes_what_fits(toys, here: Path) -> None:
    write(here, mine=BASE)
    assert load_recipe("mine", ["either=3"]).build().either == 3
    assert isinstance(load_recipe("mine", ["either={type: toy}"]).build().either, Gate)
    assert isinstance(load_recipe("mine", ["either={type: episode}"]).build().either, Schedule)
    assert load_recipe("mine", ["either=null"]).build().either is None


def test_settings_are_a_dataclass(toys, here: Path) -> None:
    write(here, mine=BASE + "settings: {rate: 2}\n")
    assert load_recipe("mine").build().settings == toys.Settings(2.0, 2)


def test_nodes_are_built_from_python_too(toys) -> None:
    tree = {"type": "toy_pair", "gate": {"type": "toy_pair", "gate": {"type": "toy"}}}
    built = build_node(Gate, tree, spec=ball_spec())
    assert isinstance(built.spec, EnvironmentSpec)
    assert built.gate.spec is built.spec
    with pytest.raises(RecipeError, match="^somewhere: type: .*made for one environment"):
        build_node(Gate, tree, source="somewhere")
    assert check_node(Gate, tree).tree is not tree
    with pytest.raises(RecipeError, match='no gate "toi"'):
        check_node(Gate, {"type": "toi"})
