from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tensordict import TensorDict

from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.data import transition_pool
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.testing.models import ball_spec

CPU = torch.device("cpu")
SPEC = ball_spec(dim=2)


def numbered(first: int, count: int) -> TensorDict:
    rows = empty_transitions(SPEC, count)
    rows["observation"] += torch.arange(first, first + count).unsqueeze(-1)
    rows["next", "physics"] -= torch.arange(first, first + count).unsqueeze(-1)
    return rows


@pytest.fixture
def dataset(tmp_path: Path) -> MemoryMapDataset:
    folder = tmp_path / "given"
    claim(folder, SPEC)
    ShardWriter(folder, "shard-000", SPEC, 10).append(numbered(0, 10))
    return MemoryMapDataset(folder)


ON_DEVICE = pytest.mark.parametrize("on_device", [True, False])


@ON_DEVICE
def test_what_is_added_is_drawn_and_read_like_the_rest(
    dataset: MemoryMapDataset, tmp_path: Path, on_device: bool
) -> None:
    pool = TransitionPool(dataset, CPU, 6, tmp_path / "added", on_device)
    pool.rewind(0)
    assert len(pool) == 10
    pool.add(numbered(10, 3))
    pool.add(numbered(13, 3))
    rows = torch.tensor([15, 2, 10, 9, 12])
    assert pool.batch(rows)["observation"][:, 0].tolist() == [15, 2, 10, 9, 12]
    read = pool.read(rows)
    assert read["observation"][:, 0].tolist() == [15, 2, 10, 9, 12]
    assert read["next", "physics"][:, 0].tolist() == [-15, -2, -10, -9, -12]
    assert pool.read(torch.tensor([3, 1]))["observation"][:, 0].tolist() == [3, 1]
    with pytest.raises(ValueError, match="room"):
        pool.add(numbered(16, 1))


@ON_DEVICE
def test_goes_back_to_what_a_training_state_knew(dataset: MemoryMapDataset, tmp_path: Path, on_device: bool) -> None:
    first = TransitionPool(dataset, CPU, 6, tmp_path / "added", on_device)
    first.add(numbered(10, 3))
    first.add(numbered(13, 3))
    again = TransitionPool(dataset, CPU, 6, tmp_path / "added", on_device)
    again.rewind(3)
    assert len(again) == 13
    assert again.batch(torch.arange(13))["observation"][:, 0].tolist() == list(range(13))
    again.add(numbered(20, 3))
    assert again.read(torch.tensor([13]))["observation"][0, 0] == 20
    with pytest.raises(ValueError, match="6 transitions, 7"):
        again.rewind(7)


def test_without_room_nothing_is_added(dataset: MemoryMapDataset, tmp_path: Path) -> None:
    pool = TransitionPool(dataset, CPU)
    pool.rewind(0)
    with pytest.raises(ValueError, match="without room"):
        pool.add(numbered(0, 1))
    assert len(pool) == 10


def walk(first: int, count: int) -> TensorDict:
    """An episode that counts up, and is cut off."""
    rows = numbered(first, count)
    rows["next", "observation"] += rows["observation"] + 1
    return rows


@ON_DEVICE
@pytest.mark.parametrize("at_once", [3, 100])
def test_the_future_of_a_transition_lies_in_its_episode(
    tmp_path: Path, on_device: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bfmkit.data.transition_pool.READ_AT_ONCE", at_once)
    folder = tmp_path / "given"
    claim(folder, SPEC)
    ShardWriter(folder, "shard-000", SPEC, 7).append(torch.cat([walk(0, 4), walk(20, 3)]))
    pool = TransitionPool(MemoryMapDataset(folder), CPU, 4, tmp_path / "added", on_device)
    rows, steps = torch.tensor([0, 1, 1, 6, 4]), torch.tensor([2, 0, 50, 0, 1])
    assert pool.future(rows, steps)[:, 0].tolist() == [3, 2, 4, 23, 22]
    pool.add(walk(40, 2))
    pool.add(walk(60, 2))
    assert pool.future(torch.tensor([6, 7, 9]), torch.tensor([9, 9, 1]))[:, 0].tolist() == [23, 42, 62]
    pool.rewind(2)
    pool.add(walk(80, 2))
    assert pool.future(torch.tensor([0, 9]), torch.tensor([9, 9]))[:, 0].tolist() == [4, 82]


@pytest.mark.parametrize("room", [0, 4])
def test_a_batch_is_the_same_wherever_it_is_drawn(dataset: MemoryMapDataset, tmp_path: Path, room: int) -> None:
    here, there = (TransitionPool(dataset, CPU, room, tmp_path / str(on), on) for on in (True, False))
    rows = torch.tensor([[3, 9, 3], [0, 1, 2]])
    drawn = here.batch(rows)
    assert drawn.batch_size == (2, 3)
    assert (there.batch(rows) == drawn).all()
    assert set(drawn.keys(True, True)) == set(there.batch(rows).keys(True, True))


def test_small_data_are_copied_and_large_ones_are_not(
    dataset: MemoryMapDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A transition of two numbers, an action of two, the next observation and a flag: 25 bytes.
    for limit, fits in ((250, True), (249, False)):
        monkeypatch.setattr("bfmkit.data.transition_pool.LARGEST_COPY", limit)
        assert TransitionPool(dataset, CPU).on_device == fits
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000, 2000))
    for share, fits in ((0.25, True), (0.2, False)):
        monkeypatch.setattr("bfmkit.data.transition_pool.PART_OF_FREE_MEMORY", share)
        assert transition_pool.fits(dataset, 0, torch.device("cuda")) == fits
