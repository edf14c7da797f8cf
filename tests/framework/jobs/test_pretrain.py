from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bfmkit.components.bfms.checkpoint import Checkpoint
from bfmkit.components.datasets.memory_map import MemoryMapDataset
from bfmkit.components.environments.dm_control import DMControlEnvironment
from bfmkit.data.shards import ShardWriter, claim, empty_transitions
from bfmkit.deferred import Deferred
from bfmkit.interfaces import JobFailed, Objective
from bfmkit.jobs.pretrain import PretrainJob
from bfmkit.testing.job import JobContract
from bfmkit.training.practice import Practice

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

    from bfmkit.training.pretraining import Pretraining

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
    from bfmkit.training.pretraining import Pretraining

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
    monkeypatch.setattr("bfmkit.data.transition_pool.fits", lambda *_: True)
    for name, expected in (("cuda:1", ("gpu", [1])), ("cuda", ("gpu", [0])), ("cpu", ("cpu", 1))):
        with pytest.raises(Asked) as asked:
            made.run(tmp_path, torch.device(name))
        assert asked.value.args == expected


def test_the_accelerators_random_numbers_go_on_too(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bfmkit.training.pretraining import Pretraining

    objective = Deferred.of(Objective, {**OBJECTIVE, "actor_rate": 0.1}).build(MemoryMapDataset(data).spec)
    module = Pretraining(objective, 100, 1e-3, "cosine", None, tmp_path)
    assert module._rate_factor(0) == 1.0
    assert module._rate_factor(50) == pytest.approx(0.505)
    assert module._rate_factor(100) == pytest.approx(0.01)
    rates = {group["full_lr"] for group in module.configure_optimizers().param_groups}
    assert rates == {1e-3, 1e-4}


@pytest.mark.parametrize("together", [1, 4])
def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_update(data: Path, tmp_path: Path, together: int) -> None:
    broken = job(data, updates_per_step=together)
    read = broken.dataset.to_device

    def poisoned(device: object, keys: list) -> object:
        transitions = read(device, keys).clone()
        transitions["action"][7] = torch.nan
        return transitions

    broken.dataset.to_device = poisoned
    with pytest.raises(JobFailed, match=r"update \d+: .*not finite.*saved.*bfmkit run replay_update"):
        broken.run(tmp_path, CPU)
    (file,) = tmp_path.glob("failed_update_*.pt")
    content = torch.load(file, weights_only=True)
    assert content["batch"]["action"].isnan().any()
    assert all(value.isfinite().all() for value in content["weights"].values())
    assert not (tmp_path / "model").exists()


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_how_updates_are_grouped_and_where_batches_are_drawn_changes_no_weight(data: Path, tmp_path: Path) -> None:
    evaluation = DMControlEnvironment("walker", "stand", episode_steps=3)
    settings = {"updates": 103, "averaging": 0.9, "decay": "cosine", "practice": practice(), "evaluate_every": 17,
                "evaluation_episodes": 1}  # fmt: skip
    variants = {"plain": {}, "grouped": {"updates_per_step": 7}, "disk": {"updates_per_step": 50, "data_on": "disk"}}
    for name, variant in variants.items():
        (tmp_path / name).mkdir()
        job(data, evaluation, **settings, **variant).run(tmp_path / name, CPU)
    expected = weights(tmp_path / "plain")
    for name in ("grouped", "disk"):
        found = weights(tmp_path / name)
        assert all(torch.equal(found[key], expected[key]) for key in expected), name
        assert rows(tmp_path / name) == rows(tmp_path / "plain")
    assert [row["update"] for row in rows(tmp_path / "plain") if "loss_actor" in row] == [0, 100]


def test_bfloat16_is_for_the_losses_alone(data: Path, tmp_path: Path) -> None:
    found = {}
    for precision in ("float32", "tf32", "bf16"):
        (tmp_path / precision).mkdir()
        before = torch.get_float32_matmul_precision()
        job(data, precision=precision).run(tmp_path / precision, CPU)
        assert torch.get_float32_matmul_precision() == before
        found[precision] = weights(tmp_path / precision)
    for name, value in found["bf16"].items():
        assert value.dtype == found["float32"][name].dtype
        assert value.isfinite().all()
    assert any(not torch.equal(value, found["float32"][name]) for name, value in found["bf16"].items())


def test_a_compiled_training_learns_the_same(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
            job(data, updates=5, compile=compiles).run(tmp_path / name, CPU)
    assert len(compiled) == 1
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_capturing_changes_nothing_on_a_cpu(data: Path, tmp_path: Path) -> None:
    for name, captures in (("plain", False), ("captured", True)):
        (tmp_path / name).mkdir()
        job(data, updates=5, capture=captures).run(tmp_path / name, CPU)
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "captured")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_full_disk_keeps_the_state_before(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="limits of file sizes are a matter of Unix")
    from bfmkit.training.callbacks import TrainingState

    save, saved = TrainingState.save, []

    def on_a_small_disk(state: TrainingState, trainer: object) -> None:
        if len(saved) < 3:
            saved.append(trainer.lightning_module.update.item())
            return save(state, trainer)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # The file breaks off in the middle, as on a disk that fills up while it is written.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            return save(state, trainer)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir(), stopped.mkdir()
    settings = {"updates": 8, "save_minutes": 1e-9}
    job(data, **settings).run(whole, CPU)
    monkeypatch.setattr(TrainingState, "save", on_a_small_disk)
    with pytest.raises(JobFailed, match=r"last\.ckpt: the training state cannot be written .*is kept"):
        job(data, **settings).run(stopped, CPU)
    monkeypatch.undo()
    state = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    assert int(state["state_dict"]["update"]) == saved[-1] == 3
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == ["last.ckpt"]
    job(data, **settings).run(stopped, CPU)
    expected, found = weights(whole), weights(stopped)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


KILLED = """
import os, signal, sys, pickle
import torch

with open(sys.argv[1], "rb") as file:
    job, out, where, when, threads = pickle.load(file)
torch.set_num_threads(threads)  # the same bits come from the same threads only

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if where == "update":
    from bfmkit.training.pretraining import Pretraining as owner
    name = "_losses"
else:
    from bfmkit.training.callbacks import TrainingState as owner
    name = "save"
method = getattr(owner, name)

def dying(self, argument):
    module = self if where == "update" else argument.lightning_module
    if int(module.update) == when:
        if where == "state":
            (self._file.with_suffix(".tmp")).write_bytes(b"half of a state")
        if where == "renamed":
            method(self, argument)
        die()
    return method(self, argument)

setattr(owner, name, dying)
job.run(out, torch.device("cpu"))
"""


def test_killed_again_and_again_it_ends_in_the_same_weights(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    made = job(data, updates=30, averaging=0.9, practice=practice(), save_minutes=1e-9, updates_per_step=4)
    # In the middle of a group of updates; while the state is written; when the last one has just been.
    for where, when in (("update", 13), ("state", 20), ("renamed", 30)):
        (tmp_path / "plan").write_bytes(pickle.dumps((made, killed, where, when, torch.get_num_threads())))
        ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "plan")], capture_output=True, text=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert not (killed / "model").exists()
    made.run(whole, CPU)
    made.run(killed, CPU)
    expected, found = weights(whole), weights(killed)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert rows(killed) == rows(whole)


def test_all_that_a_run_leaves_is_read_without_pickle(data: Path, tmp_path: Path) -> None:
    job(data, updates=3, practice=practice()).run(tmp_path, CPU)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert {"state_dict", "optimizer_states", "generators"} <= set(state)
    assert {"python", "numpy", "torch"} <= set(state["generators"][0])
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin")]


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"updates": 0},
        {"learning_rate": -1.0},
        {"averaging": 1.0},
        {"updates_per_step": 0},
        {"batch_size": 15, "devices": 2},
        {"batch_size": 4, "devices": 2, "nodes": 2},
        {"capture": True, "devices": 2},
    ],
)
def test_refuses_numbers_that_make_no_sense(data: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        job(data, **wrong)
