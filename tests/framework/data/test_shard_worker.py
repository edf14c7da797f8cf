from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDictBase
from torch import Tensor

from bfmkit.data.shard_worker import ShardPlan, collect_shard
from bfmkit.data.shards import claim, read_shard
from bfmkit.interfaces import Environment, Explorer, StepResult
from bfmkit.testing.models import BallEnvironment


class Still(Explorer):
    """Does nothing, and remembers which episodes it saw."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def act(self, observation: Tensor) -> Tensor:
        return torch.zeros_like(observation)

    def observe(self, observation: Tensor, action: Tensor, outcome: StepResult) -> None:
        self.seen.append(outcome.observation)

    def remember(self, transitions: TensorDictBase) -> None: ...

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Fragile(BallEnvironment):
    """Its second row gives NaN at the third step of some episodes."""

    diverges: frozenset[int] = frozenset()
    count = 0

    def reset_batch(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if rows is None:
            self.count += 1
            self.at = 0
        return super().reset_batch(rows)

    def with_tasks(self, tasks: Any) -> Fragile:
        made = type(self)(tasks=tasks)
        made.diverges = self.diverges
        return made

    def step_batch(self, action: Tensor) -> StepResult:
        self.at += 1
        outcome = super().step_batch(action)
        if self.at == 3 and self.count in self.diverges:
            outcome.observation[1] = torch.nan
        return outcome


@dataclass
class Ready:
    """Stands in for a deferred node."""

    value: Any

    def build(self, spec: object = None) -> Any:
        return self.value


def collected(folder: Path, environment: Environment, transitions: int) -> tuple[TensorDictBase, Still]:
    claim(folder, environment.spec)
    explorer = Still()
    plan = ShardPlan(folder, "shard-000", environment.spec, Ready(environment), Ready(explorer), 2, transitions, 0)  # type: ignore[arg-type]
    collect_shard(plan, [].append)
    return read_shard(folder, "shard-000"), explorer


def test_a_simulation_that_diverges_reaches_neither_data_nor_explorer(tmp_path: Path) -> None:
    environment = Fragile()
    environment.diverges = frozenset({1, 3})
    data, explorer = collected(tmp_path, environment, 80)
    assert len(data) == 80
    assert all(value.double().isfinite().all() for value in data.values(True, True))
    assert torch.stack(explorer.seen).isfinite().all()
    # The blocks that were given up are not in the data, not even in part.
    ends = data["next", "truncated"].nonzero().squeeze(-1)
    assert ends.tolist() == [19, 39, 59, 79]


def test_simulations_that_always_diverge_end_it(tmp_path: Path) -> None:
    environment = Fragile()
    environment.diverges = frozenset(range(100))
    with pytest.raises(FloatingPointError, match="not finite"):
        collected(tmp_path, environment, 80)


def test_what_ends_an_episode_is_recorded(tmp_path: Path) -> None:
    class Falls(Fragile):
        def step_batch(self, action: Tensor) -> StepResult:
            outcome = super().step_batch(action)
            return outcome._replace(terminated=torch.tensor([self.at == 20, False]))

    data, _ = collected(tmp_path, Falls(), 40)
    assert data["next", "terminated"].nonzero().squeeze(-1).tolist() == [19]


def test_a_row_that_ends_early_begins_its_next_episode(tmp_path: Path) -> None:
    class Short(Fragile):
        def with_tasks(self, tasks: Any) -> Short:
            made = Short(tasks=tasks, lengths=[20, 8])
            made.with_tasks = lambda tasks: made  # type: ignore[method-assign]
            return made

    whole, _ = collected(tmp_path / "whole", Short(), 80)
    observation, following = whole["observation"], whole["next", "observation"]
    ends = whole["next", "terminated"].nonzero().squeeze(-1).tolist()
    assert ends == [19, 27, 35, 59, 67, 75]
    assert whole["next", "truncated"].nonzero().squeeze(-1).tolist() == [39, 79]
    first = [index + 1 for index in (*ends, 39) if index + 1 < 80]
    assert len(torch.unique(observation[first], dim=0)) == len(first), "every episode begins in a place of its own"
    inside = [index for index in range(79) if index not in (*ends, 39, 79)]
    assert torch.equal(observation[[index + 1 for index in inside]], following[inside])

    collected(tmp_path / "torn", Short(), 80)
    (tmp_path / "torn" / "shard-000.json").write_text('{"transitions": 40}')
    resumed, _ = collected(tmp_path / "torn", Short(), 80)
    assert torch.equal(resumed["observation"][first[3:]], observation[first[3:]]), "going on repeats no episode"
