from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bfmkit.components.bfms.checkpoint import checkpoint
from bfmkit.components.datasets.exorl import ExorlDataset
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.data.exorl_layout import write_episode
from bfmkit.interfaces import JobError, Objective
from bfmkit.jobs.pretrain import PretrainJob, _Outcome
from bfmkit.recipe import defer
from bfmkit.testing.job import JobContract
from bfmkit.training.pretraining_options import OptimizerOptions
from bfmkit.training.self_collection import SelfCollection

CPU = torch.device("cpu")
Pretrain = Callable[..., PretrainJob]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint(str(out / "model")).state_dict()


class TestPretrainJob(JobContract):
    @pytest.fixture(autouse=True)
    def _pretrain(self, pretrain: Pretrain) -> None:
        self.pretrain = pretrain

    def make(self) -> PretrainJob:
        evaluation = DMControlEnvironment("walker", "stand", episode_steps=5)
        return self.pretrain(evaluation, updates=6, batch_size=8, every=3, episodes=2)


def test_leaves_a_model_that_loads_and_says_where_it_comes_from(data: Path, pretrain: Pretrain, tmp_path: Path) -> None:
    evaluation = DMControlEnvironment("walker", "stand", episode_steps=5)
    summary = pretrain(evaluation, every=20, episodes=2).run(tmp_path, CPU)
    assert set(summary["tasks"]) == {"stand", "walk", "run", "flip"}
    model = checkpoint(str(tmp_path / "model"))
    assert model.environment_spec == MemoryMapDataset(data).spec
    assert model.inference_set().batch_size == (50,)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    card = (tmp_path / "model" / "README.md").read_text()
    assert "120 transitions" in card
    assert f"| stand | {summary['tasks']['stand']['oracle_return']:.0f} |" in card
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows if "oracle_return" in row] == [20, 40]
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_says_whether_the_model_is_good(pretrain: Pretrain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluation = DMControlEnvironment("walker", "stand", episode_steps=5)
    typed = "upright"
    settings = {"every": 20, "episodes": 2, "health_every": 20, "keep_models": True}
    made = pretrain(evaluation, tasks=["stand", typed], **settings)
    summary = made.run(tmp_path, CPU)
    said = capsys.readouterr().err
    assert "update 20, oracle's return: stand " in said and "update 40, oracle's return: stand " in said
    assert "update 20, health: " in said
    assert [line.split()[:3] for line in said.splitlines() if line.startswith("task ")] == [["task", "oracle", "floor"]]
    assert set(summary["tasks"]) == set(summary["floor_returns"]) == {"stand", typed}
    assert isinstance(summary["bad"], list) and f"health: {'bad' if summary['bad'] else 'nothing'}" in said
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    logged = events.Scalars("oracle_return/upright")
    assert [event.step for event in logged] == [20, 40]
    assert logged[-1].value == pytest.approx(summary["tasks"][typed]["oracle_return"], rel=1e-5)
    assert (tmp_path / "figures" / "return.png").is_file() and (tmp_path / "figures" / "health.png").is_file()
    # Every model that was evaluated is kept, as it was then.
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["update_20", "update_40"]
    early, late = (checkpoint(str(tmp_path / "models" / f"update_{number}")) for number in (20, 40))
    assert all(torch.equal(late.state_dict()[key], value) for key, value in weights(tmp_path).items())
    assert any(not torch.equal(early.state_dict()[key], value) for key, value in weights(tmp_path).items())
    with pytest.raises(ValueError, match="fly"):
        pretrain(evaluation, tasks=["fly"])


def test_says_which_data_it_was_trained_on_and_what_was_left_out(data: Path, objective: dict, tmp_path: Path) -> None:
    folder, out = tmp_path / "rnd", tmp_path / "run"
    out.mkdir()
    for index, rows in enumerate(torch.arange(120).split(60)):
        (folder / "buffer").mkdir(parents=True, exist_ok=True)
        path = write_episode(folder / "buffer", index, MemoryMapDataset(data).read(rows))
    path.write_bytes(b"no")
    dataset = ExorlDataset(folder, DMControlEnvironment("walker", "stand"), skip_corrupt=True)
    job = PretrainJob(dataset, defer(Objective, objective), updates=2, batch_size=16, inference_set=50)
    summary = job.run(out, CPU)
    checksum = json.loads((folder / "memory_map" / "source.json").read_text())["checksum"]
    assert summary["data"] == [{"path": str(folder), "checksum": checksum, "episodes": 2, "skipped": 1}]
    card = (out / "model" / "README.md").read_text()
    assert f"* dataset: `{folder}`, 1 of 2 episodes skipped, checksum {checksum}\n" in card


def self_collection() -> SelfCollection:
    return SelfCollection(DMControlEnvironment("walker", "stand", episode_steps=7), every=5, rows=2, hold=3)


def test_what_an_objective_fits_its_model_to_lies_where_the_model_does(pretrain: Pretrain, tmp_path: Path) -> None:
    places = []
    module = SimpleNamespace(
        model=torch.nn.Linear(1, 1, device="meta"),
        objective=SimpleNamespace(finish=lambda model, transitions: places.append((model, transitions.device))),
        trainer=SimpleNamespace(is_global_zero=True),
    )
    made = pretrain()
    _Outcome(made, module, SimpleNamespace(pool=made.dataset), tmp_path).evaluate(0)
    ((model, device),) = places
    assert device == torch.device("meta")
    assert model is not module.model, "what is fitted here is no part of the training"


def test_trains_on_the_device_that_was_asked_for(
    data: Path, pretrain: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):
        pass

    def trainer(**settings: object) -> None:
        raise Asked(settings["accelerator"], settings["devices"])

    monkeypatch.setattr("lightning.Trainer", trainer)
    made = pretrain()
    read = made.dataset.to_device
    made.dataset.to_device = lambda device, keys: read("cpu", keys)
    monkeypatch.setattr("bfmkit.data.transition_pool.fits", lambda *_: True)
    for name, expected in (("cuda:1", ("gpu", [1])), ("cuda", ("gpu", [0])), ("cpu", ("cpu", 1))):
        with pytest.raises(Asked) as asked:
            made.run(tmp_path, torch.device(name))
        assert asked.value.args == expected


def test_the_rate_falls_along_a_cosine_and_the_actors_with_it(data: Path, objective: dict, tmp_path: Path) -> None:
    from bfmkit.training.lightning_module import Pretraining

    built = defer(Objective, {**objective, "actor_rate": 0.1}).build(MemoryMapDataset(data).spec)
    module = Pretraining(built, 100, OptimizerOptions(1e-3, "cosine"), tmp_path)
    assert module._rate_factor(0) == 1.0
    assert module._rate_factor(50) == pytest.approx(0.505)
    assert module._rate_factor(100) == pytest.approx(0.01)
    rates = {group["full_lr"] for group in module.configure_optimizers().param_groups}
    assert rates == {1e-3, 1e-4}
    warm = Pretraining(built, 100, OptimizerOptions(1e-3, warmup=10), tmp_path)
    assert [warm._rate_factor(number) for number in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("together", [1, 4])
def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_update(
    pretrain: Pretrain, tmp_path: Path, together: int
) -> None:
    broken = pretrain(updates_per_step=together)
    read = broken.dataset.to_device

    def poisoned(device: object, keys: list) -> object:
        transitions = read(device, keys).clone()
        transitions["action"][7] = torch.nan
        return transitions

    broken.dataset.to_device = poisoned
    with pytest.raises(JobError, match=r"update \d+: .*not finite.*saved.*bfmkit run replay_update"):
        broken.run(tmp_path, CPU)
    (file,) = tmp_path.glob("failed_update_*.pt")
    content = torch.load(file, weights_only=True)
    assert content["batch"]["action"].isnan().any()
    assert all(value.isfinite().all() for value in content["weights"].values())
    assert not (tmp_path / "model").exists()


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_how_updates_are_grouped_and_where_batches_are_drawn_changes_no_weight(
    pretrain: Pretrain, tmp_path: Path
) -> None:
    evaluation = DMControlEnvironment("walker", "stand", episode_steps=3)
    settings = {"updates": 103, "ema_decay": 0.9, "lr_schedule": "cosine", "self_collection": self_collection(),
        "every": 17, "episodes": 1}  # fmt: skip
    variants = {
        "plain": {},
        "grouped": {"updates_per_step": 7},
        "disk": {"updates_per_step": 50, "data_device": "disk"},
    }
    for name, variant in variants.items():
        (tmp_path / name).mkdir()
        pretrain(evaluation, **settings, **variant).run(tmp_path / name, CPU)
    expected = weights(tmp_path / "plain")
    for name in ("grouped", "disk"):
        found = weights(tmp_path / name)
        assert all(torch.equal(found[key], expected[key]) for key in expected), name
        assert rows(tmp_path / name) == rows(tmp_path / "plain")
    assert [row["update"] for row in rows(tmp_path / "plain") if "loss_actor" in row] == [0, 100]


def test_bfloat16_is_for_the_losses_alone(pretrain: Pretrain, tmp_path: Path) -> None:
    found = {}
    for precision in ("float32", "tf32", "bf16"):
        (tmp_path / precision).mkdir()
        before = torch.get_float32_matmul_precision()
        pretrain(precision=precision).run(tmp_path / precision, CPU)
        assert torch.get_float32_matmul_precision() == before
        found[precision] = weights(tmp_path / precision)
    for name, value in found["bf16"].items():
        assert value.dtype == found["float32"][name].dtype
        assert value.isfinite().all()
    assert any(not torch.equal(value, found["float32"][name]) for name, value in found["bf16"].items())


def test_a_compiled_training_learns_the_same(
    pretrain: Pretrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    compile_ = torch.compile

    def traced(function: object, **settings: object) -> object:
        compiled.append(function)
        # Traced, but not translated: that would take a C++ compiler, and minutes.
        return compile_(function, backend="eager", **settings)

    monkeypatch.setattr(torch, "compile", traced)
    for name, compiles in (("plain", False), ("compiled", True)):
        (tmp_path / name).mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pretrain(updates=5, compile=compiles).run(tmp_path / name, CPU)
    assert len(compiled) == 1
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_capturing_changes_nothing_on_a_cpu(pretrain: Pretrain, tmp_path: Path) -> None:
    for name, captures in (("plain", False), ("captured", True)):
        (tmp_path / name).mkdir()
        pretrain(updates=5, cuda_graph=captures).run(tmp_path / name, CPU)
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "captured")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_all_that_a_run_leaves_is_read_without_pickle(pretrain: Pretrain, tmp_path: Path) -> None:
    pretrain(updates=3, self_collection=self_collection()).run(tmp_path, CPU)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert {"state_dict", "optimizer_states", "generators"} <= set(state)
    assert {"python", "numpy", "torch"} <= set(state["generators"][0])
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin")]


def test_goes_on_from_a_trained_model(pretrain: Pretrain, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    pretrain().run(first, CPU)
    # A rate so small that what comes out is what went in.
    pretrain(init_from=str(first / "model"), updates=2, learning_rate=1e-12).run(second, CPU)
    before, after = weights(first), weights(second)
    for name in before:
        if "second_moment" not in name:
            torch.testing.assert_close(after[name], before[name])


def test_refuses_to_start_from_another_model(pretrain: Pretrain, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pretrain(init_from=str(tmp_path / "nowhere"))
    with pytest.raises(JobError, match="zoo:walker-hilp is not the one"):
        pretrain(init_from="zoo:walker-hilp").run(tmp_path, CPU)


def test_refuses_an_evaluation_with_another_body(pretrain: Pretrain) -> None:
    with pytest.raises(ValueError, match="cheetah"):
        pretrain(DMControlEnvironment("cheetah", "run"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"updates": 0},
        {"learning_rate": -1.0},
        {"ema_decay": 1.0},
        {"updates_per_step": 0},
        {"batch_size": 15, "devices": 2},
        {"batch_size": 4, "devices": 2, "nodes": 2},
        {"cuda_graph": True, "devices": 2},
    ],
)
def test_refuses_numbers_that_make_no_sense(pretrain: Pretrain, wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        pretrain(**wrong)


def test_shows_what_rewards_it_trains_on_and_changes_no_weight_by_it(
    pretrain: Pretrain, objective: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = {"type": "random_rewards", "entries": ["height", "velocity_0"]}
    objective["latent_sampler"] = {"type": "mixture", "samplers": [{"type": "sphere"}, sampler], "shares": [1, 1]}
    for name in ("shown", "unseen"):
        (tmp_path / name).mkdir()
    pretrain(updates=2).run(tmp_path / "shown", CPU)
    table = (tmp_path / "shown" / "figures" / "drawn_rewards.csv").read_text()
    assert "height" in table and "velocity_0" in table
    monkeypatch.setattr(PretrainJob, "_draw_rewards", lambda *_: None)
    pretrain(updates=2).run(tmp_path / "unseen", CPU)
    models = [checkpoint(str(tmp_path / name / "model")).state_dict() for name in ("shown", "unseen")]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
