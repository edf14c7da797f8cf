from __future__ import annotations

import torch
from torch import nn

from bfmkit.utils.placement import placement


def test_is_that_of_the_first_tensor_of_numbers_with_a_point() -> None:
    model = nn.Module()
    model.register_buffer("count", torch.zeros(1, dtype=torch.int64))
    model.register_buffer("far", torch.zeros(1, dtype=torch.float64, device="meta"))
    assert placement(model) == (torch.device("meta"), torch.float64)


def test_is_the_cpu_for_a_model_without_tensors() -> None:
    assert placement(nn.Module()) == (torch.device("cpu"), torch.float32)
