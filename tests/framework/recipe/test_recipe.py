"""From a file to a built job, and every way in which that is refused."""

# ruff: noqa: E501  a table of cases reads best with a case a line

from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.interfaces import EnvironmentSpec, QueryRule, Schedule
from bfmkit.recipe import RecipeError, build_node, check_node, load_recipe
from bfmkit.testing.models import ball_spec

BASE = "type: toy\nquery_rule: {type: toy, threshold: 2}\n"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def problems(name: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, overrides).build()
    assert str(caught.value).split("\n") == list(map(str, caught.value.problems))
    return list(map(str, caught.value.problems))


def test_a_recipe_is_built(toys, here: Path) -> None:
    write(
        here, mine=BASE + "later: {type: toy_pair, query_rule: {type: toy}}\nrate: 1\npath: a/b\nrow: [{type: toy}]\n"
    )
    recipe = load_recipe("mine.yaml")
    assert (recipe.name, recipe.source, recipe.job_class) == ("mine", "mine.yaml", toys.Job)
    job = recipe.build()
    assert isinstance(job.query_rule, toys.QueryRule)
    assert job.query_rule.threshold == 2.0
    assert isinstance(job.query_rule.threshold, float)
    assert job.path == Path("a/b")
    assert isinstance(job.row[0], toys.QueryRule)
    assert job.steps == 3
    later = job.later.build(ball_spec())
    assert isinstance(later, toys.PairQueryRule)
    assert later.spec == ball_spec()
    assert later is not job.later.build(ball_spec())


