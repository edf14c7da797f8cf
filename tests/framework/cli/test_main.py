"""Exit codes, one line a problem, and nothing heavy at the start."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bfmkit.cli.main import main

HEAVY = ("torch", "tensordict", "torchrl", "lightning", "mujoco", "dm_control", "numpy", "omegaconf")


def in_a_fresh_process(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, cwd=cwd, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["list", "posterior"], ["list", "recipe"], ["copy", "nothing"]]
)
def test_the_quick_commands_import_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    done = in_a_fresh_process(
        f"import sys; from bfmkit.cli import main; main({words!r}); print([m for m in {HEAVY!r} if m in sys.modules])",
        tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_importing_bfmkit_is_cheap_and_sets_nothing(tmp_path: Path) -> None:
    done = in_a_fresh_process(
        "import os; before = dict(os.environ); import sys, bfmkit, bfmkit.cli, bfmkit.registry\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], dict(os.environ) == before)",
        tmp_path,
    )
    assert done.stdout == "[] True\n", done.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "disabled"), ({"MUJOCO_GL": "egl"}, "egl"), ({"DISPLAY": ":0"}, "None"), ({"WAYLAND_DISPLAY": "w"}, "None")],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_drawing_is_switched_off_only_without_a_screen(tmp_path: Path, environment: dict, expected: str) -> None:
    code = "import os; from bfmkit.cli import main; main(['list', 'query_rule']); print(os.environ.get('MUJOCO_GL'))"
    assert in_a_fresh_process(code, tmp_path, **environment).stdout.splitlines()[-1] == expected


def test_the_console_script_is_there(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("bfmkit")
    done = subprocess.run([script, "run", "nothing_like_it"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("nothing_like_it: there is neither such a file nor such a shipped recipe")
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["rnu", "x"],
        ["run", "x", "--ot", "y"],
        ["list", "query_rule", "schedule"],
        ["run", "x", "--threads", "many"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(bfmkit, here: Path, words: list[str]) -> None:
    outcome = bfmkit(*words)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert "error:" in outcome.err


def test_without_a_command_there_is_help(bfmkit) -> None:
    outcome = bfmkit()
    assert outcome.code == 0
    assert "run" in outcome.out


def test_a_reader_that_goes_away_is_no_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        f'"{sys.executable}" -c "from bfmkit.cli import main; main([\'list\'])" | true',
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_main_takes_the_words_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bfmkit", "list", "query_rule"])
    assert main() == 0
    assert "always" in capsys.readouterr().out


def test_a_second_interrupt_while_the_program_ends_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("bfmkit.cli.doctor.run", interrupted)
    monkeypatch.setattr(sys, "argv", ["bfmkit", "doctor"])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(["doctor"]) == 130
        assert {number: signal.getsignal(number) for number in before} == before
        assert main() == 130
        assert {signal.getsignal(number) for number in before} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
