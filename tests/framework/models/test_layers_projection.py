from __future__ import annotations

import pytest
import torch

from bfmkit.models.layers import project


def test_projection_keeps_the_direction_and_sets_the_length() -> None:
    x = torch.tensor([[3.0, 4.0], [3e-30, 4e-30], [0.0, 0.0]], dtype=torch.float64)
    expected = 2**0.5 * torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(project(x), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1e-42, 1e-30, 1e-20, 1.0, 1e30])
def test_projection_of_anything_finite_is_finite(size: float, dtype: torch.dtype) -> None:
    projected = project(torch.full((1, 50), size, dtype=dtype))
    torch.testing.assert_close(projected, torch.full((1, 50), float(size > 0), dtype=dtype))


def test_projection_has_the_gradients_of_its_formula() -> None:
    assert torch.autograd.gradcheck(project, torch.randn(3, 4, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_at_zero_is_finite(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 4, dtype=dtype, requires_grad=True)
    project(x).sum().backward()
    assert x.grad.isfinite().all()