def test_a_resolved_recipe_is_a_recipe(toys, here: Path) -> None:
    write(
        here, base=BASE + "name: ${query_rule.type}-1e-3\nseed: 4\n", mine="extends: base\nquery_rule: {mode: soft}\n"
    )
    recipe = load_recipe("mine", ["steps=7"])
    write(here, again=recipe.to_yaml())
    again = load_recipe("again")
    assert again.tree == recipe.tree == {
        "type": "toy", "query_rule": {"type": "toy", "threshold": 2, "mode": "soft"}, "name": "toy-1e-3", "seed": 4, "steps": 7,
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
        'toy_bass: there is neither such a file nor such a shipped recipe; did you mean "toy_base"?'
    ]
    assert problems("toy_bass.yaml")[0].startswith("toy_bass.yaml: there is no such file; did you mean")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # misspelt type, key; wrong value; missing value; all of them at once
        (
            "type: toy\nquery_rule: {type: toi, threshold: 1}\nstepz: 3\nseed: many\n",
            [
                'bad.yaml: query_rule.type: no query_rule "toi"; did you mean "toy"? (always',
                'bad.yaml: stepz: "toy" has no argument "stepz"; did you mean "steps"? (query_rule, later',
                'bad.yaml: seed: expected a whole number, got "many"',
            ],
        ),
        ("type: toi\n", ['bad.yaml: type: no job "toi"; did you mean "toy"?']),
        ("type: toy\n", ['bad.yaml: query_rule: missing; "toy" needs a query_rule']),
        ("typ: toy\n", ['bad.yaml: typ: no such key; did you mean "type"?']),
        ("extend: base\n", ['bad.yaml: extend: no such key; did you mean "extends"?']),
        ("steps: 3\n", ["bad.yaml: type: missing; a job says which one it is (benchmark, collect"]),
        ("type: toy\nquery_rul: {type: toy}\n", ['bad.yaml: query_rul: "toy" has no argument "query_rul"; did you mean "query_rule"?']),
        ("type: toy\nquery_rule: {typo: toy}\n", ['bad.yaml: query_rule.typo: no such key; did you mean "type"?']),
        ("type: toy\nquery_rule: {threshold: 1}\n", ["bad.yaml: query_rule.type: missing; a query_rule says which one it is (always"]),
        ("type: toy\nquery_rule: toy\n", ["bad.yaml: query_rule: expected a query_rule (a mapping with a type), got \"toy\"; did you mean {type: toy}?"]),
        ("type: toy\nquery_rule: 3\n", ["bad.yaml: query_rule: expected a query_rule (a mapping with a type), got 3"]),
        ("type: toy\nquery_rule: {type: [toy]}\n", ["bad.yaml: query_rule.type: expected the name of a query_rule, got a list"]),
        ("type: toy\nquery_rule:\n", ["bad.yaml: query_rule: expected a query_rule (a mapping with a type), got nothing"]),
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
        (BASE + "query_rules: [1]", ["bad.yaml: query_rules: expected a mapping of query_rules, got a list"]),
        (BASE + "query_rules: {a: {type: toi}}", ['bad.yaml: query_rules.a.type: no query_rule "toi"']),
        (BASE + "row: [{type: toy}, {type: toy, treshold: 1}]", ['bad.yaml: row.1.treshold: "toy" has no argument "treshold"; did you mean "threshold"?']),
        (BASE + "row: {type: toy}", ["bad.yaml: row: expected a list of query_rules, got a mapping"]),
        (BASE + "either: {type: nothing}", ["bad.yaml: either: expected a schedule (a mapping with a type) or a query_rule"]),
        (BASE + "either: text", ['bad.yaml: either: expected a whole number, got "text"']),
        (BASE + "settings: {rat: 1}", ['bad.yaml: settings.rat: "settings" has no argument "rat"; did you mean "rate"? (rate, count)']),
        (BASE + "settings: {count: 1}", ['bad.yaml: settings.rate: missing; "settings" needs a number']),
        (BASE + "settings: 3", ["bad.yaml: settings: expected a mapping (rate, count), got 3"]),
        (BASE + "settings: {rate: x, count: y}", ["bad.yaml: settings.rate: expected a number", "bad.yaml: settings.count: expected a whole"]),
        ("type: toy\nquery_rule: {type: toy, sizes: [1, x]}", ['bad.yaml: query_rule.sizes.1: expected a whole number, got "x"']),
        ("type: toy\nquery_rule: {type: toy, sizes: 3}", ["bad.yaml: query_rule.sizes: expected a list of whole numbers or nothing, got 3"]),
        ("type: toy\nquery_rule: {type: toy, pair: [1]}", ["bad.yaml: query_rule.pair: expected a list of 2 values, got 1"]),
        ("type: toy\nquery_rule: {type: toy, share: 2}", ["bad.yaml: query_rule.share: expected a value less than or equal to 1, got 2"]),
        ("type: toy\nquery_rule: {type: toy, flag: 1}", ["bad.yaml: query_rule.flag: expected true or false, got 1"]),
        ("type: toy\nquery_rule: {type: toy, flag: yes}", ['bad.yaml: query_rule.flag: expected true or false, got "yes"']),
        ("type: toy\nquery_rule: {type: toy_pair, query_rule: {type: toy}}", ['bad.yaml: query_rule.type: "toy_pair" is made for one environment']),
        (BASE + "later: {type: toy_pair, query_rule: {type: toy}, spec: {}}", ['bad.yaml: later.spec: "toy_pair" gets "spec" from the environment']),
        # what a constructor refuses
        ("type: toy\nquery_rule: {type: toy, threshold: 0}", ["bad.yaml: query_rule: threshold must be positive, got 0.0"]),
        (
            "type: toy\nquery_rule: {type: toy, threshold: 0}\nrow: [{type: toy}, {type: toy, threshold: -1}]",
            ["bad.yaml: query_rule: threshold must be positive", "bad.yaml: row.1: threshold must be positive"],
        ),
        ("type: toy\nquery_rule: {type: toy_file, file: nowhere.txt}", ["bad.yaml: query_rule: there is no file nowhere.txt"]),
        # what is no recipe at all
        ("", ["bad.yaml: the file is empty"]),
        ("# nothing but a comment\n", ["bad.yaml: the file is empty"]),
        ("- type: toy\n", ["bad.yaml: expected a mapping that starts with `type: JOB`, got a list"]),
        ("toy\n", ["bad.yaml: expected a mapping that starts with `type: JOB`, got \"toy\""]),
        ("type: toy\nquery_rule: {type: toy\n", ["bad.yaml: line 3: not YAML"]),
        ("type: toy\ntype: toy\n", ['bad.yaml: line 2: the key "type" is given twice']),
        ("type: toy\nname: !!python/object/apply:os.getcwd []\n", ["bad.yaml: line 2: the tag !!python/object/apply:os.getcwd is refused"]),
        ("extends: bad\n", ["bad.yaml: extends: a recipe cannot inherit from itself (bad.yaml -> bad.yaml)"]),
        ("extends: nowhere\n", ['bad.yaml: extends: "nowhere": there is neither such a file nor such a shipped recipe']),
        ("extends: [a, b]\n", ["bad.yaml: extends: expected the name or file of one recipe, got a list"]),
        (BASE + "schema_version: 2", ["bad.yaml: schema_version: expected 1, got 2; it needs a newer bfmkit"]),
        (BASE + "schema_version: one", ['bad.yaml: schema_version: expected 1, got "one"']),
        # interpolation
        (BASE + "name: ${oc.env:HOME}", ['bad.yaml: name: "${oc.env:HOME}": only ${path.to.key} of this recipe is allowed']),
        (BASE + "name: ${oc.${query_rule.type}:HOME}", ["bad.yaml: name: "]),
        (BASE + "name: a${query_rul.type}", ['bad.yaml: name: "a${query_rul.type}": this recipe says nothing of the kind; did you mean "query_rule.type"?']),
        (BASE + "name: ${path}\npath: ${name}", ["bad.yaml: path: ", "bad.yaml: name: "]),
        (BASE + "steps: ${query_rule.type}", ['bad.yaml: steps: expected a whole number, got "toy"']),
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
    assert [line.split(":")[:2] for line in problems("mine", "rate=x", "query_rul=1")] == [
        ["deep/base.yaml", " steps"],
        ["middle.yaml", " seed"],
        ["mine.yaml", " ends"],
        ["command line", " rate"],
        ["command line", " query_rul"],
    ]
    assert [line.split(":")[:2] for line in problems("mine")][-1] == ["mine.yaml", " query_rule"]


