from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest
import torch

from bfmkit.evaluation.benchmark.group import Group, GroupTask, run_group
from bfmkit.evaluation.cells import Cell
from bfmkit.inference.experiment import Run
from bfmkit.interfaces import BFM, Environment, StepResult
from bfmkit.testing.models import BallEnvironment, LinearBFM
from bfmkit.testing.registry import registered

TREE = {"type": "infer", "bfm": {"type": "linear"}, "environment": {"type": "broken"}, "agent": {"type": "random"}}


class Broken(BallEnvironment):
    """Does not come far."""

    breaks: ClassVar[Callable[[], Any]]

    def with_tasks(self, tasks: list) -> Broken:
        return Broken(tasks=tasks)

    def step_batch(self, action: torch.Tensor) -> StepResult:
        Broken.breaks()
        return super().step_batch(action)


@pytest.fixture
def failed() -> Iterator[Callable[[Callable[[], Any]], Cell]]:
    """The cell of a run in which something breaks."""

    def run(breaks: Callable[[], Any]) -> Cell:
        Broken.breaks = staticmethod(breaks)
        *_, last = run_group(GroupTask(Group("mine", 0, TREE, (Run("task_0", 0),), 2, oracle="oracle")))
        (cell,) = last.cells
        return cell

    threads = torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(registered(BFM, "linear", LinearBFM))
        stack.enter_context(registered(Environment, "broken", Broken))
        yield run
    torch.set_num_threads(threads)


def test_what_a_library_raises_is_told_by_the_place_that_called_it(failed: Callable[..., Cell]) -> None:
    cell = failed(lambda: torch.nn.Linear(2, 2)(torch.zeros(3)))
    assert (cell.status, cell.oracle) == ("failed", "oracle")
    assert cell.error is not None and cell.error.startswith("RuntimeError: ")
    assert "(test_group.py:" in cell.error and "\n" not in cell.error
    # Where in the library, the record says.
    assert cell.traceback is not None and "/torch/nn/modules/linear.py" in cell.traceback
    assert cell.traceback.startswith("Traceback ")


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("/env/lib/python3.11/site-packages/bfmkit/ridge.py", "(ridge.py:1)"),
        ("/home/me/bfmkit/.venv/lib/site-packages/other/ridge.py", "(test_group.py:"),
        ("/usr/lib/python3/dist-packages/other/ridge.py", "(test_group.py:"),
    ],
)
def test_an_installed_bfmkit_is_no_library(failed: Callable[..., Cell], file: str, place: str) -> None:
    code = compile("raise ArithmeticError('no')", file, "exec")
    cell = failed(lambda: exec(code, {}))
    assert cell.error is not None and cell.error.startswith("ArithmeticError: no ") and place in cell.error
