"""The scripts that say how fast a training is, and what precision does to it, made small."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.objectives.forward_backward import ForwardBackwardObjective
from bfmkit.data.sampling import TransitionBatches
from bfmkit.data.transition_pool import TransitionPool
from bfmkit.training.lightning_module import Pretraining
from bfmkit.training.pretraining_options import OptimizerOptions

CPU = torch.device("cpu")
SMALL = ["--width", "16", "--batch", "16", "--dim", "4", "--updates", "6", "--threads", "1"]


def threads_checked(count: int) -> None:
    """Refuses what the real one would, and changes nothing."""
    assert count >= 1


def script(name: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> ModuleType:
    """As it is when it is run by hand, but that this process keeps its threads and its memory."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    module = importlib.import_module(name)
    monkeypatch.setattr(module, "pin_threads", threads_checked)
    monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(sys, "argv", [name, *words])
    return module


def test_an_update_beside_its_products(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    script("fb_update", monkeypatch, *SMALL, "--together", "2").main()
    printed = capsys.readouterr().out
    assert "width 16, batch 16, z 4, float32, 1 threads" in printed
    assert "times the products" in printed
    assert "kernels" not in printed


def test_kernels_are_looked_at_while_the_training_is_on_its_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fb_update, order = script("fb_update", monkeypatch), []
    teardown = SingleDeviceStrategy.teardown

    def looked(module: Pretraining, together: int) -> float:
        order.append(("kernels", together))
        return 0.5

    def moved(strategy: SingleDeviceStrategy) -> None:
        order.append("teardown")
        teardown(strategy)

    monkeypatch.setattr(fb_update, "share_in_kernels", looked)
    monkeypatch.setattr(SingleDeviceStrategy, "teardown", moved)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    objective = ForwardBackwardObjective(ForwardBackward(fb_update.WALKER, TwoStreamNetworks(16, 16, 2), dim=4))
    batches = TransitionBatches(TransitionPool(fb_update.Noise(50), CPU), 16, 0)
    clock = fb_update.Clock(lambda: None, torch.device("cuda"), turns=1)
    module = Pretraining(objective, 4, OptimizerOptions(), tmp_path, batches)
    fb_update.fit(module, 4, 2, CPU, [clock])
    assert order == [("kernels", 2), "teardown"]
    assert clock.share == 0.5


def test_precisions_beside_chance(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    script("precision", monkeypatch, *SMALL).main()
    rows = {line[:24].strip(): [float(word) for word in line[24:].split()] for line in _table(capsys)}
    assert list(rows) == ["float32", "bf16", "float32, other batches", "float32, other weights"]
    assert rows["float32"][3:] == [0, 0, 0]
    features, psi, actions = zip(*(row[3:] for row in list(rows.values())[1:]), strict=True)
    for each in (features, psi, actions):
        assert 0 < each[0] < each[2]


def _table(capsys: pytest.CaptureFixture) -> list[str]:
    return capsys.readouterr().out.splitlines()[2:]