def test_a_constructor_s_refusal_goes_to_whoever_spoke_last(toys, here: Path) -> None:
    write(
        here,
        base="type: toy\nquery_rule: {type: toy}\n",
        mine="extends: base\nquery_rule: {threshold: -1}\n",
        other="extends: base\n",
    )
    assert problems("mine") == ["mine.yaml: query_rule: threshold must be positive, got -1.0"]
    assert problems("mine", "query_rule.threshold=-2") == [
        "command line: query_rule: threshold must be positive, got -2.0"
    ]
    assert problems("other", "query_rule.threshold=0") == [
        "command line: query_rule: threshold must be positive, got 0.0"
    ]


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
    job = load_recipe("mine", ["query_rule.mode=soft", "steps=5", "name=a=b=c", "rate=1e-2", "path=x"]).build()
    assert (job.query_rule.mode, job.steps, job.name, job.rate, job.path) == ("soft", 5, "a=b=c", 0.01, Path("x"))
    assert load_recipe("mine", {"query_rule.sizes": (1, 2), "path": Path("y")}).build().query_rule.sizes == [1, 2]
    assert load_recipe("mine", ["query_rule={type: always}"]).tree["query_rule"] == {"type": "always"}
    assert load_recipe("mine", ["query_rule={mode: soft}"]).tree["query_rule"] == {
        "type": "toy",
        "threshold": 2,
        "mode": "soft",
    }
    assert load_recipe("mine", ["query_rule.threshold=${steps}", "steps=4"]).build().query_rule.threshold == 4
    for override, expected in {
        "query_rule.treshold=1": 'command line: query_rule.treshold: "toy" has no argument "treshold"; did you mean "threshold"?',
        "threshold=1": 'command line: threshold: "toy" has no argument "threshold"; did you mean "query_rule.threshold"?',
        "query_ruel.threshold=1": 'command line: query_ruel: "toy" has no argument "query_ruel"; did you mean "query_rule"?',
        "steps.x=1": "command line: steps: expected a whole number, got a mapping",
        "query_rule.threshold.x=1": 'command line: query_rule.threshold.x: "query_rule.threshold" is 2, and has nothing inside',
        "later.threshold=1": "command line: later.type: missing; a query_rule says which one it is",
        "steps=x": 'command line: steps: expected a whole number, got "x"',
        "steps": 'command line: "steps": expected path.to.key=value',
        "=3": 'command line: "=3": expected path.to.key=value',
        "query_rule..mode=3": 'command line: "query_rule..mode=3": expected path.to.key=value',
        "name=[": "command line: name: not YAML",
        "steps=!!python/name:os.system": "command line: steps: the tag",
        "steps=3 # not 4": 'command line: steps: "3 # not 4": what follows # would be lost; put the value in quotes',
        "name=${oc.env:HOME}": "command line: name: ",
        "schema_version=2": "command line: schema_version: belongs to the file",
        "extends=other": "command line: extends: belongs to the file",
    }.items():
        found = problems("mine", override)
        assert len(found) == 1, found
        assert found[0].startswith(expected), found


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("models/run #3", "models/run #3"),
        ("models/run: a", "models/run: a"),
        ("a: b: c #d", "a: b: c #d"),
        ("3", "3"),
        ("true", "true"),
        ("~", "~"),
        ("*star", "*star"),
        ("&and", "&and"),
        ("@at %per `tick` !bang", "@at %per `tick` !bang"),
        ("- dash", "- dash"),
        (" spaces ", "spaces"),
        ("'quoted #3'", "quoted #3"),
        ('"quoted: 3"', "quoted: 3"),
    ],
)
def test_what_follows_the_equals_sign_is_plain_text_where_text_or_a_path_is_wanted(
    toys, here: Path, typed: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, mine=BASE)
    monkeypatch.setenv("HOME", str(here / "home"))
    job = load_recipe("mine", [f"name={typed}", f"path={typed}"]).build()
    assert job.name == meant
    assert job.path == (here / "home" if meant == "~" else Path(meant))


