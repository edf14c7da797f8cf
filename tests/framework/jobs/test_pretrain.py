from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bfmkit.components.bfms.checkpoint import Checkpoint
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.deferred import Deferred
from bfmkit.interfaces import JobFailed, Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.practice import Practice
from bfmkit.shards import ShardWriter, claim, empty_transitions
from bfmkit.testing.job import JobContract

CPU = torch.device("cpu")
OBJECTIVE = {
    "type": "forward_backward",
    "bfm": {
        "type": "forward_backward",
        "dim": 4,
        "networks": {"type": "simple", "width": 16, "encoder_width": 16},
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random actions of two walkers."""
    folder = tmp_path_factory.mktemp("data")
    environment = DMControlEnvironment("walker", "stand+stand", episode_steps=60)
    claim(folder, environment.spec)
    writer = ShardWriter(folder, "shard-000", environment.spec, 120)
    rows = empty_transitions(environment.spec, 120)
    torch.manual_seed(0)
    observation, _ = environment.begin()
    for step in range(60):
        here = slice(2 * step, 2 * step + 2)
        action = torch.rand(2, 6) * 2 - 1
        outcome = environment.advance(action)
        rows["observation"][here], rows["action"][here] = observation, action
        rows["next", "observation"][here], rows["next", "physics"][here] = outcome.observation, outcome.physics
        observation = outcome.observation
    writer.append(rows)
    return folder


def job(data: Path, evaluation: DMControlEnvironment | None = None, **settings: object) -> PretrainJob:
    return PretrainJob(
        MemoryMapDataset(data),
        Deferred.of(Objective, OBJECTIVE),
        **{"updates": 40, "batch_size": 16, "inference_set": 50, "evaluation": evaluation, **settings},
    )


def weights(out: Path) -> dict[str, torch.Tensor]:
    return Checkpoint(str(out / "model")).model.state_dict()


class TestPretrainJob(JobContract):
    @pytest.fixture(autouse=True)
    def _data(self, data: Path) -> None:
        self.data = data

    def make(self) -> PretrainJob:
        evaluation = DMControlEnvironment("walker", "stand", episode_steps=5)
        objective = Deferred.of(Objective, OBJECTIVE)
        return PretrainJob(
            MemoryMapDataset(self.data), objective, updates=6, batch_size=8, evaluation=evaluation, evaluate_every=3,
            evaluation_episodes=2,
        )  # fmt: skip


def test_leaves_a_model_that_loads_and_says_where_it_comes_from(data: Path, tmp_path: Path) -> None:
    evaluation = DMControlEnvironment("walker", "stand", episode_steps=5)
    summary = job(data, evaluation, evaluate_every=20, evaluation_episodes=2).run(tmp_path, CPU)
    assert set(summary["tasks"]) == {"stand", "walk", "run", "flip"}
    model = Checkpoint(str(tmp_path / "model"))
    assert model.spec == MemoryMapDataset(data).spec
    assert model.inference_set().batch_size == (50,)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    card = (tmp_path / "model" / "README.md").read_text()
    assert "120 transitions" in card
    assert f"| stand | {summary['tasks']['stand']['oracle_return']:.0f} |" in card
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows if "oracle_return" in row] == [20, 40]
    assert list((tmp_path / "tensorboard").glob("events*"))


def practice() -> Practice:
    return Practice(DMControlEnvironment("walker", "stand", episode_steps=7), every=5, rows=2, hold=3)


@pytest.mark.parametrize("practised", [False, True])
def test_killed_and_gone_on_with_it_ends_in_the_same_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, practised: bool
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir(), halves.mkdir()
    settings = {"averaging": 0.9, "decay": "cosine", "save_minutes": 1e-9}
    settings |= {"practice": practice()} if practised else {}
    job(data, **settings).run(whole, CPU)

    from bfmkit.pretraining import Pretraining

    step = Pretraining.training_step

    def dies_at_23(module: Pretraining, batch: object, index: int) -> None:
        if int(module.update) == 23:
            raise KeyboardInterrupt
        step(module, batch, index)

    monkeypatch.setattr(Pretraining, "training_step", dies_at_23)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        job(data, **settings).run(halves, CPU)
    monkeypatch.undo()
    assert not (halves / "model").exists()
    job(data, **settings).run(halves, CPU)
    expected, found = weights(whole), weights(halves)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_evaluation_before_the_last_saved_state_is_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bfmkit.pretraining import Pretraining

    evaluation = DMControlEnvironment("walker", "stand", episode_steps=3)
    settings = {"updates": 12, "evaluate_every": 5, "evaluation_episodes": 1, "save_minutes": 1e-9}
    step = Pretraining.training_step

    def dies_at_5(module: Pretraining, batch: object, index: int) -> None:
        if int(module.update) == 5:
            raise KeyboardInterrupt
        step(module, batch, index)

    monkeypatch.setattr(Pretraining, "training_step", dies_at_5)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        job(data, evaluation, **settings).run(tmp_path, CPU)
    monkeypatch.undo()
    job(data, evaluation, **settings).run(tmp_path, CPU)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows if "oracle_return" in row] == [5, 10, 12]


def test_what_an_objective_fits_its_model_to_lies_where_the_model_does(data: Path, tmp_path: Path) -> None:
    places = []
    module = SimpleNamespace(
        model=torch.nn.Linear(1, 1, device="meta"),
        objective=SimpleNamespace(finish=lambda model, transitions: places.append(transitions.device)),
    )
    made = job(data)
    made._evaluate(module, made.dataset.read(torch.arange(5)), tmp_path, 0)
    assert places == [torch.device("meta")]


def test_trains_on_the_device_that_was_asked_for(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def trainer(**settings: object) -> None:
        raise Asked(settings["accelerator"], settings["devices"])

    monkeypatch.setattr("lightning.Trainer", trainer)
    made = job(data)
    read = made.dataset.to_device
    made.dataset.to_device = lambda device, keys: read("cpu", keys)
    for name, expected in (("cuda:1", ("gpu", [1])), ("cuda", ("gpu", [0])), ("cpu", ("cpu", 1))):
        with pytest.raises(Asked) as asked:
            made.run(tmp_path, torch.device(name))
        assert asked.value.args == expected


def test_the_accelerators_random_numbers_go_on_too(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bfmkit.pretraining import Pretraining

    objective = Deferred.of(Objective, {**OBJECTIVE, "actor_rate": 0.1}).build(MemoryMapDataset(data).spec)
    module = Pretraining(objective, 100, 1e-3, "cosine", None, tmp_path)
    assert module._rate_factor(0) == 1.0
    assert module._rate_factor(50) == pytest.approx(0.505)
    assert module._rate_factor(100) == pytest.approx(0.01)
    rates = {group["full_lr"] for group in module.configure_optimizers().param_groups}
    assert rates == {1e-3, 1e-4}


def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_batch(data: Path, tmp_path: Path) -> None:
    broken = job(data)
    read = broken.dataset.to_device

    def poisoned(device: object, keys: list) -> object:
        transitions = read(device, keys).clone()
        transitions["action"][7] = torch.nan
        return transitions

    broken.dataset.to_device = poisoned
    with pytest.raises(JobFailed, match=r"update \d+: .*not finite.*saved"):
        broken.run(tmp_path, CPU)
    (file,) = tmp_path.glob("non_finite_batch_*.pt")
    assert torch.load(file, weights_only=True)["action"].isnan().any()
    assert not (tmp_path / "model").exists()


def test_goes_on_from_a_trained_model(data: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    job(data).run(first, CPU)
    # A rate so small that what comes out is what went in.
    job(data, start=str(first / "model"), updates=2, learning_rate=1e-12).run(second, CPU)
    before, after = weights(first), weights(second)
    for name in before:
        if "second_moment" not in name:
            torch.testing.assert_close(after[name], before[name])


def test_refuses_to_start_from_another_model(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        job(data, start=str(tmp_path / "nowhere"))
    with pytest.raises(JobFailed, match="zoo:walker-fb is not the one"):
        job(data, start="zoo:walker-fb").run(tmp_path, CPU)


def test_refuses_an_evaluation_with_another_body(data: Path) -> None:
    with pytest.raises(ValueError, match="cheetah"):
        job(data, DMControlEnvironment("cheetah", "run"))


@pytest.mark.parametrize("wrong", [{"updates": 0}, {"learning_rate": -1.0}, {"averaging": 1.0}])
def test_refuses_numbers_that_make_no_sense(data: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        job(data, **wrong)
