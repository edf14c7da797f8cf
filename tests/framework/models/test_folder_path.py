from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.models import zoo
from bfmkit.models.folder import resolve


def test_a_model_is_a_folder_a_name_in_the_zoo_or_one_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("models/run #3") == Path("models/run #3")
    assert resolve("~/models/mine") == tmp_path / "models" / "mine"
    assert resolve("zoo:walker-fb") == Path(zoo.__file__).parent / "walker-fb"
    with pytest.raises(FileNotFoundError, match="did you mean zoo:walker"):
        resolve("zoo:walkr")
    with pytest.raises(ValueError, match="hf:OWNER/NAME"):
        resolve("hf:nobody")
