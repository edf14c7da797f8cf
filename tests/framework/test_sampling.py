from __future__ import annotations

from itertools import islice

import torch
from tensordict import TensorDict

from bfmkit.interfaces import Dataset
from bfmkit.sampling import TransitionBatches
from bfmkit.shards import empty_transitions
from bfmkit.testing.models import ball_spec
from bfmkit.transition_pool import TransitionPool


class Numbers(Dataset):
    """Transition i holds the number i everywhere."""

    spec = ball_spec(dim=1)

    def __len__(self) -> int:
        return 50

    def read(self, indices: torch.Tensor) -> TensorDict:
        rows = empty_transitions(self.spec, len(indices))
        rows["observation"] += indices.unsqueeze(-1)
        return rows

    def to_device(self, device: torch.device | str, keys: list) -> TensorDict:
        return self.read(torch.arange(50)).select(*keys)


TRANSITIONS = TransitionPool(Numbers(), torch.device("cpu"))


def numbers(batches: TransitionBatches, count: int) -> list[list[float]]:
    return [batch["observation"].squeeze(-1).tolist() for batch in islice(batches, count)]


def test_goes_on_with_the_batch_it_stopped_at() -> None:
    position = 0
    stream = TransitionBatches(TRANSITIONS, 8, seed=3, position=lambda: position)
    whole = numbers(stream, 6)
    position = 4
    assert numbers(stream, 2) == whole[4:]


def test_seeds_differ_and_all_transitions_are_drawn_alike() -> None:
    streams = [TransitionBatches(TRANSITIONS, 100, seed, lambda: 0) for seed in (0, 1)]
    first, second = (numbers(stream, 100) for stream in streams)
    assert first != second
    counts = torch.bincount(torch.tensor(first).flatten().long(), minlength=50)
    # 10,000 draws over 50: 200 each, with a deviation of 14.
    assert counts.min() > 140
    assert counts.max() < 260


def test_a_batch_comes_from_as_much_of_the_pool_as_it_is_told() -> None:
    stream = TransitionBatches(TRANSITIONS, 200, 0, lambda: 0, size=lambda number: 10 * (number + 1))
    drawn = numbers(stream, 3)
    assert [max(batch) for batch in drawn] == [9, 19, 29]


def test_a_batch_shows_later_states_where_they_are_asked_for() -> None:
    plain, asked = (TransitionBatches(TRANSITIONS, 8, 3, lambda: 0, None, future) for future in (None, 0.9))
    assert torch.equal(asked.batch(2)["observation"], plain.batch(2)["observation"])
    assert asked.batch(2)["future", "observation"].shape == (8, 1)
    assert ("future", "observation") not in plain.batch(2).keys(include_nested=True)
