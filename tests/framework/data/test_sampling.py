from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict

from bfmkit.data.sampling import TransitionBatches, UpdateGroups
from bfmkit.data.shards import empty_transitions
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.interfaces import Dataset
from bfmkit.testing.models import ball_spec


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


def numbers(batches: TransitionBatches, count: int, first: int = 0) -> list[list[float]]:
    return batches.chunk(first, count)["observation"].squeeze(-1).tolist()


def test_a_batch_is_the_same_in_whatever_group_it_is_drawn() -> None:
    stream = TransitionBatches(TRANSITIONS, 8, seed=3)
    whole = numbers(stream, 6)
    assert numbers(stream, 2, first=4) == whole[4:]
    assert [numbers(stream, 1, first)[0] for first in range(6)] == whole
    assert stream.whole(5)["observation"].squeeze(-1).tolist() == whole[5]


def test_seeds_differ_and_all_transitions_are_drawn_alike() -> None:
    first, second = (numbers(TransitionBatches(TRANSITIONS, 100, seed), 100) for seed in (0, 1))
    assert first != second
    counts = torch.bincount(torch.tensor(first).flatten().long(), minlength=50)
    # 10,000 draws over 50: 200 each, with a deviation of 14.
    assert counts.min() > 140
    assert counts.max() < 260


def test_a_batch_comes_from_as_much_of_the_pool_as_it_is_told() -> None:
    stream = TransitionBatches(TRANSITIONS, 200, 0, size=lambda number: 10 * (number + 1))
    assert [max(batch) for batch in numbers(stream, 3)] == [9, 19, 29]


def test_a_batch_shows_later_states_where_they_are_asked_for() -> None:
    plain, asked = (TransitionBatches(TRANSITIONS, 8, 3, None, future) for future in (None, 0.9))
    assert torch.equal(asked.whole(2)["observation"], plain.whole(2)["observation"])
    assert asked.whole(2)["future", "observation"].shape == (8, 1)
    assert torch.equal(asked.chunk(1, 2)["future", "observation"][1], asked.whole(2)["future", "observation"])
    assert ("future", "observation") not in plain.whole(2).keys(include_nested=True)


def test_processes_share_a_batch() -> None:
    parts = [TransitionBatches(TRANSITIONS, 12, 3, None, 0.9, share=(rank, 3)) for rank in range(3)]
    whole = TransitionBatches(TRANSITIONS, 12, 3, None, 0.9).chunk(5, 2)
    for key in ("observation", ("future", "observation")):
        assert torch.equal(torch.cat([part.chunk(5, 2)[key] for part in parts], dim=1), whole[key])
    assert all(torch.equal(part.whole(5)["observation"], whole[0]["observation"]) for part in parts)


@pytest.mark.parametrize(
    ("updates", "together", "every", "start", "expected"),
    [
        (7, 3, [], 0, [(0, 3), (3, 3), (6, 1)]),
        (7, 3, [4], 0, [(0, 3), (3, 1), (4, 3)]),
        (7, 100, [5, 2], 3, [(3, 1), (4, 1), (5, 1), (6, 1)]),
        (3, 1, [100], 0, [(0, 1), (1, 1), (2, 1)]),
        (5, 2, [], 5, []),
    ],
)
def test_updates_are_grouped_up_to_where_something_happens(
    updates: int, together: int, every: list[int], start: int, expected: list[tuple[int, int]]
) -> None:
    assert list(UpdateGroups(updates, together, every, lambda: start)) == expected
