"""The hub is played by a folder: nothing is sent or fetched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.interfaces import BFM
from bfmkit.models import hub, zoo
from bfmkit.models.folder import resolve

client = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")


class Repositories:
    """As the hub, for those calls that are made."""

    def __init__(self, place: Path) -> None:
        self.place, self.private, self.revisions = place, {}, []

    def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.private.setdefault(repo_id, private)
        (self.place / repo_id).mkdir(parents=True, exist_ok=True)

    def upload_folder(self, repo_id: str, folder_path: str, allow_patterns: list[str], **more: Any) -> str:
        for file in _matching(Path(folder_path), allow_patterns):
            shutil.copy(file, self.place / repo_id / file.name)
        self.revisions.append(more["revision"])
        return f"https://hub.example/{repo_id}"

    def snapshot_download(self, repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        if not (self.place / repo_id).is_dir():
            raise client.errors.LocalEntryNotFoundError("there is no such\nrepository")
        copy = self.place / "cache" / repo_id
        copy.mkdir(parents=True, exist_ok=True)
        for file in _matching(self.place / repo_id, allow_patterns):
            shutil.copy(file, copy / file.name)
        self.revisions.append(revision)
        return str(copy)


def _matching(folder: Path, patterns: list[str]) -> list[Path]:
    return [file for pattern in patterns for file in folder.glob(pattern)]


@pytest.fixture
def repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repositories:
    played = Repositories(tmp_path / "hub")
    monkeypatch.setattr(client, "HfApi", lambda: played)
    monkeypatch.setattr(client, "snapshot_download", played.snapshot_download)
    return played


@pytest.fixture
def walker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(zoo.resolve("zoo:walker-fb"), tmp_path / "walker"))


def test_there_and_back(repositories: Repositories, walker: Path) -> None:
    assert hub.push(walker, "hf:someone/walker") == "https://hub.example/someone/walker"
    assert repositories.private == {"someone/walker": True}
    loaded = checkpoint("hf:someone/walker")
    observation = loaded.inference_set()["observation"][:5]
    z = loaded.policy_latent(observation.new_ones(5, loaded.dim))
    assert loaded.act(observation, z).equal(checkpoint(str(walker)).act(observation, z))


def test_a_model_is_sent_and_fetched_by_its_repository(repositories: Repositories, walker: Path) -> None:
    model = BFM.from_pretrained(str(walker))
    hub.push(walker, "hf:someone/walker")
    assert BFM.from_pretrained("someone/walker").dim == model.dim
    with pytest.raises(FileNotFoundError, match="someone/flier"):
        BFM.from_pretrained("someone/flier")


def test_revisions_are_passed_on(repositories: Repositories, walker: Path) -> None:
    hub.push(walker, "hf:someone/walker@old", private=False)
    resolve("hf:someone/walker@old")
    resolve("hf:someone/walker")
    assert repositories.revisions == ["old", "old", None]
    assert repositories.private == {"someone/walker": False}


def test_pickles_are_neither_sent_nor_fetched(repositories: Repositories, walker: Path) -> None:
    hub.push(walker, "hf:someone/walker")
    (repositories.place / "someone" / "walker" / "training.pt").write_bytes(b"PK\x03\x04")
    assert "training.pt" not in [file.name for file in resolve("hf:someone/walker").iterdir()]
    (walker / "training.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"training\.pt may be a pickle"):
        hub.push(walker, "hf:someone/other")
    assert "someone/other" not in repositories.private


def test_what_is_not_there_is_said_in_a_line(repositories: Repositories, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="^hf:no/body cannot be fetched from the hub: there is no such repo"):
        resolve("hf:no/body")
    with pytest.raises(FileNotFoundError, match="not a model folder"):
        hub.push(tmp_path, "hf:someone/nothing")


@pytest.mark.parametrize("path", ["hf:", "hf:walker", "hf:a/b/c", "hf:a/b@", "hf:a b/c", "hf:a/b c"])
def test_what_is_no_repository_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="hf:OWNER/NAME"):
        resolve(path)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"bfmkit\[hub\]"):
        resolve("hf:someone/walker")


def test_from_the_command_line(
    repositories: Repositories, walker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bfmkit.cli import main

    assert main(["push", str(walker), "hf:someone/half", "--weights", "float16"]) == 0
    said = capsys.readouterr()
    assert said.out == "https://hub.example/someone/half\n" and "no entry of an action moves" in said.err
    sent = repositories.place / "someone" / "half" / "model.safetensors"
    assert sent.stat().st_size < 0.6 * (walker / "model.safetensors").stat().st_size
    assert main(["push", "hf:someone/half", str(tmp_path / "back")]) == 0
    assert checkpoint(str(tmp_path / "back")).dim == 32
