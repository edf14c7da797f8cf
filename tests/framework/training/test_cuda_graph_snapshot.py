from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from bfmkit.training.cuda_graph import Snapshot
from bfmkit.training.rng_state import generator_states, set_generator_states

CPU = torch.device("cpu")


def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    module(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("already", [0, 2])
def test_what_came_after_is_taken_back(already: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(already):
        step(module, optimizer)
    addresses = [parameter.data_ptr() for parameter in module.parameters()]
    before = Snapshot(module, optimizer, CPU)

    def three_steps() -> list[torch.Tensor]:
        for _ in range(3):
            step(module, optimizer)
        return [value.clone() for value in module.state_dict().values()]

    first = three_steps()
    before.restore()
    second = three_steps()
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert [parameter.data_ptr() for parameter in module.parameters()] == addresses


def test_every_generator_goes_on_where_it_was(tmp_path: object) -> None:
    def draw() -> tuple:
        return random.random(), np.random.rand(), random.gauss(0, 1), torch.rand(1).item()  # noqa: NPY002

    draw()
    file = tmp_path / "states.pt"
    torch.save(generator_states(CPU), file)
    expected = [draw(), draw()]
    set_generator_states(torch.load(file, weights_only=True), CPU)
    assert [draw(), draw()] == expected
