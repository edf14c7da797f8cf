from __future__ import annotations

import math

import pytest
import torch

from bfmkit.evaluation.diagnostics.predictions import compare, discounted_returns


def test_right_predictions_agree() -> None:
    returns = torch.tensor([1.0, -2.0, 5.0])
    found = compare(returns, returns)
    assert (found.correlation, found.scale, found.error, found.points) == pytest.approx((1, 1, 0, 3))


def test_scaled_predictions_show_their_scale() -> None:
    returns = torch.tensor([1.0, -2.0, 5.0])
    found = compare(-3 * returns, returns)
    assert (found.correlation, found.scale, found.error) == pytest.approx((-1, -3, 4))


def test_worked_out_by_hand() -> None:
    found = compare(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 2.0]))
    assert (found.correlation, found.scale, found.error) == pytest.approx((0.5, 13 / 14, math.sqrt(2 / 14)))


def test_nothing_to_compare_is_not_a_number() -> None:
    assert math.isnan(compare(torch.zeros(0), torch.zeros(0)).correlation)
    assert math.isnan(compare(torch.ones(3), torch.ones(3)).correlation)


def test_returns_are_discounted_sums() -> None:
    found = discounted_returns(torch.tensor([[1.0], [2.0], [4.0]]), 0.5)
    torch.testing.assert_close(found, torch.tensor([[3.0], [4.0], [4.0]]))
