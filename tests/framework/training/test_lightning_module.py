from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from tensordict import TensorDict

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.data.sampling import UpdateGroups
from bfmkit.testing.objective import SPEC
from bfmkit.training import lightning_module
from bfmkit.training.lightning_module import Pretraining
from bfmkit.training.pretraining_options import HardwareOptions, OptimizerOptions

OPTIMIZER = OptimizerOptions(1e-2, "cosine", ema_decay=0.9)


class Recording:
    """Stands in for a CUDA graph: makes the update anew each time."""

    def __init__(self, update: object, example: TensorDict, before: object) -> None:
        self._update = update
        for _ in range(3):
            update(example)
        before.restore()

    def replay(self, batch: TensorDict) -> tuple:
        return self._update(batch)


class Batches:
    """Transitions of noise; those of one update may hold what is no number."""

    def __init__(self, bad: int | None = None) -> None:
        self._bad = bad

    def chunk(self, first: int, count: int) -> TensorDict:
        return torch.stack([self.whole(number) for number in range(first, first + count)])

    def whole(self, number: int) -> TensorDict:
        generator = torch.Generator().manual_seed(number)
        s, following = torch.randn(2, 8, SPEC.observation_size, generator=generator)
        action = torch.rand(8, SPEC.action_size, generator=generator)
        if number == self._bad:
            action[3] = torch.nan
        terminated = torch.zeros(8, dtype=torch.bool)
        return TensorDict(
            {"observation": s, "action": action, "next": {"observation": following, "terminated": terminated}}, [8]
        )


class Optimizer:
    """What Lightning wraps an optimiser in, as far as it is used."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, self.param_groups = optimizer, optimizer.param_groups
        self.zero_grad, self.step = optimizer.zero_grad, optimizer.step


def module(folder: Path, captures: bool, bad: int | None = None, **settings: object) -> Pretraining:
    torch.manual_seed(3)
    objective = ForwardBackwardObjective(ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=4))
    origin = {"objective": {"type": "forward_backward"}, "spec": SPEC.to_dict()}
    made = Pretraining(
        objective, 100, OPTIMIZER, folder, Batches(bad), origin, HardwareOptions(cuda_graph=captures), **settings
    )  # fmt: skip
    wrapped = Optimizer(made.configure_optimizers())
    made.optimizers = lambda: wrapped
    made.manual_backward = lambda loss: loss.backward()
    return made


def test_a_recorded_training_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightning_module, "CapturedUpdate", Recording)
    plain, recorded = (module(tmp_path, captures) for captures in (False, True))
    for made in (plain, recorded):
        torch.manual_seed(5)
        for group in ((0, 3), (3, 1), (4, 4)):
            made.training_step(group, 0)
        assert made.update == 8
    expected = plain.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(recorded.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    assert recorded.rows == plain.rows == []


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(("algorithm", "order"), [("norm", 2.0), ("value", float("inf"))])
def test_gradients_are_clipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: bool, algorithm: str, order: float
) -> None:
    monkeypatch.setattr(lightning_module, "CapturedUpdate", Recording)

    def largest(**settings: object) -> float:
        made = module(tmp_path, recorded, **settings)
        made.training_step((0, 2), 0)
        gradients = [each.grad.flatten() for each in made.objective.parameters() if each.grad is not None]
        return float(torch.linalg.vector_norm(torch.cat(gradients), order))

    assert largest() > 1e-3
    assert largest(gradient_clip_val=1e-3, gradient_clip_algorithm=algorithm) == pytest.approx(1e-3, rel=1e-3)


def groups_gone_on_with(made: Pretraining, state: dict, device: str) -> list[dict]:
    """Those of an optimiser of parameters that lie on a device, once the state has been loaded."""
    trained = made.objective.parameter_groups().values()
    groups = [[torch.nn.Parameter(each.to(device)) for each in group] for group in trained]
    optimizer = torch.optim.Adam([{"params": group} for group in groups], fused=True)
    optimizer.load_state_dict(state)
    made.optimizers = lambda: Optimizer(optimizer)
    made.on_train_start()
    return optimizer.param_groups


@pytest.mark.parametrize("recorded", [False, True])
def test_one_that_is_gone_on_with_has_its_rates_where_updates_look_for_them(tmp_path: Path, recorded: bool) -> None:
    state = module(tmp_path, captures=recorded).configure_optimizers().state_dict()
    # All that is read lies in the processor's memory; a device that has none of its own stands for a GPU.
    for group in groups_gone_on_with(module(tmp_path, captures=True), state, "meta"):
        assert group["lr"].device.type == "meta"
        assert group["capturable"]
    for group in groups_gone_on_with(module(tmp_path, captures=False), state, "cpu"):
        assert isinstance(group["lr"], float)
        assert group["lr"] == pytest.approx(1e-2)
        assert not group["capturable"]


def test_of_a_recorded_group_the_update_that_failed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightning_module, "CapturedUpdate", Recording)
    monkeypatch.setattr(Pretraining, "trainer", type("Trainer", (), {"is_global_zero": True, "world_size": 1}))
    made = module(tmp_path, captures=True, bad=6)
    made.training_step((0, 4), 0)
    with pytest.raises(lightning_module.JobError, match=r"update 6: loss_measure"):
        made.training_step((4, 4), 0)
    content = torch.load(tmp_path / "failed_update_6.pt", weights_only=True)
    assert content["batch"]["action"][3].isnan().all()
    assert all(value.isfinite().all() for value in content["weights"].values())
    assert made.update == 6


def fitted(folder: Path, callbacks: list[lightning.Callback], updates: int = 12) -> Pretraining:
    """A training that Lightning's own Trainer runs."""
    torch.manual_seed(3)
    objective = ForwardBackwardObjective(ForwardBackward(SPEC, TwoStreamNetworks(16, 16, 2), dim=4))
    made = Pretraining(objective, updates, OPTIMIZER, folder, Batches())
    groups = UpdateGroups(updates, 3, [], lambda: made.update)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, callbacks=callbacks, default_root_dir=folder,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    torch.manual_seed(5)
    with warnings.catch_warnings():
        # Of Lightning and torch, on loaders, warm-ups of averages and a function that is about to go.
        warnings.simplefilter("ignore")
        trainer.fit(made, groups)
    return made


@pytest.mark.parametrize(
    "callback",
    [lambda: EMAWeightAveraging(decay=0.9), lambda: StochasticWeightAveraging(swa_lrs=0.5, swa_epoch_start=0.0)],
    ids=["EMAWeightAveraging", "StochasticWeightAveraging"],
)
def test_stock_callbacks_that_average_weights_leave_the_training_as_it_is(
    tmp_path: Path, callback: Callable[[], lightning.Callback]
) -> None:
    class Watch(lightning.Callback):
        def __init__(self) -> None:
            self.updates: list[int] = []
            self.weights: list[torch.Tensor] = []

        def on_train_batch_end(self, trainer: object, module: Pretraining, *_: object) -> None:
            self.updates.append(module.update)
            self.weights.append(torch.cat([value.flatten() for value in module.objective.bfm.parameters()]).detach())

    plain, averaged = Watch(), Watch()
    fitted(tmp_path / "plain", [plain])
    made = fitted(tmp_path / "averaged", [callback(), averaged])
    assert averaged.updates == plain.updates == [3, 6, 9, 12]
    assert made.update == 12
    for found, expected in zip(averaged.weights, plain.weights, strict=True):
        assert torch.equal(found, expected)
