from __future__ import annotations

import pytest
import torch

from bfmkit.training.precision import float32_products, in_precision


@pytest.mark.parametrize(("precision", "expected"), [("float32", "highest"), ("tf32", "high"), ("bf16", "highest")])
def test_factors_are_rounded_for_as_long_as_the_block_lasts(precision: str, expected: str) -> None:
    before = torch.get_float32_matmul_precision()
    with float32_products(precision):  # type: ignore[arg-type]
        assert torch.get_float32_matmul_precision() == expected
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_in_the_precision_asked_for(precision: str, expected: torch.dtype) -> None:
    factor = torch.ones(2, 2)
    with in_precision(precision, torch.device("cpu")):  # type: ignore[arg-type]
        assert (factor @ factor).dtype == expected
