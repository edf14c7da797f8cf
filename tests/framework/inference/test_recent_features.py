from __future__ import annotations

import pytest
import torch

from bfmkit.inference.recent_features import total, write

ROOM = 4


def filled(counts: list[int]) -> torch.Tensor:
    """Run b's feature at step t is (10 b + t, 1), written in stretches of at most three steps."""
    recent = torch.zeros(len(counts), ROOM, 2)
    for run, count in enumerate(counts):
        for first in range(0, count, 3):
            steps = torch.arange(first, min(first + 3, count))
            features = torch.stack([10.0 * run + steps, torch.ones(len(steps))], -1)
            write(recent, features.unsqueeze(0), torch.tensor([first]), torch.tensor([run]))
    return recent


@pytest.mark.parametrize("stretch", [1, 3, (0, 4), (2, 4), (1, 2)])
def test_a_stretch_is_summed_over_the_steps_that_there_were(stretch: int | tuple[int, int]) -> None:
    counts = [0, 1, 2, 7]
    newest, oldest = (0, stretch) if isinstance(stretch, int) else stretch
    summed, number = total(filled(counts), torch.tensor(counts), stretch)
    for run, count in enumerate(counts):
        steps = [step for step in range(count - oldest, count - newest) if step >= 0]
        assert number[run] == len(steps)
        assert summed[run].tolist() == [sum(10 * run + step for step in steps), len(steps)]


def test_more_steps_than_there_is_room_for_leave_the_newest() -> None:
    recent = torch.zeros(1, ROOM, 1)
    write(recent, torch.arange(9.0).reshape(1, 9, 1), torch.tensor([0]), torch.tensor([0]))
    assert total(recent, torch.tensor([9]), ROOM)[0].item() == 5 + 6 + 7 + 8


@pytest.mark.parametrize("stretch", [0, (2, 2), (-1, 1), 5])
def test_no_step_and_too_many_are_refused(stretch: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least one past step|reach 4 steps back"):
        total(torch.zeros(1, ROOM, 1), torch.tensor([9]), stretch)
