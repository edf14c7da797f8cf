from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.recipe import RecipeError
from bfmkit.recipe.inheriting import gather, read_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_lies_over_what_it_extends(folder: Path) -> None:
    (folder / "base.yaml").write_text("type: infer\na: {b: 1, c: 2}\n")
    (folder / "middle.yaml").write_text("extends: base\na: {b: 3}\n")
    (folder / "mine.yaml").write_text("schema_version: 1\nextends: middle.yaml\nd: 4\n")
    layers = gather(folder / "mine.yaml")
    assert layers.tree == {"type": "infer", "a": {"b": 3, "c": 2}, "d": 4}
    assert [layers.source_of(path) for path in (("a", "b"), ("a", "c"), ("d",))] == [
        "middle.yaml", "base.yaml", "mine.yaml",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: mine", "a recipe cannot inherit from itself"),
        ("extends: [a, b]", "expected the name or file of one recipe, got a list"),
        ("schema_version: 2", "expected 1, got 2; it needs a newer bfmkit"),
        ("schema_version: true", "expected 1, got true"),
        ("extends: opti_bfn", 'did you mean "opti_bfm"?'),
        ("a: 1\na: 2", "mine.yaml: line 2"),
        ("", "the file is empty"),
        ("[1, 2]", "expected a mapping that starts with `type: JOB`, got a list"),
    ],
)
def test_what_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        gather(folder / "mine.yaml")
    assert message in str(caught.value)


def test_files_that_are_no_text_or_not_there(folder: Path) -> None:
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not a text file in UTF-8"):
        read_file(folder / "bytes.yaml")
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        read_file(folder / "none.yaml")
