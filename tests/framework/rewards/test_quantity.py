from __future__ import annotations

from pathlib import Path

import pytest

from bfmkit.registry import discovery
from bfmkit.rewards.quantity import Quantity, listed_quantities

PLUGIN = """
import not_installed_anywhere
class Hopper(Domain):
    name: ClassVar[str] = "hopper"
    measured = (Quantity("height", "m", "of the foot"), Quantity("speed", "m/s", "forward"))
class Nothing(Domain):
    name = "nothing"
"""


def test_quantities_are_read_off_a_plugins_files_without_importing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hops" / "environments"
    folder.mkdir(parents=True)
    (folder / "hopper.py").write_text(PLUGIN)
    (folder / "broken.py").write_text("class (")
    monkeypatch.syspath_prepend(tmp_path)
    known = discovery.packages()
    monkeypatch.setattr(discovery, "packages", lambda: (*known, "hops"))
    found = listed_quantities()
    assert found["hopper"] == [Quantity("height", "m", "of the foot"), Quantity("speed", "m/s", "forward")]
    assert "nothing" not in found
    assert found["walker"][0].unit == "m"
