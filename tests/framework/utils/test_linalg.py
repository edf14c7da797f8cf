from __future__ import annotations

import math

import torch

from bfmkit.utils.linalg import BLOCK, add_products


def test_a_sum_of_very_many_terms_keeps_its_last_digit() -> None:
    values = torch.rand(5_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total, lost = torch.zeros(2, 1, 1, 1, dtype=torch.float64)
    plain, one = total, torch.ones(1, 1, 1, dtype=torch.float64)
    for value in values:
        total, lost = add_products(total, lost, one, value.reshape(1, 1, 1))
        plain = plain + value
    exact = math.fsum(values.tolist())
    assert abs(total.item() - exact) <= math.ulp(exact)
    assert abs(plain.item() - exact) > 2 * math.ulp(exact)


def test_forgetting_loses_no_digits_either() -> None:
    values = torch.rand(3_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    discount = 1.0 - 2.0**-10
    total, lost = torch.zeros(2, 1, 1, 1, dtype=torch.float64)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    for value in values:
        total, lost = add_products(total, lost, one, value.reshape(1, 1, 1), discount)
    weights = [discount ** (len(values) - 1 - step) for step in range(len(values))]
    exact = math.fsum(weight * value for weight, value in zip(weights, values.tolist(), strict=True))
    assert abs(total.item() - exact) <= 2 * math.ulp(exact)


def test_many_rows_are_added_in_blocks() -> None:
    generator = torch.Generator().manual_seed(2)
    left = torch.randn(2, 2 * BLOCK + 5, 3, generator=generator, dtype=torch.float64)
    right = torch.randn(2, 2 * BLOCK + 5, 4, generator=generator, dtype=torch.float64)
    start = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    for discount in (1.0, 0.5):
        total, lost = add_products(start, torch.zeros_like(start), left, right, discount)
        torch.testing.assert_close(total, discount * start + left.mT @ right)
        assert lost.abs().max() < 1e-12


def test_no_rows_change_nothing() -> None:
    start = torch.ones(2, 3, 1, dtype=torch.float64)
    total, lost = add_products(start, torch.zeros_like(start), start.new_zeros(2, 0, 3), start.new_zeros(2, 0, 1))
    assert torch.equal(total, start)
    assert not lost.any()
