from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bfmkit.cli import main
from bfmkit.inference.experiment import Run
from bfmkit.live.recorded import NoRecordingError, RecordedPage, Recording
from bfmkit.live.server import page_server
from bfmkit.runs.trace import load_episode


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes of the walker, two tasks, every fifth step traced."""
    out = tmp_path_factory.mktemp("run") / "traced"
    words = "tasks=[stand,walk] episodes=4 oracle_episodes=0 environment.episode_steps=30 trace_every=5"
    assert main(["run", "opti_bfm_two_stage", *words.split(), "--out", str(out), "--threads", "1"]) == 0
    return out


def test_a_traced_run_is_played_again(directory: Path) -> None:
    recording = Recording.load(directory)
    assert recording.runs == [Run("stand", 0), Run("walk", 0)] and recording.numbers == [1, 3, 4]
    first = recording.episodes()[0]
    assert recording.poses()[0].shape == (len(first["step"]), 7, 7)
    # Where the torso was is what the recorded physics say.
    torso = recording.environment.quantities(torch.from_numpy(first["physics"]), torch.zeros(len(first["step"]), 6))
    torch.testing.assert_close(torch.from_numpy(recording.poses()[0][:, 0, 2]), torso["torso_height"])
    with page_server("127.0.0.1", 18788) as server:
        page = RecordedPage(server, recording)
        page._ask(Run("walk", 0))
        seen: list[float] = []
        page.run(lambda: len(seen) >= 20, lambda seconds: seen.append(float(page._second.value)))
    assert recording.chosen == Run("walk", 0)
    assert seen[:3] == pytest.approx([0.05, 0.1, 0.15]) and min(seen[5:]) == 0.0  # over and over
    assert all(data.shape == page._plots[0].data[0].shape for data in page._plots[0].data)


def test_runs_with_fewer_episodes_are_shown_too(directory: Path, tmp_path: Path) -> None:
    out = tmp_path / "one"
    shutil.copytree(directory, out)
    for path in (out / "trace").glob("agent-*.safetensors"):
        traced = load_episode(path)
        if traced.episode > 0:  # as if all but the first row had been stopped
            tensors = {**traced.tensors, "alive": traced.tensors["alive"].clone()}
            tensors["alive"][:, 1] = False
            with safe_open(path, "pt") as file:
                facts = file.metadata()
            save_file(tensors, path, facts)
    recording = Recording.load(out)
    with page_server("127.0.0.1", 18790) as server:
        page = RecordedPage(server, recording)
        assert len(page.scene.bodies) == 3
        for run, bodies in ((Run("walk", 0), 1), (Run("stand", 0), 3)):
            page._ask(run)
            seen: list[float] = []
            page.run(lambda seen=seen: len(seen) >= 3, lambda seconds, seen=seen: seen.append(seconds))
            assert len(page.scene.bodies) == bodies
            assert [len(plot.data) for plot in page._plots] == [bodies + 1] * 2


def test_a_traced_run_becomes_a_film(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    film = tmp_path / "film.html"
    assert main(["play", str(directory), "--out", str(film)]) == 0
    said = capsys.readouterr()
    assert "stand, seed 0; returns: episode 1: " in said.err and film.resolve().as_uri() in said.err
    assert said.out == f"{film}\n" and "__VISER_EMBED_DATA__" in film.read_text()
    footage = Recording.load(directory).footage()
    assert footage.names == ("episode 1", "episode 3", "episode 4")
    assert footage.timestep == pytest.approx(5 * 0.025)
    assert main(["play", str(directory), "--seed", "3"]) == 2
    assert "--episodes and --seed are of records" in capsys.readouterr().err
    assert main(["play", str(directory), "--out", str(tmp_path / "film.mov")]) == 2
    assert "as .html or .gif" in capsys.readouterr().err


def test_what_holds_no_recording_is_refused(tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(NoRecordingError, match="no run directory"):
        Recording.load(tmp_path)
    (tmp_path / "recipe.yaml").write_text((directory / "recipe.yaml").read_text())
    assert main(["live", "--run", str(tmp_path), "--no-browser", "--port", "18789"]) == 2
    assert "run it with trace_every=1" in capsys.readouterr().err
