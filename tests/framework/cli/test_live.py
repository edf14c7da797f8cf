from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bfmkit.cli import main
from bfmkit.live import serve
from bfmkit.runs.record import Record

PROGRAM = "import sys; from bfmkit.cli import main; sys.exit(main(sys.argv[1:]))"


def taken() -> socket.socket:
    busy = socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen()
    return busy


def test_a_port_that_is_taken_is_refused_before_anything_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    with taken() as busy:
        port = busy.getsockname()[1]
        assert main(["live", "--port", str(port), "--no-browser"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"port {port} of 127.0.0.1 is taken" in said and "--port" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "65536"], "port 65536: must be from 1 to 65535; choose another with --port"),
        (["--port", "0"], "port 0: must be from 1 to 65535"),
        (["--host", "192.0.2.1"], "192.0.2.1 is no address of this machine; choose another with --host"),
        (["--host", "nowhere.invalid"], "host 'nowhere.invalid' has no address; --host takes one of this machine"),
        (["--host", ""], "the host is empty"),
        (["opti_bfm", "seed=3", "--run", "runs"], "key=value and --beside go with a recipe"),
        (["opti_bfm", "--out", "/proc/nowhere"], "--out /proc/nowhere: cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words if "--port" in words else [*words, "--port", "18792"]
    assert main(["live", "--no-browser", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and said in error


def test_recipes_of_other_jobs_and_bad_overrides_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "regret", "--port", "18792", "--no-browser"]) == 2
    assert "a page shows a recipe of type infer, not regret" in capsys.readouterr().err
    assert main(["live", "opti_bfm_two_stage", "environment.task=wlak", "--port", "18792", "--no-browser"]) == 2
    assert 'did you mean "walk"?' in capsys.readouterr().err


def test_ctrl_c_saves_what_was_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(page: Any) -> None:
        for _ in range(30):
            page.session.advance()
        raise KeyboardInterrupt

    monkeypatch.setattr(serve, "run_page", interrupted)
    assert main(["live", "opti_bfm_two_stage", "--port", "18793", "--no-browser", "--out", str(tmp_path)]) == 0
    (path,) = (tmp_path / "records").glob("*.safetensors")
    assert Record.load(path).facts["rewards"]["acting"] == 30
    said = capsys.readouterr().err
    assert "http://localhost:18793" in said and f"bfmkit replay {path}" in said
    assert f"bfmkit play {path}" in said
    # The recipe beside it acts for what was learnt.
    assert main(["check", str(path.with_suffix(".yaml"))]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_what_was_learnt(tmp_path: Path, number: signal.Signals) -> None:
    port = 18794 if number == signal.SIGINT else 18795
    words = ["live", "opti_bfm", "environment.episode_steps=50", "--port", str(port), "--no-browser", "--out", "out"]
    # A process in the background of a shell ignores SIGINT, and its children would.
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{PROGRAM}"
    command = [sys.executable, "-c", program, *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"http://localhost:{port}" in process.stderr.readline()
        time.sleep(3.0)  # some steps of acting
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait(timeout=60) == 0, said
    (path,) = (tmp_path / "out" / "records").glob("*.safetensors")
    assert Record.load(path).facts["rewards"]["acting"] > 0
    assert f"saved {Path('out') / 'records' / path.name}" in said
