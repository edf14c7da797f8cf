from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.testing.acquisition import context
from bfmkit.testing.models import LinearBFM


class Unsure(LinearBFM):
    """Knows no number for the second candidate."""

    def candidate_successor_features(self, observation: Tensor, z: Tensor) -> Tensor:
        values = super().candidate_successor_features(observation, z).clone()
        values[:, 1, 0, 2] = torch.nan
        return values


@pytest.mark.parametrize("ensemble", ["min", "mean"])
def test_a_prediction_that_is_not_a_number_is_no_choice(ensemble: str) -> None:
    rule = UCBAcquisition(EllipsoidCandidates(count=2), ensemble=ensemble)
    given = context(rule.noise_shape(4))
    assert rule.propose(given).isfinite().all()
    assert rule.propose(replace(given, bfm=Unsure())).isnan().all()


def test_an_unknown_ensemble_is_refused() -> None:
    with pytest.raises(ValueError, match="ensemble"):
        UCBAcquisition(EllipsoidCandidates(), ensemble="max")
