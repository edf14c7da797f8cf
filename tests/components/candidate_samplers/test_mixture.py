from __future__ import annotations

import pytest
import torch

from bfmkit.components.candidate_samplers.ball import BallCandidates
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.candidate_samplers.mixture import MixtureCandidates
from bfmkit.components.candidate_samplers.sphere import SphereCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.interfaces import CandidateSampler
from bfmkit.recipe import build_node
from bfmkit.testing.candidate_sampler import CandidateSamplerContract


class TestMixtureCandidates(CandidateSamplerContract):
    def make(self) -> MixtureCandidates:
        parts = [EllipsoidCandidates(count=3), SphereCandidates(count=2), BallCandidates(count=4)]
        return MixtureCandidates(parts, include_mean=True, include_previous=True)

    def test_has_all_parts_in_their_order(self) -> None:
        given = self.context(self.make())
        drawn = self.make().draw(given)
        assert drawn.shape == (3, 11, 4)
        mean = given.posterior.mean(given.belief)
        # The first within twice the radius 0.5 of the rule, the second on the unit sphere, the third in its ball.
        assert (drawn[:, :3] - mean.unsqueeze(1)).norm(dim=-1).max() <= 1.0
        torch.testing.assert_close(drawn[:, 3:5].norm(dim=-1), torch.ones(3, 2, dtype=torch.float64))
        assert drawn[:, 5:9].norm(dim=-1).max() <= 1.0
        assert torch.equal(drawn[:, 9], mean)
        assert torch.equal(drawn[:, 10], given.weights)

    def test_parts_have_noise_of_their_own(self) -> None:
        twice = MixtureCandidates([SphereCandidates(count=2), SphereCandidates(count=2)])
        drawn = twice.draw(self.context(twice))
        assert (torch.cdist(drawn, drawn) + 9 * torch.eye(4) > 1e-3).all()


class TestNestedMixtureCandidates(CandidateSamplerContract):
    def make(self) -> MixtureCandidates:
        return MixtureCandidates([MixtureCandidates([SphereCandidates(count=2)], include_mean=True)])


@pytest.mark.parametrize("included", [{}, {"include_mean": True}, {"include_mean": True, "include_previous": True}])
def test_the_mean_and_the_previous_choice_alone_are_zero_at_first(included: dict) -> None:
    with pytest.raises(ValueError, match="at least one sampler: .* zero at first"):
        MixtureCandidates([], **included)


def test_asks_its_parts_whether_they_go_with_a_rule() -> None:
    parts = [SphereCandidates(), MixtureCandidates([EllipsoidCandidates()])]
    MixtureCandidates(parts).require(RidgePosterior(), has_radius=True)
    with pytest.raises(ValueError, match="radius"):
        MixtureCandidates(parts).require(RidgePosterior(), has_radius=False)


def test_a_recipe_lists_them() -> None:
    node = {"type": "mixture", "samplers": [{"type": "sphere", "count": 3}, {"type": "ball"}], "include_mean": True}
    sampler = build_node(CandidateSampler, node)
    assert [type(each) for each in sampler.samplers] == [SphereCandidates, BallCandidates]
    assert sampler.noise_shape(4) == (3 * 4 + 128 * 6,)


def test_weights_that_are_zero_are_no_candidates() -> None:
    mixture = MixtureCandidates([SphereCandidates(count=2)], include_mean=True, include_previous=True)
    given = TestMixtureCandidates().context(mixture)
    given.weights[1] = 0.0
    drawn = mixture.draw(given)
    assert torch.equal(drawn[1, 3], drawn[1, 0])
    assert torch.equal(drawn[0, 3], given.weights[0])
