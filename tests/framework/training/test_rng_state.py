from __future__ import annotations

import io
import random

import numpy as np
import torch

from bfmkit.training.rng_state import generator_states, set_generator_states

CPU = torch.device("cpu")


def drawn() -> tuple[float, float, float]:
    return random.gauss(), np.random.standard_normal(), torch.randn(()).item()  # noqa: NPY002  the global one


def test_all_generators_go_on_where_the_states_were_taken() -> None:
    drawn()
    file = io.BytesIO()
    torch.save(generator_states(CPU), file)
    expected = [drawn() for _ in range(3)]
    file.seek(0)
    set_generator_states(torch.load(file, weights_only=True), CPU)
    assert [drawn() for _ in range(3)] == expected
