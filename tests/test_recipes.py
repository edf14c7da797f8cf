"""Every shipped recipe is right, and every key of it is needed: misspelt, each is refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bfmkit.cli import main
from bfmkit.recipe import RecipeError, load_recipe
from bfmkit.recipe.sources import recipes_folder, shipped
from bfmkit.recipe.yaml_text import read, write

FILES = sorted(recipes_folder().glob("**/*.yaml"))
IDS = [f"{path.parent.name}/{path.stem}" for path in FILES]


def keys(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every key, at every depth, lists included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from keys(item, (*path, key))


def misspelt(tree: Any, path: tuple[str | int, ...]) -> tuple[Any, str]:
    """The tree with one key misspelt, and how."""
    key, *rest = path
    if rest:
        inner, wrong = misspelt(tree[key], tuple(rest))
        pairs = enumerate(tree) if isinstance(tree, list) else tree.items()
        changed = {each: inner if each == key else value for each, value in pairs}
        return (list(changed.values()) if isinstance(tree, list) else changed), wrong
    wrong = f"{key}x" if len(str(key)) < 3 else f"{str(key)[:-2]}{str(key)[-1]}{str(key)[-2]}"
    wrong = f"{key}x" if wrong in tree else wrong
    return {wrong if each == key else each: value for each, value in tree.items()}, wrong


def test_there_are_recipes_and_no_two_have_one_name() -> None:
    assert FILES
    assert len(shipped()) == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_shipped_recipe_is_right(path: Path) -> None:
    recipe = load_recipe(path)
    assert load_recipe(path.stem).tree == recipe.tree
    assert recipe.root.cls.__module__ == f"bfmkit.jobs.{recipe.tree['type']}"
    assert path.parent.name == recipe.tree["type"], "a recipe lies in the folder of its job"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_shipped_recipe_says_what_it_shows_and_how(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    opening = [line for line in lines if line.startswith("#")]
    assert any(f"bfmkit run {path.stem}" in line for line in opening)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_copy_elsewhere_works_too(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "copied.yaml").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_recipe("copied").tree == load_recipe(path).tree


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_misspelt_key_is_refused_by_name(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = read(path.read_text(encoding="utf-8"))
    for key in keys(tree):
        broken, wrong = misspelt(tree, key)
        (tmp_path / "broken.yaml").write_text(write(broken), encoding="utf-8")
        with pytest.raises(RecipeError) as caught:
            load_recipe("broken.yaml")
        where = ".".join(map(str, (*key[:-1], wrong)))
        assert any(each.path == where and each.file == "broken.yaml" for each in caught.value.problems), caught.value


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_misspelt_override_is_refused_by_name(path: Path) -> None:
    for key in keys(load_recipe(path).tree):
        _, wrong = misspelt(load_recipe(path).tree, key)
        where = ".".join(map(str, (*key[:-1], wrong)))
        with pytest.raises(RecipeError) as caught:
            load_recipe(path, [f"{where}=1"])
        assert [each.path for each in caught.value.problems] == [where]


def test_the_command_line_refuses_them_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in FILES:
        tree = read(path.read_text(encoding="utf-8"))
        broken, wrong = misspelt(tree, list(keys(tree))[-1])
        (tmp_path / "broken.yaml").write_text(write(broken), encoding="utf-8")
        assert main(["run", "broken.yaml"]) == 2
        said = capsys.readouterr().err
        assert wrong in said
        assert "Traceback" not in said
    assert [each.name for each in tmp_path.iterdir()] == ["broken.yaml"]