def test_a_tilde_is_the_home_folder_in_every_path(toys, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here / "home"))
    write(here, mine=BASE + "path: ~/data\n")
    recipe = load_recipe("mine")
    assert recipe.build().path == here / "home" / "data"
    # The recipe stays as it was written, so that it is the same run wherever home is.
    assert recipe.tree["path"] == "~/data"
    assert load_recipe("mine", ["path=~nobody-of-this-name/x"]).build().path == Path("~nobody-of-this-name/x")


def test_another_type_drops_what_belonged_to_the_old_one(toys, here: Path) -> None:
    write(here, mine=BASE)
    assert load_recipe("mine", ["query_rule.type=always"]).tree["query_rule"] == {"type": "always"}
    assert load_recipe("mine", ["query_rule.type=toy"]).tree["query_rule"] == {"type": "toy", "threshold": 2}
    # In whatever order they are given.
    for overrides in (["later.type=toy", "later.mode=soft"], ["later.mode=soft", "later.type=toy"]):
        assert load_recipe("mine", overrides).tree["later"] == {"type": "toy", "mode": "soft"}


def test_a_union_takes_what_fits(toys, here: Path) -> None:
    write(here, mine=BASE)
    assert load_recipe("mine", ["either=3"]).build().either == 3
    assert isinstance(load_recipe("mine", ["either={type: toy}"]).build().either, QueryRule)
    assert isinstance(load_recipe("mine", ["either={type: episode}"]).build().either, Schedule)
    assert load_recipe("mine", ["either=null"]).build().either is None


def test_settings_are_a_dataclass(toys, here: Path) -> None:
    write(here, mine=BASE + "settings: {rate: 2}\n")
    assert load_recipe("mine").build().settings == toys.Settings(2.0, 2)


def test_nodes_are_built_from_python_too(toys) -> None:
    tree = {"type": "toy_pair", "query_rule": {"type": "toy_pair", "query_rule": {"type": "toy"}}}
    built = build_node(QueryRule, tree, spec=ball_spec())
    assert isinstance(built.spec, EnvironmentSpec)
    assert built.query_rule.spec is built.spec
    with pytest.raises(RecipeError, match="^somewhere: type: .*made for one environment"):
        build_node(QueryRule, tree, source="somewhere")
    assert check_node(QueryRule, tree).tree is not tree
    with pytest.raises(RecipeError, match='no query_rule "toi"'):
        check_node(QueryRule, {"type": "toi"})
