from __future__ import annotations

import pytest
import torch

from bfmkit.evaluation.diagnostics.policy_diversity import share_of_latent, specialisation


def test_share_is_that_of_the_variances() -> None:
    torch.manual_seed(0)
    latent, luck = 2 * torch.randn(3000, 1), torch.randn(3000, 3)
    assert share_of_latent(latent + luck) == pytest.approx(0.8, abs=0.02)
    vector = torch.stack([latent + luck, torch.randn(3000, 3)], dim=-1)
    assert share_of_latent(vector) == pytest.approx(4 / 6, abs=0.02)


def test_ends_of_the_scale() -> None:
    assert share_of_latent(torch.tensor([[1.0, 1.0], [2.0, 2.0]])) == 1
    assert share_of_latent(torch.tensor([[1.0, 2.0], [1.0, 2.0]])) == 0
    assert share_of_latent(torch.full((3, 2), 0.7)) == 0


def test_worked_out_by_hand() -> None:
    # Means 1 and 3: M_b = 2·2/1 = 4; deviations of 1 within the second: M_w = 2/2 = 1.
    assert share_of_latent(torch.tensor([[1.0, 1.0], [2.0, 4.0]])) == pytest.approx(3 / 5)


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (4,)])
def test_one_of_a_kind_says_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        share_of_latent(torch.zeros(shape))


def test_specialisation_counts_who_is_beaten() -> None:
    assert specialisation(torch.eye(4)) == 1
    assert specialisation(1 - torch.eye(4)) == 0
    assert specialisation(torch.ones(4, 4)) == 0.5
    assert specialisation(torch.tensor([[2.0, 0.0], [1.0, 0.0]])) == 0.75
