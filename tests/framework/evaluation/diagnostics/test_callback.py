"""As part of a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.tabular import TabularEnvironment
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.interfaces import Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.recipe import defer
from bfmkit.tabular.mdp_layout import MDPLayout
from bfmkit.training.pretraining_options import EvaluationOptions, OptimizerOptions

CPU = torch.device("cpu")
LAYOUT = MDPLayout("random", size=5, actions=3)
OBJECTIVE = {
    "type": "forward_backward",
    "bfm": {
        "type": "forward_backward",
        "dim": 4,
        "networks": {"type": "two_stream", "width": 16, "encoder_width": 16},
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random actions in a finite problem."""
    folder = tmp_path_factory.mktemp("data")
    environment = TabularEnvironment(LAYOUT, ["random_0"] * 8, episode_steps=20)
    claim(folder, environment.spec)
    writer = ShardWriter(folder, "shard-000", environment.spec, 160)
    rows = empty_transitions(environment.spec, 160)
    torch.manual_seed(0)
    observation, _ = environment.reset_batch()
    for step in range(20):
        here = slice(8 * step, 8 * step + 8)
        action = torch.rand(8, 3) * 2 - 1
        outcome = environment.step_batch(action)
        rows["observation"][here], rows["action"][here] = observation, action
        rows["next", "observation"][here], rows["next", "physics"][here] = outcome.observation, outcome.physics
        observation = outcome.observation
    writer.append(rows)
    return folder


def trained(data: Path, out: Path, **settings: Any) -> dict[str, torch.Tensor]:
    out.mkdir(exist_ok=True)
    job = PretrainJob(
        MemoryMapDataset(data), defer(Objective, OBJECTIVE),
        **{"updates": 12, "batch_size": 16, "inference_set": 50, "save_minutes": 1e-9, **settings},
    )  # fmt: skip
    job.run(out, CPU)
    return checkpoint(str(out / "model")).state_dict()


def reports(out: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "health" in row]


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_reports_and_changes_nothing(data: Path, tmp_path: Path, ema_decay: float | None) -> None:
    environment = TabularEnvironment(LAYOUT, "random_0", episode_steps=20)
    often, never = (EvaluationOptions(environment, episodes=1, health_every=every) for every in (5, 1000))
    optimizer = OptimizerOptions(ema_decay=ema_decay)
    watched = trained(data, tmp_path / "watched", evaluation=often, optimizer=optimizer)
    alone = trained(data, tmp_path / "alone", evaluation=never, optimizer=optimizer)
    assert all(torch.equal(watched[name], alone[name]) for name in alone)
    assert reports(tmp_path / "alone") == []
    found = reports(tmp_path / "watched")
    assert [row["update"] for row in found] == [5, 10]
    names = {"effective_dimension", "effective_rank", "condition_number", "bellman_error", "implied_reward_scale"}
    tasks = {f"{name}_{task}" for name in ("reward_fit", "leading_share") for task in environment.spec.tasks}
    for row in found:
        assert set(row["health"]) == names | tasks
        assert 1 <= row["health"]["effective_rank"] <= 4
        assert set(row["bad"]) <= set(row["health"])
    # Twelve updates teach nothing, and the report says so.
    assert "implied_reward_scale" in found[-1]["bad"]


def test_tensorboard_has_them_too(data: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(data, tmp_path / "run", evaluation=EvaluationOptions(health_every=6))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("health/effective_rank")] == [6, 12]


def test_a_killed_run_repeats_no_report(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bfmkit.evaluation.diagnostics import callback

    whole = tmp_path / "whole"
    trained(data, whole, evaluation=EvaluationOptions(health_every=3))
    report = callback.HealthReport.on_train_batch_end

    def dies_at_9(self: Any, trainer: Any, module: Any, *rest: Any) -> None:
        report(self, trainer, module, *rest)
        if int(module.update) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(callback.HealthReport, "on_train_batch_end", dies_at_9)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trained(data, tmp_path / "killed", evaluation=EvaluationOptions(health_every=3))
    monkeypatch.undo()
    trained(data, tmp_path / "killed", evaluation=EvaluationOptions(health_every=3))
    assert reports(tmp_path / "killed") == reports(whole)
