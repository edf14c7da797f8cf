from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bfmkit.components.acquisitions.information import InformationAcquisition
from bfmkit.components.acquisitions.ucb import UCBAcquisition
from bfmkit.components.bfms.forward_backward import ForwardBackward
from bfmkit.components.candidate_samplers.refine import RefineCandidates
from bfmkit.components.candidate_samplers.sphere import SphereCandidates
from bfmkit.components.networks.two_stream import TwoStreamNetworks
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.inference.candidate_acquisition import CandidateAcquisition
from bfmkit.interfaces import AcquisitionContext, CandidateSampler
from bfmkit.testing.acquisition import context, row
from bfmkit.testing.candidate_sampler import CandidateSamplerContract
from bfmkit.testing.models import ball_spec

TARGET = torch.tensor([1.0, -2.0, 0.5, 0.25], dtype=torch.float64)


def towards(given: AcquisitionContext, weights: Tensor) -> Tensor:  # (B, k, d) -> (B, k)
    """Largest at weights in the direction of a target."""
    return torch.nn.functional.cosine_similarity(weights, TARGET, dim=-1)


class TestRefineCandidates(CandidateSamplerContract):
    def make(self) -> RefineCandidates:
        return RefineCandidates(SphereCandidates(count=8))

    def context(self, sampler: CandidateSampler, runs: int = 3) -> AcquisitionContext:
        return replace(super().context(sampler, runs), value=towards)

    def test_climbs_from_the_best_and_keeps_them(self) -> None:
        sampler = RefineCandidates(SphereCandidates(count=8), starts=3, steps=20, step_size=0.3)
        given = self.context(sampler)
        drawn = sampler.draw(given)
        assert drawn.shape == (3, 6, 4)
        before = towards(given, SphereCandidates(count=8).draw(given)).sort(dim=-1, descending=True).values
        torch.testing.assert_close(towards(given, drawn[:, 3:]), before[:, :3])
        assert (towards(given, drawn[:, :3]) > before[:, :3]).all()
        assert towards(given, drawn[:, :3]).min() > 0.99

    def test_does_the_same_for_weights_of_any_size(self) -> None:
        small = RefineCandidates(SphereCandidates(count=8, radius=1e-6)).draw(self.context(self.make()))
        torch.testing.assert_close(1e6 * small, self.make().draw(self.context(self.make())))

    def test_works_where_gradients_are_off_and_leaves_none(self) -> None:
        given = self.context(self.make())
        with torch.no_grad():
            drawn = self.make().draw(given)
        assert not drawn.requires_grad
        torch.testing.assert_close(drawn, self.make().draw(given), rtol=0, atol=0)


@pytest.mark.parametrize(
    "value",
    [
        lambda given, weights: weights.detach().sum(-1),
        lambda given, weights: weights[..., 0].relu() * 0.0,
        lambda given, weights: torch.where(weights[..., 0] > 9, weights[..., 0].log(), 0.0),
    ],
    ids=["no gradient", "zero gradient", "gradient not a number"],
)
def test_stays_where_there_is_nothing_to_climb(value: object) -> None:
    sampler = RefineCandidates(SphereCandidates(count=8), starts=2)
    given = replace(context(sampler.noise_shape(4)), noise=-context(sampler.noise_shape(4)).noise.abs(), value=value)
    drawn = sampler.draw(given)
    assert torch.equal(drawn[:, :2], drawn[:, 2:])


def test_needs_a_rule_that_compares() -> None:
    sampler = RefineCandidates(SphereCandidates(count=8))
    with pytest.raises(ValueError, match="no value"):
        sampler.draw(context(sampler.noise_shape(4)))


@pytest.mark.parametrize("make", [UCBAcquisition, InformationAcquisition])
def test_a_rule_chooses_better_through_policy_and_critics(make: type[CandidateAcquisition]) -> None:
    torch.manual_seed(0)
    model = ForwardBackward(ball_spec(), TwoStreamNetworks(width=16, encoder_width=16), dim=4)
    plain, refined = make(SphereCandidates(count=16)), make(RefineCandidates(SphereCandidates(count=16), steps=4))
    given = context(plain.noise_shape(4), mean=torch.tensor([0.5, -1.0, 0.25, 2.0]))
    posterior = RidgePosterior()
    learnt = posterior.condition_on(posterior.prior(3, 4), torch.eye(4).expand(3, 4, 4)[:, :3], torch.ones(3, 3))
    given = replace(given, posterior=posterior, belief=learnt, bfm=model)
    given = replace(given, radius=plain.radius(given))
    with torch.no_grad():
        worth = [plain.value(given, rule.propose(given).unsqueeze(1)).squeeze(1) for rule in (plain, refined)]
        alone = refined.propose(row(given, 1))
        together = refined.propose(given)
    assert (worth[1] > worth[0]).all()
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("arguments", [{"starts": 0}, {"steps": 0}, {"step_size": 0.0}])
def test_refuses_what_makes_no_sense(arguments: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RefineCandidates(SphereCandidates(), **arguments)
