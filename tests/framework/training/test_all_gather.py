from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from bfmkit.testing.objective import transitions
from bfmkit.training.all_gather import everywhere, full_precision, gathered, processes

SCRIPT = Path(__file__).with_name("joint_gradient.py")


NAMES = ("forward_backward", "td_jepa", "laplacian", "contrastive", "hilp")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("joint_gradient", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """What each of two processes found for each objective; they are started once for all of them."""
    folder, port = tmp_path_factory.mktemp("two"), find_free_network_port()
    files = [folder / f"{local}.pt" for local in range(2)]
    command = [sys.executable, str(SCRIPT)]
    settings = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with ExitStack() as stack:
        running = []
        for local, file in enumerate(files):
            words = [*command, str(local), str(port), str(file)]
            running.append(stack.enter_context(subprocess.Popen(words, text=True, **settings)))
            stack.callback(running[-1].kill)
        said = [process.communicate(timeout=300)[0] for process in running]
        assert [process.returncode for process in running] == [0, 0], said
    return [torch.load(file, weights_only=True) for file in files]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_get_the_gradient_of_the_joint_batch(script: ModuleType, two: list, name: str) -> None:
    assert set(script.OBJECTIVES) == set(NAMES)

    def alone(part: slice) -> dict[str, torch.Tensor]:
        made, batch = script.objective(name, part), transitions(script.ROWS)[part]
        losses = made(batch)
        sum(value for name, value in losses.items() if name.startswith("loss_")).backward()
        made.update_statistics(batch)
        return script.found(made)

    joint = alone(slice(None))
    first, second = (each[name] for each in two)
    assert set(first) == set(joint)
    for entry, expected in joint.items():
        torch.testing.assert_close(first[entry], second[entry], rtol=0, atol=0)
        torch.testing.assert_close(first[entry], expected, rtol=1e-4, atol=1e-5)
    # Without gathering it would be another: the mean over halves knows no pairs across them.
    halves = [alone(slice(start, start + script.ROWS // 2)) for start in (0, script.ROWS // 2)]
    apart = [(halves[0][entry] + halves[1][entry]) / 2 - expected for entry, expected in joint.items()]
    assert max(float(difference.abs().max()) for difference in apart) > 1e-2


def test_alone_nothing_is_gathered() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert gathered(x) is x
    assert processes() == 1
    assert everywhere(torch.tensor(True))
    assert not everywhere(torch.tensor(False))


def test_embeddings_in_half_precision_are_compared_in_full() -> None:
    x = torch.full((3, 2), 1.001, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        half = x @ x.mT
        assert half.dtype == torch.bfloat16
        whole = gathered(half)
        assert whole.dtype == torch.float32
        with full_precision(whole):
            assert (whole @ whole).dtype == torch.float32
    whole.sum().backward()
    assert x.grad is not None
