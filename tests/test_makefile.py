from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
BRIEF = "episodes=1 oracle_episodes=0 environment.episode_steps=20"


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_demo_ends_by_itself_with_the_address_of_a_page(tmp_path: Path) -> None:
    words = ["make", "-f", str(MAKEFILE), "-o", ".venv/.installed", "demo"]
    settings = [f"BIN={Path(sys.executable).parent}", f"DEMO={BRIEF}"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(
        [*words, *settings], cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    address = ended.stderr.splitlines()[-1].split()[0]
    assert address.startswith("file://") and "__VISER_EMBED_DATA__" in Path(unquote(urlsplit(address).path)).read_text()
    assert "bfmkit live taught" in ended.stdout
