from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bfmkit.components.candidate_samplers.dataset import DatasetCandidates
from bfmkit.testing.acquisition import context
from bfmkit.testing.candidate_sampler import CandidateSamplerContract
from bfmkit.testing.models import LinearBFM
from bfmkit.utils.linalg import least_squares_weights


class TestDatasetCandidates(CandidateSamplerContract):
    def make(self) -> DatasetCandidates:
        return DatasetCandidates(count=8)


def test_each_is_the_direction_of_a_reward_for_one_transition_alone() -> None:
    sampler = DatasetCandidates(count=2000)
    drawn = sampler.draw(context(sampler.noise_shape(4), runs=1))[0]
    features = LinearBFM().inference_set()["next", "observation"].double()
    goals = torch.nn.functional.normalize(least_squares_weights(features, torch.eye(64)), dim=-1)  # (64, d)
    nearest = torch.cdist(drawn, goals).min(dim=-1)
    assert nearest.values.max() < 1e-6
    # All of them come up, none much more often than the rest.
    counts = nearest.indices.bincount(minlength=64)
    assert counts.min() > 10
    assert counts.max() < 60


def test_the_ends_of_the_noise_are_the_ends_of_the_set() -> None:
    given = replace(context((2,), runs=1), noise=torch.tensor([[-40.0, 40.0]], dtype=torch.float64))
    drawn = DatasetCandidates(count=2).draw(given)
    assert drawn.isfinite().all()
    assert not torch.equal(drawn[0, 0], drawn[0, 1])


def test_a_model_without_an_inference_set_is_refused() -> None:
    with pytest.raises(ValueError, match="inference set"):
        DatasetCandidates(count=2).draw(replace(context((2,)), bfm=LinearBFM(labelled=0)))


def test_features_that_say_nothing_are_refused_or_left_out() -> None:
    class Blind(LinearBFM):
        def features(self, observation: torch.Tensor, action: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
            return following * (following[..., :1] > self.above)

    some, none = Blind(), Blind()
    some.above, none.above = 0.0, 2.0
    assert (DatasetCandidates(count=50).draw(replace(context((50,)), bfm=some)).norm(dim=-1) > 0.99).all()
    with pytest.raises(ValueError, match="zero"):
        DatasetCandidates(count=2).draw(replace(context((2,)), bfm=none))


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="count"):
        DatasetCandidates(count=0)
