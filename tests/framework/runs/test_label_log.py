from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from bfmkit.runs import label_log as module
from bfmkit.runs.label_log import LabelLog


def written(folder: Path | None = None, steps: int = 7) -> LabelLog:
    """Two runs; the second stands still at odd steps, the first is not told its reward at steps 2 and 3."""
    book = LabelLog(folder=folder)
    book.begin(None, None)
    for step in range(steps):
        book.choose(
            torch.full((2, 3), float(step)),
            torch.zeros(2, 2),
            torch.arange(2),
            torch.full((2,), step),
            torch.zeros(2).long(),
            both,
        )
        runs = torch.arange(2 if step % 2 == 0 else 1)
        observed = torch.tensor([step not in (2, 3), True])[runs]
        features, rewards = torch.tensor([[step, 0.0], [step, 1.0]]), torch.tensor([10.0 + step, step]).double()
        book.take(features[runs, None], rewards[runs, None], observed[:, None], runs, 2)
    return book


both = torch.tensor([True, True])


@pytest.mark.parametrize("packed", [1, 3, 1000])
@pytest.mark.parametrize("on_disk", [False, True])
def test_each_run_has_its_own_rewards_and_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: int, on_disk: bool
) -> None:
    monkeypatch.setattr(module, "PACKED", packed)
    book = written(tmp_path if on_disk else None)
    first, second = book.labels(0), book.labels(1)
    assert first.steps.tolist() == [0, 1, 4, 5, 6] and first.total == 7
    assert first.ends.tolist() == [1, 2, 3, 4, 5, 6, 7] and second.ends.tolist() == [1, 2, 3, 4]
    assert first.rewards.tolist() == [10.0, 11.0, 14.0, 15.0, 16.0]
    assert first.features.tolist() == [[step, 0.0] for step in (0.0, 1.0, 4.0, 5.0, 6.0)]
    # Steps are counted by the run itself.
    assert second.steps.tolist() == [0, 1, 2, 3] and second.total == 4
    assert second.rewards.tolist() == [0.0, 2.0, 4.0, 6.0]
    assert bool(list(tmp_path.iterdir())) == on_disk


@pytest.mark.parametrize("packed", [1, 4, 1000])
def test_steps_taken_in_at_once(monkeypatch: pytest.MonkeyPatch, packed: int) -> None:
    """Three runs; the second takes in four steps at once, the last one two of as many."""
    monkeypatch.setattr(module, "PACKED", packed)
    book = LabelLog()
    rewards = torch.arange(12.0).double().reshape(3, 4)
    features, observed = rewards.unsqueeze(-1).float(), torch.ones(3, 4, dtype=torch.bool)
    observed[1, 2] = False
    book.take(features[:, :1], rewards[:, :1], observed[:, :1], torch.arange(3), 3)
    book.take(features[1:2], rewards[1:2], observed[1:2], torch.tensor([1]), 3)
    book.take(features[2:, :2], rewards[2:, :2], observed[2:, :2], torch.tensor([2]), 3)
    known = [book.labels(run) for run in range(3)]
    assert [each.total for each in known] == [1, 5, 3]
    assert [each.ends.tolist() for each in known] == [[1], [1, 5], [1, 3]]
    assert [each.steps.tolist() for each in known] == [[0], [0, 1, 2, 4], [0, 1, 2]]
    assert [each.rewards.tolist() for each in known] == [[0.0], [4.0, 4.0, 5.0, 7.0], [8.0, 8.0, 9.0]]
    assert known[1].features.tolist() == [[4.0], [4.0], [5.0], [7.0]]


def test_the_last_choice_of_each_run() -> None:
    book = written()
    book.choose(
        torch.tensor([[8.0, 8.0, 8.0]]),
        torch.ones(1, 2),
        torch.tensor([1]),
        torch.tensor([4]),
        torch.tensor([2]),
        both,
    )
    # One that came to nothing does not count.
    nobody = torch.tensor([False, False])
    book.choose(
        torch.full((2, 3), 9.0), torch.ones(2, 2), torch.arange(2), torch.tensor([8, 8]), torch.tensor([3, 3]), nobody
    )
    first, second = book.choice(0), book.choice(1)
    assert first is not None and second is not None
    assert (first.step, first.size, first.row, first.episode) == (6, 2, 0, 0)
    assert (second.step, second.size, second.row, second.episode) == (4, 1, 0, 2)
    assert second.observation.tolist() == [8.0] * 3 and second.previous.tolist() == [1.0, 1.0]
    empty = LabelLog()
    empty.begin(None, None)
    assert empty.choice(0) is None
    assert empty.labels(0).total == 0


def test_what_the_caller_does_to_its_tensors_changes_nothing() -> None:
    book = LabelLog()
    book.begin(None, None)
    observation, reward, features = torch.ones(1, 3), torch.ones(1, 1).double(), torch.ones(1, 1, 2)
    observed, step = torch.tensor([[True]]), torch.tensor([0])
    book.choose(observation, torch.zeros(1, 2), torch.arange(1), step, torch.zeros(1).long(), torch.tensor([True]))
    book.take(features, reward, observed, torch.arange(1), 1)
    for tensor in (observation, reward, features, observed, step):
        tensor.zero_()
    assert book.labels(0).rewards.tolist() == [1.0] and book.labels(0).features.tolist() == [[1.0, 1.0]]
    choice = book.choice(0)
    assert choice is not None and choice.observation.tolist() == [1.0] * 3


@pytest.mark.parametrize("on_disk", [False, True])
def test_goes_on_where_it_was_saved(tmp_path: Path, on_disk: bool) -> None:
    folder = tmp_path if on_disk else None
    book = written(folder)
    file = io.BytesIO()
    torch.save(book.state_dict(), file)
    file.seek(0)
    # Written after the save, as by a run that was killed then.
    book.take(torch.ones(2, 1, 2), torch.ones(2, 1).double(), both[:, None], torch.arange(2), 2)
    book.state_dict()
    again = LabelLog(folder=folder)
    again.begin(None, None)
    again.load_state_dict(torch.load(file, weights_only=True))
    again.take(torch.zeros(2, 1, 2), torch.tensor([[5.0], [6.0]]).double(), both[:, None], torch.arange(2), 2)
    assert again.labels(0).rewards.tolist() == [10.0, 11.0, 14.0, 15.0, 16.0, 5.0]
    assert again.labels(1).rewards.tolist() == [0.0, 2.0, 4.0, 6.0, 6.0]
    choice = again.choice(1)
    assert choice is not None and choice.step == 6


def test_pages_that_are_gone_are_missed(tmp_path: Path) -> None:
    state = written(tmp_path).state_dict()
    (tmp_path / "000000.safetensors").unlink()
    again = LabelLog(folder=tmp_path)
    again.begin(None, None)
    with pytest.raises(FileNotFoundError, match="are gone"):
        again.load_state_dict(state)
