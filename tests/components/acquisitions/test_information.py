from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bfmkit.components.acquisitions.information import InformationAcquisition
from bfmkit.components.candidate_samplers.ellipsoid import EllipsoidCandidates
from bfmkit.components.candidate_samplers.refine import RefineCandidates
from bfmkit.components.candidate_samplers.sphere import SphereCandidates
from bfmkit.components.posteriors.ridge import RidgePosterior
from bfmkit.interfaces import AcquisitionContext
from bfmkit.testing.acquisition import AcquisitionContract, context
from bfmkit.testing.models import LinearBFM


class TestInformationAcquisition(AcquisitionContract):
    def make(self) -> InformationAcquisition:
        return InformationAcquisition(SphereCandidates(count=16))

    def test_does_not_care_for_reward(self) -> None:
        rule = self.make()
        assert torch.equal(rule.propose(self.context(rule)), rule.propose(self.context(rule, zero=True)))


class TestMeanInformationAcquisition(AcquisitionContract):
    def make(self) -> InformationAcquisition:
        return InformationAcquisition(SphereCandidates(count=16), ensemble="mean")


class Scaled(LinearBFM):
    """The critics see one direction each."""

    def candidate_successor_features(self, observation: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return torch.diag_embed(z)  # (B, k, d, d): as many critics as dimensions


def known(features: torch.Tensor) -> AcquisitionContext:  # (n, d)
    """One run that has seen something."""
    posterior = RidgePosterior(regularization=0.5)
    belief = posterior.condition_on(
        posterior.prior(1, features.shape[-1]), features[None], torch.ones(1, len(features))
    )
    return replace(
        context((64, features.shape[-1]), runs=1, dim=features.shape[-1]), posterior=posterior, belief=belief
    )


def test_value_is_the_growth_of_the_log_determinant() -> None:
    given = known(torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    weights = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value = InformationAcquisition(SphereCandidates()).value(given, weights)[0]
    precision = given.belief["precision"][0]
    for candidate in range(4):
        z = given.bfm.policy_latent(weights[0, candidate].float())
        psi = given.bfm.successor_features(given.observation[0], z)[0].double()
        grown = torch.logdet(precision + psi[:, None] * psi[None, :]) - torch.logdet(precision)
        torch.testing.assert_close(value[candidate], grown, rtol=1e-6, atol=1e-6)


def test_goes_where_nothing_is_known() -> None:
    features = torch.zeros(50, 3, dtype=torch.float64)
    features[:, 0], features[:25, 1] = 1.0, 1.0
    chosen = InformationAcquisition(SphereCandidates(count=64)).propose(known(features))[0]
    assert chosen[2].abs() > 0.9


@pytest.mark.parametrize(("ensemble", "reduced"), [("min", torch.amin), ("mean", torch.mean)])
def test_critics_are_asked_one_by_one(ensemble: str, reduced: object) -> None:
    given = replace(known(torch.zeros(1, 3)), bfm=Scaled(3))
    weights = torch.tensor([[[3.0, 1.0, 2.0]]])
    z = given.bfm.policy_latent(weights[0, 0])
    expected = reduced((z.double() ** 2 / 0.5).log1p(), dim=-1)
    value = InformationAcquisition(SphereCandidates(), ensemble).value(given, weights)
    torch.testing.assert_close(value[0, 0], expected)


def test_candidates_that_need_a_radius_bring_their_own() -> None:
    InformationAcquisition(EllipsoidCandidates(radius=1.0)).require(RidgePosterior())
    for candidates in (EllipsoidCandidates(), RefineCandidates(EllipsoidCandidates())):
        with pytest.raises(ValueError, match="no radius"):
            InformationAcquisition(candidates).require(RidgePosterior())


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="ensemble"):
        InformationAcquisition(SphereCandidates(), ensemble="max")
