from __future__ import annotations

from itertools import islice

import torch
from tensordict import TensorDict

from bfmkit.sampling import TransitionBatches

TRANSITIONS = TensorDict({"observation": torch.arange(50.0).unsqueeze(-1)}, [50])


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
