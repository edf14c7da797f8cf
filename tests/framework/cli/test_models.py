from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bfmkit.cli import main
from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.models import zoo


@pytest.fixture
def walker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(zoo.resolve("zoo:walker-fb"), tmp_path / "walker"))


def test_a_model_is_copied_in_another_type(walker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = tmp_path / "half"
    assert main(["push", str(walker), str(half), "--weights", "float16"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{half}\n" and "no entry of an action moves" in said.err
    assert (half / "model.safetensors").stat().st_size < 0.6 * (walker / "model.safetensors").stat().st_size
    assert checkpoint(str(half)).dim == checkpoint(str(walker)).dim


def test_what_cannot_be_pushed_is_refused_in_a_line(
    walker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([str(walker), "hf:half"], ["zoo:wlaker", "x"], [str(walker), str(tmp_path)], [str(tmp_path), "y"]):
        assert main(["push", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
