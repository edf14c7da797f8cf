from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bfmkit.cli.completion import SHELLS
from bfmkit.cli.main import main

ASK = """
source completion
COMP_WORDS=({words}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$(complete -p bfmkit | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["--completion", "bash"]) == 0
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    (tmp_path / "mine.yaml").write_text("")
    return tmp_path


def completed(folder: Path, *words: str) -> set[str]:
    ask = ASK.format(words=" ".join(f'"{word}"' for word in ("bfmkit", *words)))
    done = subprocess.run(["bash", "-c", ask], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_commands_options_recipes_and_files(script: Path) -> None:
    assert completed(script, "re") == {"replay", "report"}
    assert "--device" in completed(script, "run", "--d")
    assert {"opti_bfm", "opti_bfm_two_stage"} <= completed(script, "run", "opti_")
    assert completed(script, "run", "min") == {"mine.yaml"}
    assert completed(script, "list", "post") == {"posterior"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_the_commands_and_recipes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", shell]) == 0
    script = capsys.readouterr().out
    assert "doctor" in script
    assert "opti_bfm_two_stage" in script


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--completion", "csh"]) == 2
    assert "bash" in capsys.readouterr().err
