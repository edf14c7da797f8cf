from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bfmkit.data.conversion import DataError
from bfmkit.data.exorl_layout import EpisodeFile, episode_files, read_episode, row_sizes, write_episode
from bfmkit.data.shards import empty_transitions
from bfmkit.testing.models import ball_spec

SPEC = ball_spec(dim=2)


@pytest.fixture
def file(tmp_path: Path) -> EpisodeFile:
    rows = empty_transitions(SPEC, 5)
    rows["observation"] += torch.arange(5).unsqueeze(-1)
    rows["next", "observation"] += torch.arange(1, 6).unsqueeze(-1)
    write_episode(tmp_path, 0, rows)
    return episode_files(tmp_path)[0]


def members(file: EpisodeFile) -> dict[str, bytes]:
    with zipfile.ZipFile(file.path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_header(header: bytes) -> bytes:
    """An array of NumPy's format with these words in the place of its type and shape."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)


HEADERS = {
    "a bracket that is not closed": b"{'descr': ('<f4', 'fortran_order': False, 'shape': (6, 2), }\n",
    "an indent": b"   {\n  'descr'\n 'x'",
    "a type of no size": b"{'descr': '<q', 'fortran_order': False, 'shape': (6, 2), }\n",
    "a negative shape": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-6, 2), }\n",
    "nothing": b"",
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_makes_no_sense_is_a_damaged_file(file: EpisodeFile, header: str) -> None:
    contents = members(file)
    contents["observation.npy"] = with_header(HEADERS[header])
    with zipfile.ZipFile(file.path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    for read in (lambda: read_episode(file, SPEC), lambda: row_sizes(file)):
        with pytest.raises(DataError, match="damaged") as caught:
            read()
        assert str(file.path) in str(caught.value)
        assert "\n" not in str(caught.value)


# Where an entry of the directory at the end of a zip says so.
DIRECTORY = {"zip version": (6, 200), "encryption": (8, 1), "compression method": (10, 77)}


@pytest.mark.parametrize("what", DIRECTORY)
def test_what_zip_files_could_be_and_episodes_are_not_is_a_damaged_file(file: EpisodeFile, what: str) -> None:
    place, value = DIRECTORY[what]
    content = bytearray(file.path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value
    file.path.write_bytes(content)
    with pytest.raises(DataError, match="damaged") as caught:
        read_episode(file, SPEC)
    assert str(file.path) in str(caught.value)


@pytest.mark.parametrize("compressed", [True, False])
def test_whatever_bits_flip_the_file_is_named_or_read(file: EpisodeFile, compressed: bool) -> None:
    if not compressed:
        with np.load(file.path) as stored:
            content = io.BytesIO()
            np.savez(content, **stored)
        file.path.write_bytes(content.getvalue())
    whole = file.path.read_bytes()
    expected = read_episode(file, SPEC)[0]
    random = np.random.default_rng(0)
    refusals = []
    for trial in range(400):
        damaged = bytearray(whole)
        if trial % 4 == 0:
            del damaged[random.integers(len(damaged)) :]
        else:
            for place in random.integers(len(damaged), size=trial % 4):
                damaged[place] ^= 1 << random.integers(8)
        file.path.write_bytes(damaged)
        try:
            read = read_episode(file, SPEC)[0]
        except DataError as error:
            refusals.append(str(error))
        else:
            # A bit of a date, say: nothing that a checksum covers.
            assert (read == expected).all()
    assert len(refusals) > 200
    assert all(str(file.path) in refusal for refusal in refusals)


def test_memory_and_the_keyboard_are_nobodys_damage(file: EpisodeFile, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (MemoryError, KeyboardInterrupt):

        def stopped(*_: object, kind: type[BaseException] = kind, **__: object) -> None:
            raise kind

        monkeypatch.setattr(np.lib.format, "read_array", stopped)
        with pytest.raises(kind):
            read_episode(file, SPEC)


def test_an_episode_of_no_steps_is_named(file: EpisodeFile) -> None:
    path = file.path.rename(file.path.with_name("episode_000000_0.npz"))
    with pytest.raises(DataError, match=r"episode_000000_0\.npz: an episode of no steps"):
        read_episode(EpisodeFile(0, 0, path), SPEC)


def test_other_types_are_read_as_far_as_they_fit(file: EpisodeFile) -> None:
    expected = read_episode(file, SPEC)[0]
    with np.load(file.path) as stored:
        arrays = {name: value.astype(">f8") for name, value in stored.items()}
    # Not zero, which would be an end; as float32 it would be.
    arrays["discount"][:] = 1e-300
    np.savez(file.path, **arrays)
    assert (read_episode(file, SPEC)[0] == expected).all()
    arrays["action"][0] = 1e300  # of the reset, never taken
    np.savez(file.path, **arrays)
    assert (read_episode(file, SPEC)[0] == expected).all()
    arrays["action"][3, 0] = 1e300
    np.savez(file.path, **arrays)
    with pytest.raises(DataError, match="action is too large for float32 in row 3"):
        read_episode(file, SPEC)
